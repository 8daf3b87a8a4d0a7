"""Encoders: texts to unit vectors, from a local model, a hub model or an endpoint, with a cache on disk."""

from llm_twin.embedding.cache import EmbeddingCache
from llm_twin.embedding.encoder import Encoder
from llm_twin.embedding.loading import load_encoder, load_tokenizer
from llm_twin.embedding.middle import MiddleLayers, load_middle_layers

__all__ = ["EmbeddingCache", "Encoder", "MiddleLayers", "load_encoder", "load_middle_layers", "load_tokenizer"]
