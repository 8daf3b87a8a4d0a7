"""Steps of the stage `collection`."""
