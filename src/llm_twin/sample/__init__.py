"""The sample author: an invented person's public writing, and a server for her two sites."""
