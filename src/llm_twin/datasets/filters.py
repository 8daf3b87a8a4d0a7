"""Filters on single samples: each names why a sample goes, and every sample that goes is counted and shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llm_twin.datasets.passages import count_words
from llm_twin.datasets.toxicity import make_toxicity_judge
from llm_twin.documents import InstructionSample
from llm_twin.privacy import find_pii
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.overlap import RunIndex

Judge = Callable[[InstructionSample], str]  # why a sample goes, or ""


@dataclass
class Dropped:
    """Samples that went, by filter: each with what was found."""

    samples: dict[str, list[tuple[InstructionSample, str]]] = field(default_factory=dict)

    def add(self, name: str, sample: InstructionSample, detail: str) -> None:
        """Note that filter `name` took `sample` because of `detail`."""
        self.samples.setdefault(name, []).append((sample, detail))

    @property
    def counts(self) -> dict[str, int]:
        """How many samples each filter took."""
        return {name: len(taken) for name, taken in self.samples.items()}


def apply_filters(
    samples: Iterable[InstructionSample], filters: dict[str, Judge], dropped: Dropped
) -> list[InstructionSample]:
    """Keep the samples that no filter objects to; the first that does is the one counted."""
    for name in filters:
        dropped.samples.setdefault(name, [])
    kept = []
    for sample in samples:
        for name, judge in filters.items():
            detail = judge(sample)
            if detail:
                dropped.add(name, sample, detail)
                break
        else:
            kept.append(sample)
    return kept


def list_filters(recipe: DatasetsRecipe, languages: dict[str, str | None]) -> dict[str, Judge]:
    """The filters in the order in which they are asked, by name. `languages`: document id → ISO 639-1 code."""
    return {
        "length": lambda sample: judge_length(sample, recipe),
        "language": lambda sample: judge_language(sample, languages.get(sample.document_id)),
        "spam": judge_spam,
        "low quality": judge_quality,
        "toxicity": make_toxicity_judge(recipe.toxicity_model, recipe.max_toxicity),
        "personal data": judge_personal_data,
        "echo": judge_echo,
    }


def judge_length(sample: InstructionSample, recipe: DatasetsRecipe) -> str:
    """Outside the recipe's minimum and maximum of words."""
    words = count_words(sample.output)
    return "" if recipe.min_output_words <= words <= recipe.max_output_words else f"{words} words"


SPAM = re.compile(
    r"\b(subscribe (?:now|today|to)|sign up (?:now|here|for)|click (?:here|the link)|share this post|leave a comment|"
    r"buy now|limited[- ]time offer|use (?:the )?code \w+|(?:upgrade to|become a) (?:a )?paid|follow me on|"
    r"thanks for reading|hit the like|smash the|link in (?:the )?(?:bio|comments)|affiliate link|sponsored by)\b",
    re.IGNORECASE,
)


def judge_spam(sample: InstructionSample) -> str:
    """Calls to subscribe, buy or click: two different ones, or one in a text of under 40 words."""
    found = sorted({match[0].lower() for match in SPAM.finditer(sample.output)})
    if len(found) >= 2 or (found and count_words(sample.output) < 40):
        return ", ".join(found)
    return ""


URL = re.compile(r"https?://\S+")


def judge_quality(sample: InstructionSample) -> str:
    """Text that is mostly not prose: few letters, mostly links, one line over and over, no sentence in it."""
    text = sample.output
    plain = URL.sub("", text)
    dense = "".join(plain.split())
    if not dense:
        return "links only"
    letters = sum(char.isalpha() for char in dense) / len(dense)
    if letters < 0.6:
        return f"{letters:.0%} letters"
    words = plain.lower().split()
    if len(words) >= 20 and len(set(words)) / len(words) < 0.3:
        return f"{len(set(words))} different of {len(words)} words"
    if len(plain) < 0.5 * len(text):
        return "mostly links"
    if not re.search(r"[.!?…:]", plain):
        return "no sentence"
    return ""


MIN_LANGUAGE_WORDS = 20
MIN_LANGUAGE_CONFIDENCE = 0.9


def judge_language(sample: InstructionSample, expected: str | None) -> str:
    """A passage that is surely in another language than its document (a long quotation, say)."""
    if not expected or count_words(sample.output) < MIN_LANGUAGE_WORDS:
        return ""
    detector = _language_detector()
    found = detector.compute_language_confidence_values(sample.output)[0]
    code = found.language.iso_code_639_1.name.lower()
    return f"{code} in a document in {expected}" if code != expected and found.value > MIN_LANGUAGE_CONFIDENCE else ""


@lru_cache(maxsize=1)
def _language_detector() -> Any:
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


def judge_personal_data(sample: InstructionSample) -> str:
    """Personal data in it: the target is trained on as written, so it cannot be masked."""
    kinds = sorted({finding.kind for text in (sample.output, sample.instruction) for finding in find_pii(text)})
    return ", ".join(kinds)


def judge_echo(sample: InstructionSample) -> str:
    """An instruction that holds a good part of its answer."""
    share = RunIndex([sample.instruction]).share(sample.output, 5)
    return f"{share:.0%} of the output stands in the instruction" if share > 0.2 else ""
