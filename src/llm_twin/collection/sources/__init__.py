"""The platforms: one module each, behind `dispatch`."""
