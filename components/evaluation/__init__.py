"""Steps of the stage `evaluation`."""
