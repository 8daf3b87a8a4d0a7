from llm_twin.documents import Chunk
from llm_twin.evaluation.known_items import KnownItem, make_known_items, measure_retrieval

TEXT = {
    "a": "The harbour gauge was read every dawn by Marta before any ferry crossed the estuary. Short one.",
    "b": "Nobody in Fenwick ever repaired that broken sluice because the council lost its only ladder.",
    "c": "Clocks in the customs house were always eleven minutes slow on purpose, said the warden.",
}


def make_chunk(name: str, text: str, document: str) -> Chunk:
    return Chunk(
        chunk_id=name,
        document_id=document,
        revision_id="r",
        author="x",
        platform="site",
        kind="article",
        url="http://x.example",
        position=0,
        start=0,
        end=len(text),
        text=text,
    )


CHUNKS = [make_chunk(name, text, f"doc-{name}") for name, text in TEXT.items()]


def test_queries_are_words_of_their_passage_and_the_same_every_time():
    items = make_known_items(CHUNKS, 10, seed=1)
    assert items == make_known_items(reversed(CHUNKS), 10, seed=1)
    assert len(items) == 3
    for item in items:
        text = TEXT[item.relevant[0]].lower()
        assert all(word in text for word in item.query.split())
        assert item.query not in text


def test_a_repeated_sentence_makes_every_holder_relevant():
    twice = [*CHUNKS, make_chunk("a2", TEXT["a"], "doc-a2")]
    items = make_known_items(twice, 10, seed=1)
    assert next(item for item in items if "a" in item.relevant).relevant == ["a", "a2"]


def test_queries_are_spread_over_documents_before_a_second_one_is_taken():
    long = make_chunk("z", " ".join(TEXT.values()).replace("Marta", "Zeno"), "doc-z")
    items = make_known_items([*CHUNKS, long], 4, seed=3)
    assert len({item.document_id for item in items}) == 4


def test_figures_are_those_of_the_definition():
    items = [
        KnownItem(query="q1", document_id="d1", relevant=["a"]),
        KnownItem(query="q2", document_id="d2", relevant=["b"]),
    ]
    found = {"q1": ["a", "x", "y"], "q2": ["x", "b", "y"]}
    scores = measure_retrieval(items, found.__getitem__, [1, 3])
    assert scores.recall[1].mean == 0.5 and scores.recall[3].mean == 1.0
    assert scores.mrr.mean == 0.75
    assert abs(scores.ndcg.mean - (1 + 0.6309297535714575) / 2) < 1e-12
    assert measure_retrieval(items, lambda q: ["x"], [1]).missed == ["q1", "q2"]
