"""Flatten a passage into generic prose: the same content in nobody's voice, the rejected side of a preference pair.

Rules only, the same text for the same seed: contractions spelt out, plain verbs made pompous, dashes, asides,
emphasis, emoji and exclamations taken out, short sentences joined, filler put in front, and what makes the prose the
author's own (sayings, one-line paragraphs, questions to the reader) levelled.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from llm_twin.datasets.blocks import sentence_spans

# A past participle behind 'd or 's: had and has, not would and is.
PARTICIPLE = (
    r"(?=\s+(?:(?:\w+ly|not|never|always|already|just|ever|only|also|still)\s+)*(?:been|had|got|gone|come|put|read|set|cut|let|kept|"
    r"left|lost|met|paid|said|sat|seen|sent|sold|spent|stood|taken|taught|thought|told|understood|won|written|done|"
    r"found|held|heard|begun|bought|brought|built|caught|fought|led|run|given|driven|broken|eaten|fallen|forgotten|chosen|spoken|\w{2,}ed)\b)"
)
CONTRACTIONS = {
    r"\bcan['’]t\b": "cannot", r"\bwon['’]t\b": "will not", r"\bshan['’]t\b": "shall not",
    r"\blet['’]s\b": "let us", r"n['’]t\b": " not", r"['’]re\b": " are", r"['’]ve\b": " have",
    r"['’]ll\b": " will", r"\bI['’]m\b": "I am", rf"['’]d\b{PARTICIPLE}": " had", r"['’]d\b": " would",
    rf"\b(it|that|there|he|she|who)['’]s\b{PARTICIPLE}": r"\1 has",
    r"\b(it|that|there|here|what|who|he|she|where|how)['’]s\b": r"\1 is",
}  # fmt: skip
# Words whose formal twin fits wherever they stand; where it depends on the next word, that is asked for.
POMPOUS = {
    "used": "utilized", "using": "utilizing", "helps": "facilitates", "show": "demonstrate", "shows": "demonstrates",
    "showed": "demonstrated", "begin": "commence", "began": "commenced", "buy": "purchase", "bought": "purchased",
    "needs": "requires", "but": "however,", "so": "therefore", "also": "additionally", "try": "attempt",
    "because": "due to the fact that", "tried": "attempted", "big": "substantial", "good": "beneficial",
    "bad": "suboptimal", "many": "numerous", "people": "individuals", "think": "believe", "thought": "believed",
    "things": "aspects", "thing": "aspect", "make": "create", "made": "created", "found": "identified",
    "enough": "sufficient", "now": "at this point in time", "often": "frequently", "always": "consistently",
    "keep": "maintain", "kept": "maintained", "fix": "remediate", "fixed": "remediated", "maybe": "potentially",
    "just": "simply", "really": "significantly", "if": "in the event that", "work": "function", "works": "functions",
    "worked": "functioned", "nice": "pleasant", "wrong": "incorrect", "easy": "straightforward",
}  # fmt: skip
BEFORE_NOUN = {"about": "regarding", "before": "prior to", "after": "subsequent to", "like": "similar to"}
NOUN_AHEAD = r"(?=\s+(?:the|this|these|those|that|my|your|his|her|its|our|their|what|how)\b)"
FILLERS = (
    "It is important to note that", "Furthermore,", "In addition to this,", "Overall,", "It should be mentioned that",
    "As a matter of fact,", "Generally speaking,", "In this context,", "Moreover,", "It is worth noting that",
)  # fmt: skip
OPENERS = ("In today's world, it is widely recognized that", "When considering this topic,", "In general terms,")
CLOSERS = (
    "In conclusion, these considerations are relevant in a variety of contexts.",
    "Overall, this highlights the significance of the topic.",
    "In summary, it is advisable to take these factors into account.",
)
MARKUP = re.compile(
    r"!\[[^\]]*\]\([^)]*\)|\[([^\]]+)\]\([^)]*\)|`([^`\n]+)`|(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)"
)
EMOJI = re.compile("[\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\U0000fe0f\U0000200d]+")
BULLET = re.compile(r"(?m)^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
# What is in every rejected text would be all that a model learns to see.
SWAPPED_SHARE = (0.3, 0.9)  # of the words that have a formal twin; drawn for each text
REORDERED_SHARE = 0.5  # of the texts
PADDED_SHARE = 0.35  # of the texts; an opener and a closer give a text away
FILLED_SHARE = 0.3  # of the sentences of a padded text
MAX_GROWTH = 1.3  # a longer text would be told apart by its length


def degrade_text(text: str, seed: str, whole: bool = False) -> tuple[str, list[str]]:
    """The flattened text, and what was done to it in words. The same text and seed give the same result.

    Which tricks are used is drawn for each text, so that none is in all of them; with `whole` all are.
    """
    chance = random.Random(seed)
    done: list[str] = []
    flat = _note(done, "markup and emoji removed", text, _strip_markup)
    flat = _note(done, "contractions spelt out", flat, _expand)
    flat = _note(done, "dashes, asides and exclamations levelled", flat, _level_punctuation)
    share = SWAPPED_SHARE[1] if whole else chance.uniform(*SWAPPED_SHARE)
    flat = _note(done, "plain words made formal", flat, lambda t: _formalise(t, chance, share))
    sentences = [flat[start:end].strip() for start, end in sentence_spans(flat, 0, len(flat))]
    sentences = [_close(sentence) for sentence in sentences if sentence.strip(" .,")]
    merged = _merge(sentences, chance)
    if len(merged) < len(sentences):
        done.append("short sentences joined")
    if len(merged) > 3 and (whole or chance.random() < REORDERED_SHARE):
        middle = merged[1:-1]
        chance.shuffle(middle)
        if middle != merged[1:-1]:
            done.append("sentences reordered")
        merged = [merged[0], *middle, merged[-1]]
    padded = merged
    if whole or chance.random() < PADDED_SHARE:
        padded = _pad(merged, chance, int(len(text) * MAX_GROWTH))
    if padded != merged:
        done.append("filler added")
    return " ".join(padded), done


def _note(done: list[str], what: str, text: str, change: Callable[[str], str]) -> str:
    changed = change(text)
    if changed != text:
        done.append(what)
    return changed


def _strip_markup(text: str) -> str:
    plain = MARKUP.sub(lambda match: match[1] or match[2] or "", text)
    plain = EMOJI.sub("", BULLET.sub("", plain))
    plain = re.sub(r"([^\s.!?…:;,])[ \t]*\n[ \t]*\n", r"\1. ", plain)
    return " ".join(plain.split())


def _expand(text: str) -> str:
    for pattern, replacement in CONTRACTIONS.items():
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text


def _level_punctuation(text: str) -> str:
    text = re.sub(r"\s*\(([^()]{1,120})\)", "", text)
    text = re.sub(r"\s*(?:—|--|\s–\s)\s*", ", ", text)
    text = re.sub(r"[“”\"‘]", "", text)
    text = re.sub(r"…|\.\.\.", ".", text)
    text = re.sub(r"!+\??", ".", text)
    text = re.sub(r"\s*;\s*(?:and\s+)?", ", and ", text)
    return re.sub(r"\s+([,.])", r"\1", re.sub(r",\s*([,.])", r"\1", text))


def _formalise(text: str, chance: random.Random, share: float) -> str:
    def swap(match: re.Match[str]) -> str:
        word = match[0]
        formal = POMPOUS.get(word.lower())
        if formal is None or chance.random() > share:
            return word
        return formal[0].upper() + formal[1:] if word[0].isupper() else formal

    for word, formal in BEFORE_NOUN.items():
        text = re.sub(rf"\b{word}\b{NOUN_AHEAD}", formal, text)
    return re.sub(r"\b[A-Za-z]+\b(?!['’])", swap, text)


def _close(sentence: str) -> str:
    sentence = sentence.rstrip(" ,:*_").lstrip(" .,")
    return sentence if sentence.endswith("?") else sentence.rstrip(". ") + "."


# Words that open a sentence and may lose their capital; others may be names.
OPENING = frozenset(
    """a after all although an and any as at because before both but by each even every few for from he her here his
    how i if in it its let many most my no not nothing nobody now of on one or our she since so some that the their
    then there these they this those to two we what when where which while who why with you your at therefore however
    do take write go look find make keep ask tell read try think count start put get see say give use leave stop turn
    people things maybe perhaps nothing everything something once only""".split()
)


def _merge(sentences: list[str], chance: random.Random) -> list[str]:
    """Join a short sentence to the one before it, so that the rhythm evens out."""
    merged: list[str] = []
    for sentence in sentences:
        if merged and len(sentence.split()) <= 7 and merged[-1].endswith(".") and len(merged[-1].split()) < 30:
            joint = chance.choice((", and ", ", which means that ", ", and therefore "))
            merged[-1] = merged[-1][:-1] + joint + _lower_first(sentence)
        else:
            merged.append(sentence)
    return merged


def _pad(sentences: list[str], chance: random.Random, max_characters: int) -> list[str]:
    """Put filler before some sentences, and a generic opener and closer, as far as the length allows."""
    padded = [
        f"{chance.choice(FILLERS)} {_lower_first(s)}" if i and chance.random() < FILLED_SHARE else s
        for i, s in enumerate(sentences)
    ]
    if padded:
        padded[0] = f"{chance.choice(OPENERS)} {_lower_first(padded[0])}"
    length = sum(len(sentence) + 1 for sentence in padded)
    closer = chance.choice(CLOSERS)
    if length + len(closer) <= max_characters:
        padded.append(closer)
    return padded


def _lower_first(sentence: str) -> str:
    first = re.split(r"[\s,'’]", sentence, maxsplit=1)[0]
    if first == "I" or first.lower() not in OPENING:
        return sentence
    return sentence[0].lower() + sentence[1:]
