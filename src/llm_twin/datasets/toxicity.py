"""Toxicity: abuse of people and threats, by patterns and by a classifier that is either packaged or named.

An author may swear; that is voice. What is looked for is aimed at somebody. The packaged classifier (a linear model
over words, from alt-profanity-check) knows swearing from plain text but not at whom, so it is asked about the words
around each mention of a person only. A classifier from a hub or folder is asked about whole sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from llm_twin.datasets.blocks import sentence_spans
from llm_twin.documents import InstructionSample
from llm_twin.errors import InputError, ModelError

PACKAGED = "profanity-check"
AROUND = 4  # words on each side of the mention of a person
BENIGN = frozenset({"neutral", "normal", "clean", "safe", "ok", "benign", "label_0", "not", "non", "no", "none"})

# Abuse aimed at someone and threats, in so many words; what a model misses of the blunt kind.
BLUNT = re.compile(
    r"\b(kill (?:your|him|her|them)sel(?:f|ves)|(?:i|we)(?:'ll| will| should| are going to) (?:kill|shoot|rape|lynch) "
    r"(?:you|him|her|them)|(?:go|just) die\b|piece of shit (?:like|of a)|fuck (?:you|him|her|them|off)|"
    r"i will (?:find|hunt) you\b|break your (?:legs|neck|bones)|"
    r"(?:those|these|all) \w+ (?:are|is) (?:vermin|subhuman|parasites|animals)|retard(?:ed|s)|son of a bitch)\b",
    re.IGNORECASE,
)
# Who abuse is aimed at: people, and the words that call them names.
PERSON = re.compile(
    r"(?:you|u|yourself|yourselves|you(?:'re|'ve|'ll)|he|she|him|they|them|he's|she's|they're|who|whoever|people|"
    r"folks?|guys?|m[ae]n|wom[ae]n|girls?|boys?|kids?|everyone|everybody|nobody|anyone|anybody|"
    r"idiots?|morons?|bitch(?:es)?|whores?|sluts?|cunts?|faggots?|assholes?|"
    r"immigrants?|migrants?|refugees?|foreigners?|jews?|muslims?|christians?|hindus?|blacks?|whites?|asians?|arabs?|"
    r"mexicans?|gays?|lesbians?|liberals?|conservatives?|feminists?)",
    re.IGNORECASE,
)

Score = Callable[[Sequence[str]], Sequence[float]]  # texts → probability (0 to 1) that each is toxic


def make_toxicity_judge(model: str, limit: float) -> Callable[[InstructionSample], str]:
    """A filter that says what in an output is toxic. `model`: PACKAGED, a hub id or folder, or "" (patterns only)."""
    score = load_classifier(model) if model else None

    def judge(sample: InstructionSample) -> str:
        text = sample.output.replace("’", "'")
        found = BLUNT.search(text)
        if found:
            return f"“{found[0]}”"
        if score is None:
            return ""
        parts = _sentences(text)
        if model == PACKAGED:
            parts = [window for part in parts for window in _around_people(part)]
        scores = score(parts) if parts else []
        worst = max(range(len(parts)), key=lambda i: scores[i], default=-1)
        return f"{scores[worst]:.2f}: “{parts[worst][:120]}”" if worst >= 0 and scores[worst] >= limit else ""

    return judge


def load_classifier(name: str) -> Score:
    """The packaged classifier, or a sequence classifier of transformers from a folder or the hub.

    Raises ModelError when it cannot be loaded, InputError when none of its labels says what is toxic.
    """
    if name == PACKAGED:
        from profanity_check import predict_prob

        return lambda texts: [float(value) for value in predict_prob(list(texts))]
    return _load_sequence_classifier(name)


def _load_sequence_classifier(name: str) -> Score:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForSequenceClassification.from_pretrained(name, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"cannot load the toxicity classifier {name}: {reason}",
            f"check the name and the hub, or take {PACKAGED}, which needs none",
        ) from error
    toxic = toxic_labels(model.config.id2label)
    if not toxic:
        labels = ", ".join(map(str, model.config.id2label.values()))
        raise InputError(f"no label of {name} says what is toxic: {labels}", "choose a toxicity classifier")
    several = model.config.problem_type == "multi_label_classification" or len(toxic) == len(model.config.id2label)

    def score(texts: Sequence[str]) -> list[float]:
        encoded: Any = tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**encoded).logits.float()
        if several:  # each label by itself: the worst of them
            return torch.sigmoid(logits)[:, toxic].amax(-1).tolist()
        return torch.softmax(logits, -1)[:, toxic].sum(-1).tolist()

    return score


def toxic_labels(names: dict[int, str]) -> list[int]:
    """The numbers of the labels that are not benign by name (`neutral`, `non-toxic`, `LABEL_0` …)."""
    return [
        number
        for number, label in sorted(names.items())
        if str(label).lower() not in BENIGN and re.split(r"[\W_]+", str(label).lower())[0] not in BENIGN
    ]


def _sentences(text: str) -> list[str]:
    return [part for start, end in sentence_spans(text, 0, len(text)) if (part := text[start:end].strip())]


def _around_people(sentence: str) -> list[str]:
    """The words around each mention of a person; code and links are none."""
    words = re.sub(r"`[^`]*`|https?://\S+|[*_~#>\[\]()\"“”]+", " ", sentence).split()
    return [
        " ".join(words[max(0, at - AROUND) : at + AROUND + 1])
        for at, word in enumerate(words)
        if PERSON.fullmatch(word.strip(".,;:!?—–…"))
    ]
