"""Imports what the image's servers and steps import when they start: byte code for them is made by that.

Run while the image is built (components/core/Dockerfile). A module that cannot be imported fails the build.
"""

import importlib

MODULES = (
    "llm_twin.cli",
    "llm_twin.embedding.local",
    "llm_twin.operations.prepare_model",
    "llm_twin.serving.predictor",
    "llm_twin.serving.transformer",
    "llm_twin.stores.vectors",
    "boto3",
    "datasets",
    "httpcore",
    "kfp",
    "kfp.dsl.executor_main",
    "kserve",
    "mlflow.server",
    "peft",
    "psycopg2",
    "pydantic.v1",
    "pymongo",
    "qdrant_client",
    "sentence_transformers",
    "sklearn.feature_extraction.text",
    "trafilatura",
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "trl",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)

if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    print(f"{len(MODULES)} modules imported")
