"""Retrieval: from a question to the chunks that bear on it, with a trace of how they were found."""
