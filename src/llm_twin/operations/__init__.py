"""What runs beside a twin in a cluster: Secrets on a development cluster, buckets, backups, a base model for a pod.

Each module is a program of its own (`python -m llm_twin.operations.NAME`) that a manifest under manifests/ or
kustomize/components/ names.
"""
