"""The four steps of the features pipeline as a run calls them: functions over files, the index the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_twin.documents import Chunk, CleanDocument, read_jsonl, write_jsonl
from llm_twin.embedding import Encoder
from llm_twin.errors import InputError, StoreError
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.indexing import index_folder
from llm_twin.features.vectors import VectorFiles, write_vectors
from llm_twin.llm.client import LlmClient
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.recipes import FeaturesRecipe, LlmRecipe
from llm_twin.retrieval.search import search
from llm_twin.retrieval.tuning import tune
from llm_twin.stores.vectors import VectorIndex
from tests.integration.stub_llm import stub_llm
from tests.integration.vector_process import VectorProcess

RECIPE = FeaturesRecipe(max_tokens=32)
SUBJECTS = {
    "tides": "The moon pulls the sea and the tide follows it. Harbour gauges write the water's height each hour.",
    "bread": "Flour, salt and yeast make dough. The oven browns the crust while the crumb stays soft and open.",
    "clocks": "A pendulum swings and the escapement counts. Winding the spring each evening keeps the clock honest.",
    "locks": "A lock chamber fills and the boat rises. Paddles let water in, and gates open when it is level.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorIndex]:
    process = VectorProcess(tmp_path_factory.mktemp("vectors"))
    with VectorIndex.connect(process.url) as opened:
        yield opened
    process.stop()


def make_chunks(folder: Path, names: list[str], recipe: FeaturesRecipe = RECIPE) -> list[Chunk]:
    documents = [
        CleanDocument(
            document_id=name, revision_id="r", author="a", platform="linkedin" if name == "bread" else "site",
            kind="post" if name == "bread" else "article", url=f"https://example.org/{name}", title=name.title(),
            text=SUBJECTS[name], retrieval_text=SUBJECTS[name],
        )
        for name in names
    ]  # fmt: skip
    write_jsonl(folder / "documents.jsonl", documents)
    write_jsonl(folder / "chunks.jsonl", chunk_documents(read_jsonl(folder / "documents.jsonl", CleanDocument), recipe))
    return list(read_jsonl(folder / "chunks.jsonl", Chunk))


def build(
    folder: Path, names: list[str], encoder: Encoder, index: VectorIndex, author: str, recipe: FeaturesRecipe = RECIPE
) -> tuple[int, int, str]:
    chunks = make_chunks(folder, names, recipe)
    assert write_vectors(folder / "vectors", chunks, encoder, recipe) == len(chunks)
    done = index_folder(author, chunks, folder / "vectors", index, recipe)
    return done.written, done.deleted, done.digest


def test_index_is_incremental_and_its_digest_names_its_content(
    tmp_path: Path, encoder: Encoder, index: VectorIndex
) -> None:
    everything = list(SUBJECTS)
    written, deleted, digest = build(tmp_path, everything, encoder, index, "one")
    assert (written, deleted) == (4, 0)
    assert build(tmp_path, everything, encoder, index, "one") == (0, 0, digest)
    written, deleted, fewer = build(tmp_path, everything[:3], encoder, index, "one")
    assert (written, deleted) == (0, 1)
    assert fewer != digest
    assert build(tmp_path, everything, encoder, index, "one") == (1, 0, digest)


def test_changed_chunker_builds_anew_and_search_goes_on(tmp_path: Path, encoder: Encoder, index: VectorIndex) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "two")
    before = index.current_collection("two")
    other = RECIPE.model_copy(update={"chunker": "sentences", "max_tokens": 16})
    assert build(tmp_path, list(SUBJECTS), encoder, index, "two", other)[0] == 4
    assert index.current_collection("two") != before
    assert search("what pulls the sea?", "two", index, encoder, RetrievalRecipe()).hits[0].chunk.document_id == "tides"


def test_search_finds_explains_and_filters(tmp_path: Path, encoder: Encoder, index: VectorIndex) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")
    result = search("How does the oven change the crust?", "three", index, encoder, RetrievalRecipe(top_k=3))
    assert result.hits[0].chunk.document_id == "bread"
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert all(-1 <= (hit.dense_score or 0) <= 1 for hit in result.hits)
    names = [step.name for step in result.trace]
    assert names == ["self-query", "encode", "feedback", "search", "fuse", "read", "deduplicate", "rerank"]
    assert all(step.milliseconds >= 0 for step in result.trace)
    only = search("the oven and the sea", "three", index, encoder, RetrievalRecipe(), {"kind": "article"})
    assert "bread" not in {hit.chunk.document_id for hit in only.hits}
    named = search("In your LinkedIn posts, what is said of the sea?", "three", index, encoder, RetrievalRecipe())
    assert {hit.chunk.document_id for hit in named.hits} == {"bread"}
    nowhere = search("In your GitHub repos, what pulls the sea?", "three", index, encoder, RetrievalRecipe())
    assert nowhere.hits  # no such documents: the question's own filter is dropped
    assert nowhere.filters == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"fusion": "dense"},
        {"fusion": "sparse"},
        {"fusion": "rrf"},
        {"feedback": False, "neighbour_weight": 0.0, "deduplicate": False, "self_query": "none"},
        {"diversity": 0.3, "compress": True, "expansion": "synonyms"},
    ],
)
def test_every_step_can_be_switched(tmp_path: Path, encoder: Encoder, index: VectorIndex, settings: dict) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")
    recipe = RetrievalRecipe.model_validate({"top_k": 3, **settings})
    hits = search("the pendulum of a clock", "three", index, encoder, recipe).hits
    assert hits[0].chunk.document_id == "clocks"
    if recipe.compress:
        for hit in hits:
            assert hit.kept
            assert all(hit.chunk.start <= start < end <= hit.chunk.end for start, end in hit.kept)


def test_vectors_that_do_not_fit_the_chunks_are_refused(tmp_path: Path, encoder: Encoder, index: VectorIndex) -> None:
    chunks = make_chunks(tmp_path, ["tides", "bread"])
    write_vectors(tmp_path / "vectors", chunks[:-1], encoder, RECIPE)
    with pytest.raises(InputError, match=r"more chunks than the \d+ vectors"):
        index_folder("four", chunks, tmp_path / "vectors", index, RECIPE)
    with pytest.raises(InputError, match="holds no vectors"):
        VectorFiles(tmp_path)
    with pytest.raises(StoreError, match="no index of four"):
        search("anything", "four", index, encoder, RetrievalRecipe())


@pytest.mark.parametrize(
    ("query", "filters", "message"),
    [
        ("", {}, "the query is empty"),
        (" \n\t ", {}, "the query is empty"),
        ("tide " * 20_000, {}, r"has 99,999 characters; at most 10,000"),
        ("tide\x00clock", {}, "control characters"),
        ("tide\x1b[31mclock", {}, "control characters"),
        ("tide", {"platfrom": "site"}, "unknown filter field 'platfrom'"),
        ("tide", {"kind": 3}, "filter kind: 3 is not a text"),
        ("tide", {"published_after": "soon"}, "'soon' is not a date"),
    ],
)
def test_bad_questions_are_refused_with_a_remedy(
    tmp_path: Path, encoder: Encoder, index: VectorIndex, query: str, filters: dict, message: str
) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")
    with pytest.raises(InputError, match=message) as raised:
        search(query, "three", index, encoder, RetrievalRecipe(), filters)
    assert raised.value.remedy


def test_a_collection_of_another_model_is_refused(tmp_path: Path, encoder: Encoder, index: VectorIndex) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")
    other = replace(encoder, fingerprint="another-model")
    with pytest.raises(StoreError, match=r"made with another embedding model .*asked with another-model") as raised:
        search("the sea", "three", index, other, RetrievalRecipe())
    assert "model of the index" in raised.value.remedy


def test_a_hidden_chunk_is_passed_over(tmp_path: Path, encoder: Encoder, index: VectorIndex) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")
    first = search("the oven browns the crust", "three", index, encoder, RetrievalRecipe()).hits[0].chunk.chunk_id
    others = search("the oven browns the crust", "three", index, encoder, RetrievalRecipe(), hidden=[first]).hits
    assert others and first not in {hit.chunk.chunk_id for hit in others}


def test_tuning_needs_documents(tmp_path: Path, encoder: Encoder, index: VectorIndex) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")
    with pytest.raises(InputError, match="tuning needs 20"):
        tune("three", index, encoder, RetrievalRecipe())


def test_a_language_model_expands_and_filters_and_its_faults_do_no_harm(
    tmp_path: Path, encoder: Encoder, index: VectorIndex
) -> None:
    build(tmp_path, list(SUBJECTS), encoder, index, "three")

    def answer(prompt: str) -> dict:
        if "phrasings" in prompt:
            return {"phrasings": ["crust browned by an oven", "yeast and dough"]}
        dates = {"published_after": "not a date", "published_before": None}
        return {"platform": "linkedin", "kind": None, **dates, "topics": []}

    recipe = RetrievalRecipe(expansion="llm", self_query="llm", top_k=3)
    bounds = LlmRecipe(timeout_seconds=1, retries=0)
    with stub_llm(answer, fault_every=0) as stub:
        found = search("How is it made?", "three", index, encoder, recipe, llm=LlmClient(stub.url, "m", bounds))
    assert found.filters == {"platform": ["linkedin"]}
    assert [hit.chunk.document_id for hit in found.hits] == ["bread"]
    added = next(step.effect["added"] for step in found.trace if step.name == "expansion")
    assert added == ["crust browned by an oven", "yeast and dough"]
    with stub_llm(answer, fault_every=1) as stub:  # every reply fails in its way: rules, and the question as it is
        llm = LlmClient(stub.url, "m", bounds)
        for _ in range(5):
            found = search("In your LinkedIn posts, how is it made?", "three", index, encoder, recipe, llm=llm)
            assert found.filters == {"platform": ["linkedin"]}
            assert [hit.chunk.document_id for hit in found.hits] == ["bread"]
        assert len(stub.faults) == 5
    dead = LlmClient(stub.url, "m", bounds)  # nobody listens there any more
    assert search("the oven", "three", index, encoder, recipe, llm=dead).hits[0].chunk.document_id == "bread"
