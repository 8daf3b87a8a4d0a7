"""Steps of the stage `training`."""
