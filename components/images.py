"""The container images that steps run in: the one home of image references in Python."""

import os

from llm_twin import __version__

REGISTRY = os.environ.get("LLM_TWIN_IMAGE_REGISTRY", "ghcr.io/llm-twin")

CORE_IMAGE = f"{REGISTRY}/llm-twin-core-python:{__version__}"
TRAIN_IMAGE = f"{REGISTRY}/llm-twin-train-python:{__version__}"
QUANTIZE_IMAGE = f"{REGISTRY}/llm-twin-quantize-python:{__version__}"
