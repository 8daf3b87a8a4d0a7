from llm_twin.evaluation.known_items import KnownItem, make_known_items, measure_retrieval


def test_queries_are_words_of_their_passage_and_the_same_every_time(passages, passage_texts):
    items = make_known_items(passages, 10, seed=1)
    assert items == make_known_items(reversed(passages), 10, seed=1)
    assert len(items) == 3
    for item in items:
        text = passage_texts[item.relevant[0]].lower()
        assert all(word in text for word in item.query.split())
        assert item.query not in text


def test_a_repeated_sentence_makes_every_holder_relevant(passages, passage_texts, make_passage):
    twice = [*passages, make_passage("a2", passage_texts["a"], "doc-a2")]
    items = make_known_items(twice, 10, seed=1)
    assert next(item for item in items if "a" in item.relevant).relevant == ["a", "a2"]


def test_queries_are_spread_over_documents_before_a_second_one_is_taken(passages, passage_texts, make_passage):
    long = make_passage("z", " ".join(passage_texts.values()).replace("Marta", "Zeno"), "doc-z")
    items = make_known_items([*passages, long], 4, seed=3)
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
