"""Encoders: texts to unit vectors, from a local model, a hub model or an endpoint, with a cache on disk."""

from llm_twin.embedding.cache import EmbeddingCache
from llm_twin.embedding.encoder import Encoder
from llm_twin.embedding.loading import count_room, load_encoder, load_tokenizer

__all__ = ["EmbeddingCache", "Encoder", "count_room", "load_encoder", "load_tokenizer"]
