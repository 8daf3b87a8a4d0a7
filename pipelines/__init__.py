"""Pipelines: wiring of components and their Kubernetes settings; the same definitions run on a laptop."""
