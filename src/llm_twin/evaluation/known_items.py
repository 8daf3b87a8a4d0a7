"""Known-item queries from the corpus itself: is the passage that a query was made from found again?

A query takes the rarest words of one sentence of a passage, in the sentence's order (Azzopardi, de Rijke and
Balog, SIGIR 2007, build simulated known-item queries so). It is easier than a person's question, so the figures
compare settings and releases; they do not say how well people are served.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from llm_twin.documents import Chunk
from llm_twin.evaluation.statistics import Interval, mean_interval

WORD = re.compile(r"[^\W\d_][\w'’-]{2,}")
QUERY_WORDS = 6
MIN_SENTENCE_WORDS = 8


class KnownItem(BaseModel):
    """A query and the passages that hold its sentence (several when the author repeats it)."""

    model_config = ConfigDict(frozen=True)

    query: str
    document_id: str
    relevant: list[str]  # chunk ids


class RetrievalScores(BaseModel):
    """Means over documents (queries of one document are averaged first), each with its interval."""

    queries: int
    documents: int
    recall: dict[int, Interval]  # at k
    mrr: Interval
    ndcg: Interval  # at the largest k
    missed: list[str]  # queries whose passage was not found at all, at most 20


def make_known_items(chunks: Iterable[Chunk], max_queries: int, seed: int) -> list[KnownItem]:
    """At most `max_queries` queries, spread over the documents as evenly as they allow. Same input, same queries."""
    chunks = sorted(chunks, key=lambda chunk: chunk.chunk_id)
    frequency = Counter(word for chunk in chunks for word in {w.lower() for w in WORD.findall(chunk.text)})
    holders: dict[str, list[str]] = defaultdict(list)
    by_document: dict[str, list[tuple[Chunk, str]]] = defaultdict(list)
    for chunk in chunks:
        for sentence in _sentences(chunk.text):
            holders[sentence].append(chunk.chunk_id)
            by_document[chunk.document_id].append((chunk, sentence))
    choice = random.Random(seed)
    for pairs in by_document.values():
        choice.shuffle(pairs)
    items: list[KnownItem] = []
    seen: set[str] = set()
    while by_document and len(items) < max_queries:
        for document_id in sorted(by_document):
            chunk, sentence = by_document[document_id].pop()
            if not by_document[document_id]:
                del by_document[document_id]
            query = _make_query(sentence, frequency, len(chunks))
            if query and query not in seen and len(items) < max_queries:
                seen.add(query)
                items.append(KnownItem(query=query, document_id=document_id, relevant=sorted(set(holders[sentence]))))
    return items


def measure_retrieval(
    items: Sequence[KnownItem], find: Callable[[str], Sequence[str]], ks: Sequence[int]
) -> RetrievalScores:
    """Ask `find` (query → chunk ids, best first, at least max(ks) where there are that many) each query."""
    largest = max(ks)
    recall: dict[int, dict[str, list[float]]] = {k: defaultdict(list) for k in ks}
    reciprocal: dict[str, list[float]] = defaultdict(list)
    gains: dict[str, list[float]] = defaultdict(list)
    missed: list[str] = []
    for item in items:
        found = list(find(item.query))[:largest]
        ranks = [rank for rank, chunk_id in enumerate(found, start=1) if chunk_id in item.relevant]
        for k in ks:
            recall[k][item.document_id].append(float(any(rank <= k for rank in ranks)))
        reciprocal[item.document_id].append(1 / ranks[0] if ranks else 0.0)
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(item.relevant), largest) + 1))
        gains[item.document_id].append(sum(1 / math.log2(rank + 1) for rank in ranks) / ideal)
        if not ranks:
            missed.append(item.query)
    return RetrievalScores(
        queries=len(items),
        documents=len(reciprocal),
        recall={k: _over_documents(recall[k]) for k in ks},
        mrr=_over_documents(reciprocal),
        ndcg=_over_documents(gains),
        missed=missed[:20],
    )


def _over_documents(values: dict[str, list[float]]) -> Interval:
    return mean_interval([math.fsum(group) / len(group) for _, group in sorted(values.items())])


def _sentences(text: str) -> list[str]:
    prose = re.sub(r"```.*?(```|$)", " ", text, flags=re.DOTALL)
    sentences = re.split(r"(?<=[.!?])\s+|\n{2,}", prose)
    return [s.strip() for s in sentences if len(WORD.findall(s)) >= MIN_SENTENCE_WORDS and "[" not in s]


def _make_query(sentence: str, frequency: Counter[str], total: int) -> str:
    words = list(dict.fromkeys(word.lower() for word in WORD.findall(sentence)))
    rarest = sorted(words, key=lambda word: (frequency[word], -len(word), word))[:QUERY_WORDS]
    rare = {word for word in rarest if frequency[word] <= max(total // 5, 2)}
    return " ".join(word for word in words if word in rare) if len(rare) >= 2 else ""
