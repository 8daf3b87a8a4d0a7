"""LLM Twin: an author's published writing, turned into a served, cited language model of their voice."""

__version__ = "0.1.0"
