"""Releases: what runs where, as one file an environment; promotion, canary, and how many replicas a load needs."""
