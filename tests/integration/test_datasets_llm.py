"""The LLM client and what the data set does with it, against a server on loopback that misbehaves."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from llm_twin.datasets import build_dataset, render_report, write_dataset
from llm_twin.datasets.filters import Dropped
from llm_twin.datasets.llm_samples import Ranked, rank_responses, write_llm_questions
from llm_twin.datasets.passages import cut_passages
from llm_twin.documents import CleanDocument, stable_id
from llm_twin.errors import BudgetError, InputError, ServiceError
from llm_twin.llm import LlmClient, ReplyCache, Request, open_client
from llm_twin.recipes import DatasetsRecipe, LlmRecipe
from tests.integration.stub_llm import FAULTS, stub_llm

QUICK = LlmRecipe(timeout_seconds=1.0, retries=3, concurrency=8)


class Word(BaseModel):
    word: str


def answer_word(prompt: str) -> dict[str, Any]:
    return {"word": prompt.split()[-1]}


def answer_any(prompt: str) -> dict[str, Any]:
    """What the prompts of the data set ask for, told apart by the shape that they name."""
    if '"ranking"' in prompt:
        return {"ranking": [1, 2], "confidence": 0.9, "reason": "the first is plainer"}
    if '"text"' in prompt:
        return {"text": "Instruments require regular maintenance, as every professional in the field is well aware."}
    return {"instruction": f"Tell your readers about matter number {stable_id(prompt)[:6]}."}


def make_documents(count: int) -> list[CleanDocument]:
    """Documents of six paragraphs, each of words that no other has."""
    documents = []
    for number in range(count):
        paragraphs = [
            f"Note {number}-{part}: the {name} kept time{number}x{part} “well enough”, we’d say — until the"
            f" clerk{number}y{part} asked for entry {number * 31 + part} twice, read the log{part}z{number} aloud"
            f" and wound the spring{number}q{part} by hand before supper{part}r{number}."
            for part, name in enumerate(("clock", "gauge", "bell", "lamp", "buoy", "cable"))
        ]
        text = "\n\n## Part\n\n".join(paragraphs)
        name = f"https://author.example/{number}"
        documents.append(
            CleanDocument(
                document_id=stable_id("a", name), revision_id=stable_id(text), author="a", platform="site",
                kind="article", url=name, title=f"Piece {number}", text=text, retrieval_text=text,
            )
        )  # fmt: skip
    return documents


def test_every_question_has_an_outcome_and_the_counts_add_up(tmp_path: Path) -> None:
    with stub_llm(answer_word) as stub:
        client = LlmClient(stub.url, "stub", QUICK, cache=ReplyCache(tmp_path / "replies.db"))
        outcomes = client.ask_all([Request(f"say w{number}") for number in range(100)], Word)
        assert len(outcomes) == 100
        answered = [o.value.word for o in outcomes if o.value]
        assert answered == [f"w{n}" for n, o in enumerate(outcomes) if o.value]  # in the order asked
        assert sum(client.ledger.outcomes.values()) == 100
        assert client.ledger.outcomes["answered"] == len(answered) >= 90
        assert set(stub.faults) == set(FAULTS)
        assert client.ledger.requests >= stub.requests
        # every fault was met with a retry or a repair, or is the reason of a failed outcome
        failed = sum(1 for o in outcomes if o.failure)
        assert sum(client.ledger.retries.values()) + failed >= sum(stub.faults.values())


def test_no_more_than_the_recipes_requests_are_in_flight() -> None:
    def answer_slowly(prompt: str) -> dict[str, Any]:
        time.sleep(0.02)
        return answer_word(prompt)

    patient = QUICK.model_copy(update={"timeout_seconds": 30, "concurrency": 3})
    with stub_llm(answer_slowly, fault_every=0) as stub:
        LlmClient(stub.url, "stub", patient).ask_all([Request(f"say w{number}") for number in range(20)], Word)
        assert 1 < stub.most_in_flight <= 3
        assert stub.requests == 20


def test_a_second_run_asks_only_what_failed(tmp_path: Path) -> None:
    requests = [Request(f"say w{number}") for number in range(40)]
    with stub_llm(answer_word) as stub:
        first = LlmClient(stub.url, "stub", QUICK, cache=ReplyCache(tmp_path / "replies.db"))
        failed = [o.failure for o in first.ask_all(requests, Word) if o.failure]
        before = stub.requests
        stub.fault_every = 0
        second = LlmClient(stub.url, "stub", QUICK, cache=ReplyCache(tmp_path / "replies.db"))
        outcomes = second.ask_all(requests, Word)
        assert [o.value.word for o in outcomes if o.value] == [f"w{number}" for number in range(40)]
        assert stub.requests - before == len(failed)
        assert second.ledger.outcomes["cached"] == 40 - len(failed)
        other = LlmClient(stub.url, "another-model", QUICK, cache=ReplyCache(tmp_path / "replies.db"))
        assert not other.ask_all(requests[:1], Word)[0].cached


def test_the_budget_stops_the_run_before_it_is_overrun_and_keeps_what_was_answered(tmp_path: Path) -> None:
    recipe = QUICK.model_copy(update={"max_total_tokens": 1500, "max_tokens": 50})
    with stub_llm(answer_word, fault_every=0) as stub:
        client = LlmClient(stub.url, "stub", recipe, cache=ReplyCache(tmp_path / "replies.db"))
        with pytest.raises(BudgetError, match="1,500 tokens"):
            client.ask_all([Request(f"say w{number}") for number in range(100)], Word)
        assert 0 < client.ledger.tokens_in + client.ledger.tokens_out <= 1500
        richer = recipe.model_copy(update={"max_total_tokens": 0})
        again = LlmClient(stub.url, "stub", richer, cache=ReplyCache(tmp_path / "replies.db"))
        assert again.ask_all([Request("say w0")], Word)[0].cached


def test_cost_is_counted_and_limited() -> None:
    recipe = QUICK.model_copy(update={"price_in": 1000.0, "price_out": 2000.0, "max_cost": 1.0, "max_tokens": 20})
    with stub_llm(answer_word, fault_every=0) as stub:
        client = LlmClient(stub.url, "stub", recipe)
        with pytest.raises(BudgetError, match="budget of 1 "):
            client.ask_all([Request(f"say w{number}") for number in range(100)], Word)
        spent = client.ledger
        assert (
            spent.cost == pytest.approx((spent.tokens_in * 1000 + spent.tokens_out * 2000) / 1e6) and spent.cost <= 1.0
        )


def test_a_server_that_is_not_there_ends_the_run_with_a_remedy() -> None:
    client = LlmClient("http://127.0.0.1:9/v1", "stub", QUICK.model_copy(update={"retries": 0}))
    with pytest.raises(ServiceError, match="LLM_TWIN_LLM_BASE_URL"):
        client.ask_all([Request("anyone?")], Word)


def test_no_passage_is_lost_when_instructions_and_rejected_texts_come_from_a_server_that_fails(tmp_path: Path) -> None:
    documents = make_documents(20)
    rules = build_dataset(documents, DatasetsRecipe(embedder=""))
    recipe = DatasetsRecipe(embedder="", instructions_from="llm", rejected_from="llm", judge_with_llm=True, llm=QUICK)
    with stub_llm(answer_any) as stub:
        client = open_client(stub.url, "stub", QUICK, "", tmp_path)
        built = build_dataset(documents, recipe, client=client)
    assert client is not None
    counts = built.llm["results"]
    instructed = sum(count for name, count in counts.items() if name.startswith("instruction: "))
    assert instructed == built.passages == rules.passages
    assert counts["instruction: llm"] > 0.8 * built.passages
    dropped = sum(built.dropped.counts.values())
    assert len(built.instructions) + dropped == built.passages
    assert {s.output for s in rules.instructions} == {s.output for s in built.instructions}
    paired = sum(count for name, count in counts.items() if name.startswith("rejected: "))
    assert paired == len(built.instructions)
    judged = sum(count for name, count in counts.items() if name.startswith("judged: "))
    assert (
        judged
        == paired - counts.get("rejected: none, too alike", 0)
        == len(built.preferences) + sum(built.unpaired[name] for name in ("judged the other way", "over the limit"))
    )
    assert counts["judged: preferred the rejected"] == built.unpaired["judged the other way"] > 0
    asked = built.passages - counts.get("instruction: by its kind", 0) + paired + judged
    assert sum(client.ledger.outcomes.values()) == asked
    page = render_report(built, write_dataset(built, tmp_path / "samples"))
    assert "instruction: llm" in page and "tokens" in page
    written = json.loads((tmp_path / "samples" / "manifest.json").read_text())
    assert written["counts"]["llm"] == counts


def answer_with_questions(prompt: str) -> dict[str, Any]:
    """As answer_any, and for questions one answer from the passage and one from nowhere."""
    if '"pairs"' not in prompt:
        return answer_any(prompt)
    passage = prompt[prompt.index("Note ") :].split(" — until")[0]
    return {
        "pairs": [
            {"question": f"What of {stable_id(prompt)[:6]}?", "answer": f"{passage}."},
            {"question": "And who paid for all of it?", "answer": "Zzz zzz zzz zzz zzz zzz, zzzz zzz zzzz."},
        ]
    }


def test_with_every_use_of_a_failing_model_at_once_all_is_accounted_for_and_a_second_build_asks_nothing(
    tmp_path: Path,
) -> None:
    documents = make_documents(15)
    recipe = DatasetsRecipe(
        embedder="", instructions_from="llm", questions_from_llm=True, rejected_from="llm", judge_with_llm=True,
        min_output_words=8, max_cosine=1.0, llm=QUICK,
    )  # fmt: skip
    with stub_llm(answer_with_questions) as stub:
        built = build_dataset(
            documents, recipe, Letters(), open_client(stub.url, "stub", QUICK, "", tmp_path / "cache")
        )
        counts = built.llm["results"]
        asked = sum(count for name, count in counts.items() if name.startswith("questions: "))
        assert asked == built.passages  # each passage was asked about, or is counted under why it was not
        assert counts["answers: not supported"] == built.dropped.counts["unsupported answer"] > 50
        assert built.made["questions"] == counts["answers: supported"] + counts["answers: not supported"]
        assert len(built.instructions) + sum(built.dropped.counts.values()) == built.passages + built.made["questions"]
        assert set(stub.faults) == set(FAULTS)
        page = render_report(built, write_dataset(built, tmp_path / "first"))
        assert "unsupported answer" in page and "zzz zzz" in page  # with an example
        # what failed is asked again; then nothing is
        stub.fault_every = 0
        build_dataset(documents, recipe, Letters(), open_client(stub.url, "stub", QUICK, "", tmp_path / "cache"))
        before = stub.requests
        client = open_client(stub.url, "stub", QUICK, "", tmp_path / "cache")
        write_dataset(build_dataset(documents, recipe, Letters(), client), tmp_path / "third")
        client = open_client(stub.url, "stub", QUICK, "", tmp_path / "cache")
        manifest = write_dataset(build_dataset(documents, recipe, Letters(), client), tmp_path / "fourth")
        assert stub.requests == before
    for path in (tmp_path / "third").iterdir():
        assert path.read_bytes() == (tmp_path / "fourth" / path.name).read_bytes()
    assert (
        manifest["model"] == "stub" and {"llm_instruction", "llm_judge", "repair_reply"} <= manifest["prompts"].keys()
    )


def test_a_build_stops_at_its_budget_and_goes_on_from_there(tmp_path: Path) -> None:
    documents = make_documents(8)
    tight = QUICK.model_copy(update={"max_total_tokens": 6000, "timeout_seconds": 30})
    recipe = DatasetsRecipe(embedder="", instructions_from="llm", llm=tight)
    with stub_llm(answer_any, fault_every=0) as stub:
        with pytest.raises(BudgetError, match="6,000 tokens"):
            build_dataset(documents, recipe, client=open_client(stub.url, "stub", tight, "", tmp_path))
        answered = stub.requests
        richer = tight.model_copy(update={"max_total_tokens": 0})
        built = build_dataset(documents, recipe, client=open_client(stub.url, "stub", richer, "", tmp_path))
        assert 0 < answered < built.passages
        cached = built.llm["outcomes"]["cached"]
        assert cached > 0 and stub.requests - answered == built.passages - cached  # only what had no reply yet


def test_a_recipe_that_wants_a_model_says_so_when_there_is_none() -> None:
    with pytest.raises(InputError, match="LLM_TWIN_LLM_BASE_URL"):
        build_dataset(make_documents(5), DatasetsRecipe(embedder="", instructions_from="llm"))


class Letters:
    """Vectors by the letters of a text: enough to tell what repeats a passage from what does not."""

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def test_an_answer_that_the_passage_does_not_support_is_dropped_and_counted() -> None:
    text = (
        "The bell hangs on the north pier. It was cast in 1871 by two brothers from the mainland, and it cracked twice."
    )
    document = CleanDocument(
        document_id="d", revision_id="r", author="a", platform="site", kind="article", url="u", title="The bell",
        text=text, retrieval_text=text,
    )  # fmt: skip

    def answer(prompt: str) -> dict[str, Any]:
        return {
            "pairs": [
                {
                    "question": "When was the bell cast?",
                    "answer": "It was cast in 1871 by two brothers from the mainland.",
                },
                {
                    "question": "Who paid for the bell?",
                    "answer": "The Queen of Denmark paid forty crowns for a steeple.",
                },
            ]
        }

    counts: Counter[str] = Counter()
    patient = QUICK.model_copy(update={"timeout_seconds": 30})
    with stub_llm(answer, fault_every=0) as stub:
        passages = cut_passages(document, 5, 100)
        client = LlmClient(stub.url, "stub", patient)
        dropped = Dropped()
        samples = write_llm_questions(passages, {"d": "train"}, client, Letters(), counts, dropped)
    ((gone, why),) = dropped.samples["unsupported answer"]
    assert gone.instruction == "Who paid for the bell?" and "Queen of Denmark" in why
    assert [(s.kind, s.instruction) for s in samples] == [("question", "When was the bell cast?")]
    assert counts == {"questions: asked": 1, "answers: supported": 1, "answers: not supported": 1}


def test_a_ranking_that_is_none_is_not_used() -> None:
    replies = iter([{"ranking": [2, 3, 1], "confidence": 0.8, "reason": "x"}, {"ranking": [1, 1, 2], "confidence": 1}])
    shown: list[str] = []

    def answer(prompt: str) -> dict[str, Any]:
        shown.append(prompt)
        return next(replies)

    responses = ["one of mine", "another", "a third"]
    patient = QUICK.model_copy(update={"timeout_seconds": 30, "concurrency": 1, "retries": 0})
    with stub_llm(answer, fault_every=0) as stub:
        client = LlmClient(stub.url, "stub", patient)
        (ranked,) = rank_responses([("Say it.", responses)], ["one of mine", "own words"], client)
        assert isinstance(ranked, Ranked) and (ranked.confidence, ranked.reason) == (0.8, "x")
        order = sorted(responses, key=lambda text: shown[0].index(f":\n{text}"))  # as the model saw them
        assert [responses[i] for i in ranked.order] == [order[1], order[2], order[0]]
        assert shown[0].count("one of mine") == 1 and "own words" in shown[0]  # no sample gives the answer away
        assert rank_responses([("Say it.", responses)], ["own words"], client) == [None]
