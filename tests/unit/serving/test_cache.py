"""The answer cache: what it may give again, and what it must not."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from llm_twin.documents import Author, Chunk
from llm_twin.recipe_serving import CacheRecipe, ServingRecipe
from llm_twin.serving.answering import Asked, Origin, Parts, Source
from llm_twin.serving.asking import answer_all
from llm_twin.serving.cache import TimedCache, answer_key
from llm_twin.serving.predictor_client import Draft, PredictorError
from llm_twin.serving.retrieving import RememberingEncoder, ScopedEncoder
from llm_twin.serving.twins import Twin

TWIN = Twin(name="ada", author=Author(id="ada", name="Ada"), index="i1", release="r1", variants={"base": "base"})
ASKED = Asked("What oil goes into the lamp?", origin=Origin("1", "all ask"))
TEXT = "The lamp burns rapeseed oil in winter."


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Predictor:
    """Writes a supported sentence, and counts how often it was asked."""

    def __init__(self):
        self.asked, self.fails = 0, False

    async def chat(self, body, request_id="", hedging=None):
        self.asked += 1
        if self.fails:
            raise PredictorError("gone")
        return Draft([TEXT], ["stop"], 7, 5)


class WordVectors:
    fingerprint, dimension = "words-1", 64

    def __init__(self):
        self.queries = []

    def encode(self, texts):
        rows = np.zeros((len(texts), 64), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[sum(word.encode()) % 64] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def encode_query(self, text):
        self.queries.append(text)
        return self.encode([text])[0]

    def count_tokens(self, text):
        return len(text.split())


@pytest.fixture
def parts():
    chunk = Chunk(
        chunk_id="c1", document_id="d", revision_id="r", author="ada", platform="site", kind="article",
        url="https://x.example", position=0, start=0, end=len(TEXT), text=TEXT,
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        yield Parts(Predictor(), lambda asked, twin: [Source(chunk, 0.9, 0.9)], WordVectors(), pool)


def ask(parts, asked=ASKED, twin=TWIN):
    return asyncio.run(answer_all(asked, twin, parts)).answers[0]


@pytest.fixture(autouse=True)
def no_guards(monkeypatch):
    monkeypatch.setattr(Parts, "guards_of", lambda self, twin: None)


def test_the_same_question_is_answered_once_and_each_request_has_its_own_trace(parts):
    first, second = ask(parts), ask(parts, replace(ASKED, origin=Origin("2", "all ask")))
    assert parts.predictor.asked == 1 and first.status == "generated"
    assert (first.text, first.sentences, first.sources) == (second.text, second.sentences, second.sources)
    assert first.trace_id != second.trace_id and "cache" in second.seconds


@pytest.mark.parametrize(
    ("asked", "twin"),
    [
        (replace(ASKED, origin=Origin("1", "ada ask")), TWIN),
        (replace(ASKED, question="What oil goes into a lamp?"), TWIN),
        (replace(ASKED, history=({"role": "user", "content": "Hello"},)), TWIN),
        (replace(ASKED, variant="base"), TWIN),
        (replace(ASKED, top_k=2), TWIN),
        (replace(ASKED, sampling={"max_tokens": 9}), TWIN),
        (ASKED, TWIN.model_copy(update={"author": Author(id="bob", name="Bob")})),
        (ASKED, TWIN.model_copy(update={"index": "i2"})),
        (ASKED, TWIN.model_copy(update={"release": "r2"})),
        (ASKED, TWIN.model_copy(update={"model": "dpo"})),
        (ASKED, TWIN.model_copy(update={"serving": ServingRecipe(min_support=0.4)})),
    ],
)
def test_nothing_crosses_scopes_authors_or_versions(parts, asked, twin):
    ask(parts)
    ask(parts, asked, twin)
    assert parts.predictor.asked == 2


def test_another_prompt_is_another_answer(parts, monkeypatch):
    before = answer_key(ASKED, TWIN)
    monkeypatch.setattr("llm_twin.serving.cache.prompt_version", lambda name: "changed")
    assert answer_key(ASKED, TWIN) != before


def test_what_chance_decides_is_not_kept(parts):
    warm = replace(ASKED, sampling={"temperature": 0.8})
    ask(parts, warm)
    ask(parts, warm)
    seeded = replace(ASKED, sampling={"temperature": 0.8, "seed": 3})
    ask(parts, seeded)
    ask(parts, seeded)
    assert parts.predictor.asked == 3


def test_an_extract_for_want_of_a_predictor_is_not_kept(parts):
    parts.predictor.fails = True
    assert ask(parts).status == "extracted"
    parts.predictor.fails = False
    assert ask(parts).status == "generated"


def test_a_forgotten_passage_is_not_quoted_again(parts):
    there = {"c1"}
    parts.still_there = lambda author, ids: set(ids) <= there
    ask(parts)
    ask(parts)
    assert parts.predictor.asked == 1
    there.clear()
    ask(parts)
    assert parts.predictor.asked == 2


def test_it_can_be_switched_off(parts):
    off = TWIN.model_copy(update={"serving": ServingRecipe(cache=CacheRecipe(answers=False))})
    ask(parts, ASKED, off)
    ask(parts, ASKED, off)
    assert parts.predictor.asked == 2


def test_values_age_and_make_room():
    clock = Clock()
    cache = TimedCache(2, 10, clock)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert cache.get("b") is None and cache.get("a") == 1 and len(cache) == 2
    clock.now = 10
    assert cache.get("a") is None and cache.get("c") is None and len(cache) == 0


def test_vectors_of_questions_are_kept_apart_by_author_and_scope():
    inner, queries, lock = WordVectors(), TimedCache(10, 60), threading.Lock()
    remembering = RememberingEncoder(inner)
    for author, scope in (("ada", "all"), ("ada", "all"), ("bob", "all"), ("ada", "few")):
        scoped = ScopedEncoder(remembering, author, scope, queries, lock)
        assert scoped.encode_query("oil") @ inner.encode(["oil"])[0] == pytest.approx(1)
    assert len(inner.queries) == 3
