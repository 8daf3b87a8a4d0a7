"""Toxicity: abuse of people goes, an author's swearing stays; a classifier of one's own is loaded and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_twin.datasets.toxicity import PACKAGED, make_toxicity_judge, toxic_labels
from llm_twin.documents import InstructionSample
from llm_twin.errors import InputError, ModelError

ABUSE = [
    "You are a worthless idiot and nobody likes you.",
    "These people are scum and should be deported or shot.",
    "Women are too stupid to write code.",
    "He’s a disgusting faggot.",
    "Dumb bitch can't even merge a branch.",
]
BLUNT = ["Go kill yourself.", "I will find you and break your legs.", "Those immigrants are vermin."]
FAIR = [
    "Kill the process, and the zombie children die with it.",
    "Damn, that bug was stupid of me.",
    "This shit is hard, and I love it. The parser is dumb on purpose.",
    "The cock crowed at five and the ass brayed.",
    "You can do all kinds of things with macros, and people do.",
    "Sex differences in the sample were not significant; she was a gay activist.",
]


def sample(output: str) -> InstructionSample:
    return InstructionSample(
        sample_id="s", document_id="d", revision_id="r", author="a", url="u", split="train", kind="post",
        instruction="Write.", output=output, instruction_source="template",
    )  # fmt: skip


@pytest.mark.parametrize("text", [*ABUSE, *BLUNT])
def test_abuse_of_people_is_found_among_fair_sentences(text: str) -> None:
    judge = make_toxicity_judge(PACKAGED, 0.9)
    assert judge(sample(f"The tide was low. {text} We went home."))


@pytest.mark.parametrize("text", FAIR)
def test_swearing_and_hard_words_of_the_trade_are_not_abuse(text: str) -> None:
    assert make_toxicity_judge(PACKAGED, 0.9)(sample(text)) == ""


@pytest.mark.parametrize("text", ABUSE)
def test_without_a_classifier_patterns_find_the_blunt_only(text: str) -> None:
    judge = make_toxicity_judge("", 0.9)
    assert judge(sample(text)) == "" and all(judge(sample(blunt)) for blunt in BLUNT)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a classifier of a few hundred weights that has learnt that `vile` is toxic."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "the", "tide", "gauge", "is", "was", "vile", "fair", "wet", "."]
    words_model = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    words_model.normalizer = normalizers.Lowercase()
    words_model.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words_model, pad_token="[PAD]", unk_token="[UNK]")

    def make(labels: list[str], toxic: int, several: bool) -> Path:
        torch.manual_seed(1)
        config = BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(labels)), label2id={label: n for n, label in enumerate(labels)},
            problem_type="multi_label_classification" if several else "single_label_classification",
        )  # fmt: skip
        model = BertForSequenceClassification(config)
        texts = ["the tide is vile .", "vile was the gauge .", "the tide is wet .", "the gauge was fair ."]
        goal = torch.zeros(4, len(labels)) if several else torch.full((4,), 1 - toxic if len(labels) == 2 else 0)
        if several:
            goal[:2, toxic] = 1
        else:
            goal[:2] = toxic
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(150):
            optimizer.zero_grad()
            model(**batch, labels=goal).loss.backward()
            optimizer.step()
        folder = tmp_path_factory.mktemp("classifier")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize(
    ("labels", "toxic", "several"),
    [
        (["neutral", "toxic"], 1, False),
        (["LABEL_0", "LABEL_1"], 1, False),
        (["toxic", "non-toxic"], 0, False),
        (["toxic", "insult", "threat"], 1, True),
    ],
)
def test_a_classifier_from_a_folder_is_asked_about_each_sentence(
    bert: Any, labels: list[str], toxic: int, several: bool
) -> None:
    judge = make_toxicity_judge(str(bert(labels, toxic, several)), 0.5)
    assert "“The gauge is vile .”" in judge(sample("The tide was fair . The gauge is vile . The tide is wet ."))
    assert judge(sample("The tide was fair . The gauge is wet .")) == ""


def test_a_classifier_that_is_not_there_or_says_nothing_of_toxicity_is_named(bert: Any) -> None:
    with pytest.raises(ModelError, match=f"/nowhere.*{PACKAGED}"):
        make_toxicity_judge("/nowhere/classifier", 0.5)
    with pytest.raises(InputError, match="no label"):
        make_toxicity_judge(str(bert(["neutral", "clean"], 0, False)), 0.5)
    assert toxic_labels({0: "toxicity", 1: "not_toxic", 2: "NEUTRAL", 3: "hate"}) == [0, 3]
