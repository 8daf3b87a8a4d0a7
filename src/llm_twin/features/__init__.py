"""Features: documents to chunks to vectors to an index, incremental and repeatable."""
