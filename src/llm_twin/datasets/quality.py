"""What a data set covers and how varied it is, and what that is enough for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from llm_twin.datasets.blocks import sentence_spans
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.passages import count_words
from llm_twin.documents import InstructionSample
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.tokens import normalise_words

TOKENS_PER_WORD = 1.35  # of a common subword tokenizer on English prose
MIN_TOPICS, MAX_TOPICS = 3, 16
SAMPLES_PER_TOPIC = 25
THIN_SHARE = 0.4  # a topic with less than this share of an even portion of the training samples is thin
# Training samples that carry a voice, by model size, for LoRA. Zhou et al. 2023 (LIMA): 1,000 chosen samples suffice
# for a 65B model's style; smaller models need more of them. The other rows are this project's rule of thumb.
NEEDED = (("under 0.5B", 3000), ("0.5B to 2B", 2000), ("3B to 8B", 1000), ("13B to 70B", 600))


def measure_quality(
    samples: Sequence[InstructionSample],
    vectors: dict[str, np.ndarray],
    weights: PhraseWeights,
    recipe: DatasetsRecipe,
) -> dict[str, Any]:
    """Lengths, complexity, variety, topics and advice as JSON; `vectors` is sample id → unit vector, or empty."""
    train = [sample for sample in samples if sample.split == "train"]
    topics = find_topics(samples, vectors, weights, recipe.seed)
    words = sum(count_words(sample.output) for sample in train)
    return {
        "spread": _spreads(train),
        "variety": _variety(train),
        "topics": topics,
        "train_words": words,
        "train_tokens": int(words * TOKENS_PER_WORD),
        "advice": advise(len(train), int(words * TOKENS_PER_WORD), topics),
    }


def _spreads(samples: Sequence[InstructionSample]) -> dict[str, dict[str, float]]:
    """Tenth, fiftieth and ninetieth percentile of words, words a sentence, and letters a word."""
    lengths: list[float] = []
    sentences: list[float] = []
    letters: list[float] = []
    for sample in samples:
        words = count_words(sample.output)
        lengths.append(words)
        sentences.append(words / max(len(sentence_spans(sample.output, 0, len(sample.output))), 1))
        letters.append(len(re.sub(r"\W", "", sample.output)) / max(words, 1))
    rows = {"words": lengths, "words a sentence": sentences, "letters a word": letters}
    return {
        name: {f"p{at}": round(float(np.percentile(values, at)), 1) for at in (10, 50, 90)}
        for name, values in rows.items()
    }


def _variety(samples: Sequence[InstructionSample]) -> dict[str, float]:
    """Distinct words and word pairs over all of them (Li et al. 2016), in outputs and in instructions."""
    found = {}
    for name in ("output", "instruction"):
        words: list[str] = []
        pairs: set[tuple[str, str]] = set()
        count = 0
        for sample in samples:
            own = normalise_words(getattr(sample, name))
            words += own
            pairs.update(zip(own, own[1:], strict=False))
            count += max(len(own) - 1, 0)
        found[f"distinct words of {name}s"] = round(len(set(words)) / max(len(words), 1), 3)
        found[f"distinct word pairs of {name}s"] = round(len(pairs) / max(count, 1), 3)
    found["instruction openings"] = len({" ".join(s.instruction.split()[:3]) for s in samples})
    return found


def find_topics(
    samples: Sequence[InstructionSample], vectors: dict[str, np.ndarray], weights: PhraseWeights, seed: int
) -> list[dict[str, Any]]:
    """Topics as clusters of the outputs' vectors (k-means), named by their key phrases; none without vectors."""
    known = [sample for sample in samples if sample.sample_id in vectors]
    count = min(max(len(known) // SAMPLES_PER_TOPIC, MIN_TOPICS), MAX_TOPICS)
    if len(known) < 2 * count:
        return []
    from sklearn.cluster import KMeans

    matrix = np.stack([vectors[sample.sample_id] for sample in known]).astype(np.float64)
    labels = KMeans(count, n_init=4, random_state=seed).fit_predict(matrix)
    trained = max(sum(sample.split == "train" for sample in known), 1)
    topics = []
    for label in range(count):
        own = [sample for sample, at in zip(known, labels, strict=True) if at == label]
        train_ids = [sample.sample_id for sample in own if sample.split == "train"]
        topics.append(
            {
                "name": ", ".join(weights.pick_phrases("\n".join(sample.output for sample in own), 3)),
                "splits": dict(Counter(sample.split for sample in own)),
                "thin": len(train_ids) < THIN_SHARE * trained / count,
                "train_ids": train_ids,
            }
        )
    return sorted(topics, key=lambda topic: (-sum(topic["splits"].values()), topic["name"]))


def advise(train: int, tokens: int, topics: Sequence[dict[str, Any]]) -> list[str]:
    """What this many samples are enough for, in sentences."""
    enough = [size for size, needed in NEEDED if train >= needed]
    near = [f"{size} ({train / needed:.0%})" for size, needed in NEEDED if train < needed]
    advice = [
        f"{train:,} training samples with some {tokens:,} tokens."
        + (f" Enough for the voice of models of {', '.join(enough)}." if enough else "")
        + (f" Short of what models of these sizes want: {', '.join(near)}." if near else ""),
        "For facts (what was said where and when) rely on retrieval: it cites, and follows what is published. "
        "Fine-tune for voice: phrasing, rhythm, opinions. A twin that answers questions wants both.",
    ]
    if train < NEEDED[-1][1]:
        advice.append(
            "With so few samples take a low LoRA rank (8 to 16), two or three epochs, and watch the validation loss; "
            "below some 200 samples prefer retrieval with a few passages as examples in the prompt."
        )
    thin = [topic["name"] for topic in topics if topic["thin"]]
    if thin:
        advice.append(
            f"Thin topics: {'; '.join(thin)}. Collect more on them, or set datasets.augment_topics_to for further "
            "instructions to the same passages."
        )
    return advice
