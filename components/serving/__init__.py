"""Steps of the stage `serving`."""
