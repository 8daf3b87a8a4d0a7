"""Steps of the stage `features`."""
