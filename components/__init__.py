"""Kubeflow Pipelines components: thin wrappers, one file a step, around the functions of llm_twin."""
