"""Steps of the stage `monitoring`."""
