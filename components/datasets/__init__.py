"""Steps of the stage `datasets`."""
