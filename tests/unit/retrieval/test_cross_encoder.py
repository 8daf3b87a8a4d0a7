"""Rerank by a cross-encoder with weights: a tiny one, trained here, that tells pairs with shared words from others."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from llm_twin.documents import Chunk
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.records import Hit
from llm_twin.retrieval.rerank import judge_pairs, rerank

pytestmark = pytest.mark.deep  # importing sentence-transformers takes longer than all the rest

WORDS = ["rivers", "bridges", "letters", "gardens"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a two-layer BERT that scores a pair: 1 where both sides are the same word, 0 elsewhere."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder: Path = tmp_path_factory.mktemp("cross-encoder")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *WORDS]), encoding="utf-8")
    vocabulary = {word: at for at, word in enumerate([*special, *WORDS])}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16, num_labels=1, initializer_range=0.2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    network = BertForSequenceClassification(config).train()
    pairs = list(product(WORDS, WORDS))
    batch = tokenizer([one for one, _ in pairs], [other for _, other in pairs], return_tensors="pt")
    wanted = torch.tensor([float(one == other) for one, other in pairs])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(400):
        logits = network(**batch).logits[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.02:
            break
    network.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def hits() -> list[Hit]:
    """One passage a word, the first best."""
    found = []
    for at, word in enumerate(WORDS):
        chunk = Chunk(
            chunk_id=word, document_id=word, revision_id="r", author="a", platform="site", kind="article",
            url=f"https://example.org/{word}", position=0, start=0, end=len(word), text=word,
        )  # fmt: skip
        found.append(Hit(chunk, 1.0 - at / 10))
    return found


def test_pairs_that_belong_together_score_highest(model: str) -> None:
    for word in WORDS:
        scores = judge_pairs(model, word, WORDS)
        assert WORDS[int(scores.argmax())] == word


def test_the_weight_decides_who_leads(model: str) -> None:
    """At full weight the cross-encoder's order holds, at none the fused one, and between them both count."""
    order = {}
    for weight in (0.0, 0.3, 1.0):
        recipe = RetrievalRecipe(cross_encoder=model, cross_encoder_weight=weight, neighbour_weight=0)
        order[weight] = [one.chunk.text for one in rerank("gardens", hits(), recipe)]
    assert order[0.0] == WORDS
    assert order[1.0][0] == "gardens"
    assert order[0.3][0] == "rivers" and order[0.3].index("gardens") < WORDS.index("gardens")
