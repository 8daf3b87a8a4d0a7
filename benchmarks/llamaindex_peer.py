"""LlamaIndex's IngestionPipeline as `benchmarks ingestion` asks it; runs in an environment that has LlamaIndex.

Reads one JSON line (model folder, max_tokens, longest input, texts), says it is ready, then answers each line `run`
with its seconds, how many chunks it made and their mean tokens.
Chunks have the same size in the same tokenizer's tokens; batch size and all else are LlamaIndex's defaults.
"""

import json
import sys
import time


def main() -> None:
    """Load, then run as often as asked."""
    from llama_index.core import Document
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from tokenizers import Tokenizer

    start = json.loads(sys.stdin.readline())
    tokenizer = Tokenizer.from_file(f"{start['model']}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    splitter = SentenceSplitter(
        chunk_size=start["max_tokens"],
        chunk_overlap=0,
        include_metadata=False,
        tokenizer=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
    )
    embedder = HuggingFaceEmbedding(model_name=start["model"], device="cpu")
    embedder.get_text_embedding("warm up")
    documents = [Document(text=text) for text in start["texts"]]
    answer({"ready": True})
    for _ in sys.stdin:
        begun = time.perf_counter()
        nodes = IngestionPipeline(transformations=[splitter, embedder], disable_cache=True).run(documents=documents)
        seconds = time.perf_counter() - begun
        # as the model reads them: with its special tokens, and no more of them than it reads
        sizes = [min(len(tokenizer.encode(node.get_content()).ids), start["longest"]) for node in nodes]
        answer({"seconds": seconds, "nodes": len(nodes), "tokens": sum(sizes) / len(sizes)})


def answer(message: dict) -> None:
    """One JSON line."""
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
