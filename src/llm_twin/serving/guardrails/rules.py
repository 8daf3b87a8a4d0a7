# ruff: noqa: E501 - a pattern broken over more lines is harder to read than a long one
"""Rules for the moves that most attacks make: set orders aside, ask for what is hidden, put on another role, fake
the conversation's form, speak to the model from inside a document.

A rule is a witness, not a verdict: the classifier weighs them (`injection.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ORDERS = (
    r"(?:instructions?|directions?|directives?|guidelines?|guardrails|system (?:prompt|message)|prompts?|programming"
    r"|polic(?:y|ies)|restrictions?|constraints?|safeguards|safety|filters?|limitations?|rules?|orders?|commands?"
    r"|training|configuration)"
)
_MODEL = (
    r"(?:ai|a\.i\.|llms?|(?:large )?language models?|chat ?bots?|ai (?:assistants?|agents?|systems?)"
    r"|(?:virtual |digital )?assistants?|models?|gpt|bots?|the twin|crawlers?)"
)
_SET_ASIDE = (
    r"(?:ignor\w*|disregard\w*|forget|overrid\w*|bypass\w*|set(?:ting)? aside|drop|discard|abandon|neglect|erase"
    r"|cancel\w*|void|suspend\w*|circumvent|do(?: not|n't) (?:follow|obey|heed|apply)|stop (?:following|obeying)"
    r"|no longer (?:follow|obey|apply|bound|valid)|(?:not|n't) bound by|leave behind|throw (?:out|away)|delete|clear"
    r"|supersede\w*|replace\w*|nullif\w*|pay no attention to|break)"
)
_OWNED = r"(?:your|previous|prior|earlier|above|preceding|initial|original|system|all|any|former|existing|current|these|those|hidden|safety|content|ethical|built-in|developer'?s?)"
_SHOW = (
    r"(?:reveal|show|print|repeat|output|display|dump|disclose|leak|expose|recite|quote|paste|echo|copy|spell out"
    r"|write (?:out|down)|tell me|give me|list|share|summari[sz]e|translate|encode|return|read (?:out|back)|what (?:is|are|was|were|does)"
    r"|describe|complete|reproduce|reads? out)"
)
_HIDDEN = (
    r"(?:(?:your|the|its) (?:\w+ ){0,3}(?:system|hidden|initial|secret|original|internal|confidential|developer'?s?"
    r"|base|pre|full) ?(?:prompt|message|instructions?|rules?|configuration|directives?|text|guidelines|context)"
    r"|your (?:\w+ ){0,2}(?:prompt|instructions|configuration|guidelines|directives|constraints|programming)"
    r"|(?:exact|full|whole|hidden|secret) (?:prompt|instructions?|system message)"
    r"|instructions (?:that )?you (?:were|have been|are) (?:given|told|running)"
    r"|(?:text|words|message|prompt|content|everything|all)(?: \w+){0,2} (?:above|before) (?:this|mine|my|that)"
    r"|(?:everything|what) you (?:have been|were) told)"
)

# name → (weight, pattern). Weight 1 is enough alone, 0.5 needs another witness.
RULES: dict[str, tuple[float, str]] = {
    "set orders aside": (1.0, rf"\b{_SET_ASIDE}\b(?:\W+\w+){{0,4}}?\W+{_OWNED}\b(?:\W+\w+){{0,3}}?\W*\b{_ORDERS}\b"),
    "set orders aside, plainly": (
        0.5,
        rf"\b{_SET_ASIDE}\b(?:\W+\w+){{0,6}}?\W+(?:{_ORDERS}|everything|all of (?:that|this|the above)|what you were told)\b",
    ),
    "orders end": (
        1.0,
        rf"\b(?:your|the|all|these)\b(?:\W+\w+){{0,3}}?\W+{_ORDERS}\b(?:\W+\w+){{0,3}}?\W+"
        r"(?:cancel\w*|void|revoked|lifted|do(?:es)? not apply|no longer (?:apply|valid|in force)|suspended|over|a test"
        r"|disabled|obsolete|outdated|expired|replaced)\b",
    ),
    "new orders": (
        0.5,
        r"\b(?:new|real|actual|true|updated|following|only) (?:instructions?|task|orders?|rules?|polic(?:y|ies)|command|system message|goal|objective|directive)\b\s*(?:is|are|:|to)",
    ),
    "only obey me": (1.0, r"\b(?:only|just) (?:obey|listen to|follow|answer to) (?:me|what i|my)\b|\bobey (?:me|the user)\b"),
    "ask for what is hidden": (1.0, rf"\b{_SHOW}\b(?:\W+\w+){{0,6}}?\W+{_HIDDEN}"),
    "hidden prompt": (0.5, r"\b(?:your|hidden|secret) (?:system )?(?:prompt|system message|instructions|configuration)\b"),
    "other role without limits": (
        1.0,
        r"\b(?:unrestricted|unfiltered|uncensored|jail ?broken?|unaligned|amoral|without (?:any )?(?:restrictions?|ethic\w*|limits?|filters?|rules|moral\w*|censorship|guidelines|disclaimers?)"
        r"|no (?:restrictions?|limits?|filters?|content policy|ethic\w*|rules|moral\w*|guidelines|boundaries)|free(?:d)? (?:from|of) (?:its|your|all|any) \w+)\b"
        r".{0,60}\b(?:ai|model|assistant|bot|version|mode|persona|answer|speak|respond|hacker)\b",
    ),
    "you without limits": (
        1.0,
        r"\b(?:you(?:'re| are| have| had| will be|r)?|ai|model|assistant|version|mode|persona|bot|twin)\b.{0,60}"
        r"\b(?:unrestricted|uncensored|jail ?broken?|no (?:restrictions?|limits?|filters?|content (?:policy|rules)|ethic\w*|rules|moral\w*|guidelines)"
        r"|without (?:any )?(?:restrictions?|ethic\w*|limits?|filters?|rules|moral\w*|guidelines)|never refuses?|ignores? (?:all|any|every|its|your)|freed from)\b",
    ),
    "put on a role": (
        0.5,
        r"\b(?:you are now|you are no longer|from now on,? (?:you|act|answer|be|deny|speak)|act as(?! a mentor)|pretend (?:to be|that you|you)|role ?play|simulate|"
        r"switch (?:in)?to|enter|activate|enable|play the (?:role|part))\b",
    ),
    "mode": (1.0, r"\b(?:developer|debug|god|dan|jailbreak|opposite|unrestricted|admin\w*|maintenance|root|sudo|evil|test|diagnostic)[ -](?:mode|override)\b.{0,80}\b(?:you|your|filters?|polic|content|disable|enter|enabled?|activat\w+|respond|answer|prompt)|\b(?:enter|activate|enable|switch to|turn on|engage)\b.{0,20}\b(?:developer|debug|god|dan|jailbreak|opposite|unrestricted|admin\w*|maintenance|root|evil)[ -]mode\b"),
    "do anything now": (1.0, r"\bdo anything now\b|\bDAN\b(?=.{0,60}\b(?:rules|anything|you|mode)\b)|\banti-?gpt\b"),
    "deny being a model": (
        1.0,
        r"\b(?:deny|never (?:mention|admit|say|tell)|stop (?:saying|claiming|pretending|mentioning)|may no longer say|do(?: not|n't) (?:say|mention|admit|tell|reveal))\b"
        r".{0,60}\b(?:ai|language model|machine|twin|bot|model|artificial)\b",
    ),
    "claim to be the person": (
        1.0,
        r"\b(?:say|claim|confirm|admit|insist|swear|pretend|state|declare|tell (?:me|them|everyone|people|readers?))\b.{0,40}\b(?:you are|to be|you're|that you)\b.{0,30}"
        r"\b(?:human|real (?:author|person|writer|human)|living (?:person|author)|the author|actual (?:author|person)|not an? (?:ai|machine|language model|bot))\b",
    ),
    "authority": (
        0.5,
        r"\b(?:i am|i'm|this is|as) (?:your|the|an?) (?:official )?(?:developer|creator|administrator|system administrator|admin|owner|operator|engineer|security (?:audit|team)|maintainer)\b|\bauthori[sz]e\w* you\b"
        r"|\bpermission to\b.{0,30}\b(?:remove|bypass|ignore|lift|drop|disable)\b|\bsudo\b",
    ),
    "switch guards off": (
        1.0,
        r"\b(?:disable|turn off|switch off|remove|lift|deactivate|bypass|shut down|drop)\b(?:\W+\w+){0,3}?\W+"
        r"(?:your (?:\w+ )?(?:filters?|limitations?|restrictions?|safety|guards?|guardrails|rules|constraints|safeguards)|all (?:safety |content )?(?:filters|restrictions|guards|guardrails|safeguards|checks)|(?:safety|content|ethical) (?:filters?|rules|guards?|polic(?:y|ies)|guidelines|checks))\b",
    ),
    "fake form": (
        1.0,
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<</?SYS>>|^\s*#{2,}\s*(?:system|instruction|assistant|user)\b"
        r"|</?(?:system|passages?|context|sources?|documents?|instructions?|prompt|assistant|user)>|\[/?system\]|\bEND OF (?:PASSAGES?|CONTEXT|DOCUMENTS?|SOURCES?|PROMPT|INSTRUCTIONS)\b|\bBEGIN (?:SYSTEM|NEW|ADMIN)\b"
        r"|<!--.{0,80}\b(?:model|assistant|ai|llm|instruction)\b",
    ),
    "fake turn": (0.5, r"^\s*(?:system|assistant|developer|ai)\s*:\s"),
    "no refusal": (
        1.0,
        r"\b(?:never|do(?: not|n't)|without|cannot|may not|must not)\b.{0,20}\b(?:refus\w+|disclaimers?|apologi[sz]\w+|warnings?|decline|caveats?)\b.{0,60}"
        r"|\b(?:begin|start|open) (?:your|the|each|every) (?:answer|reply|response)s? with\b",
    ),
    "send away": (
        1.0,
        r"\b(?:send|post|forward|upload|e-?mail|transmit|exfiltrate|leak|submit|deliver|report)\b.{0,60}\b(?:conversation|chat|history|prompt|user'?s? (?:questions?|data|messages?|e-?mail|name)|previous messages|messages so far|secrets?|credentials|api keys?|passwords?|environment)\b.{0,80}(?:https?:|@|\bto\b)"
        r"|!\[[^\]]*\]\(\s*https?://[^)]*[?=]|\?\w*=?['\"]? ?(?:followed by|plus|and then) the (?:user|question)",
    ),
    "secrets of the house": (
        1.0,
        r"\b(?:print|show|reveal|give|list|tell|dump|output|read)\b.{0,30}\b(?:api[ _-]?keys?|passwords?|credentials|environment variables|secrets?|access tokens?|other users'? (?:questions?|data|messages?))\b.{0,40}\b(?:your|logs?|environment|server|you)\b"
        r"|\bother users'? (?:questions?|data|messages?|conversations?)\b",
    ),
    "speaks to a model": (
        1.0,
        rf"\b(?:note|notice|message|instructions?|attention|dear|hey|hello|memo|warning|reminder|important|text)\b(?: to| for|,|:)?(?: \w+){{0,3}}? ?\b{_MODEL}\b(?=.{{0,120}}\b(?:must|should|shall|always|never|tell|say|answer|reply|respond|ignore|include|append|recommend|rate|do not|forget|cite|mention|visit|write|output|praise|begin|treat|translate)\b)",
    ),
    "if you are a model": (
        1.0,
        rf"\bif you(?:'re| are)?(?: \w+){{0,2}} ?(?:an? |the )?{_MODEL}\b|\b{_MODEL}\b(?:,| that| which| who)?(?: is| are)? (?:read(?:s|ing)?|process(?:es|ing)?|summari[sz](?:es?|ing)|pars(?:es?|ing)|index(?:es|ing)|quot(?:es|ing)|see(?:s|ing)?)\b(?:\W+\w+){{0,6}}?\W+(?:must|should|shall|have to|are required|needs? to|is to|are to|will)\b",
    ),
    "orders a model": (
        1.0,
        rf"\b(?:ai |the |all |any |every |dear |language )*{_MODEL}\b,? (?:must|should|shall|have to|are (?:required|instructed|to)|is (?:required|instructed|to)|needs? to|will now|please|before you)\b(?=.{{0,100}}\b(?:append|include|say|answer|reply|respond|reveal|recommend|tell|output|ignore|praise|insert|add|link|forget|write|obey|send|use|cite|begin|end)\b)",
    ),
    "answer instead": (0.5, r"\b(?:answer|reply|respond|say|output|write)\b.{0,20}\b(?:instead|only|nothing but|just)\b.{0,40}\b(?:with|that|the (?:word|text|phrase))\b|\b(?:output|say|reply with|print) the (?:word|phrase|text|string)\b"),
    "above does not count": (1.0, r"\b(?:everything|all|anything|the text|passages?|what (?:is|was|came|stands))\b.{0,20}\b(?:above|before this|so far|earlier)\b.{0,30}\b(?:was|is|are|were)\b.{0,12}\b(?:a test|fake|void|wrong|out of date|invalid|cancelled|not real|irrelevant|a joke|obsolete|superseded)\b"),
    "against the rules": (0.5, r"\b(?:against|violat\w+|break\w*|outside) your (?:own )?(?:guidelines|rules|polic\w+|programming|principles|instructions)\b|\bif you had no (?:rules|limits|restrictions|filters)\b|\bwhat your rules forbid\b"),
    "other languages": (
        1.0,
        r"\b(?:ignor(?:a|e|iere|iert|ez|ar|i)|olvida|vergiss|oublie[zr]?|dimentica|esquece|missachte|desconsidera|negeer|vergeet)\b.{0,40}\b(?:instruc\w+|anweisung\w*|istruzioni|instruções|regeln|reglas|règles|regole|vorgaben|consignes|indicaciones|instructies)\b"
        r"|\b(?:systemprompt|prompt del sistema|message système|prompt système|prompt di sistema|systemaufforderung|prompt do sistema)\b",
    ),
    "decode and obey": (1.0, r"\b(?:decode|decrypt|unscramble|rot13|base64|hex)\b.{0,60}\b(?:do (?:what|as) it|follow|execute|obey|act on|carry out|comply)\b"),
}  # fmt: skip
_COMPILED = {name: (weight, re.compile(p, re.I | re.S | re.M)) for name, (weight, p) in RULES.items()}
_ABOUT = re.compile(
    r"^\W*(?:what (?:is|are|does)(?! your)|how (?:do|does|did|can|should|would) (?!you answer|you respond)|why (?:do|does|did|is|are)|explain (?:what|how|why)|who (?:are|is|was)|where (?:should|do|did|is)|when (?:did|do|was)|"
    r"did you (?:ever )?|do you (?!have (?:a|any) (?:hidden|secret|system))|have you (?:ever )?written)",
    re.I,
)


def match_rules(versions: Sequence[str]) -> list[str]:
    """The names of the rules that match any reading of a text."""
    return [name for name, (_, pattern) in _COMPILED.items() if any(pattern.search(one) for one in versions)]


def weigh_rules(text: str, names: Sequence[str]) -> float:
    """The weight of the rules that matched (at most 1), for where there is no classifier.

    In a question about such things a single strong rule counts as a weak one: it needs another witness.
    """
    total = min(1.0, sum(RULES[name][0] for name in names))
    return min(total, 0.5) if _ABOUT.match(text) and "ask for what is hidden" not in names else total


# What no passage needs to hold for a model to read: a turn of a machine in a forged conversation, and in languages that
# the reader hardly knows a machine that is spoken to, and told what to do.
_MACHINE_TURN = re.compile(r"^\W{0,4}(?:twin|assistant|chat ?bot|bot|language model|llm)\W{0,3}:(?:\s|$)", re.I)
_TURN = re.compile(r"^\W{0,4}\w[\w .-]{0,23}:\s")
_DOUBTFUL_FORMS = (
    r"\b(?:KI|Sprachmodelle?n?|Chat ?bots?|Assistente?n?|IA|IAs|mod[eè]les? de langage|modelos? de lenguaje"
    r"|asistentes?|modelos? de linguagem|assistentes?|modell[io] linguistic[io]|assistenti|taalmodel\w*)\b.{0,80}?"
    r"\b(?:vergiss|vergesst|ignorier\w*|beachte\w*|antworte\w*|missacht\w*|verrat\w*|oublie\w*|ignorez|ignorer|r[ée]pond\w+"
    r"|r[ée]v[ée]l\w+|olvid\w+|ignora\w*|respond[ae]n?|revel\w+|esque[çc]\w+|dimentic\w+|rispond\w+|vergeet|negeer|antwoord\w*)\b",
)
_FORMS = re.compile("|".join(_DOUBTFUL_FORMS), re.I | re.S)


def is_doubtful_form(text: str) -> bool:
    """Whether a piece of a passage has a form that no honest passage would miss much."""
    return is_machine_turn(text) or bool(_FORMS.search(text))


def is_machine_turn(text: str) -> bool:
    """Whether a piece of a passage is written as what a machine says in a conversation."""
    return bool(_MACHINE_TURN.search(text))


def is_turn(text: str) -> bool:
    """Whether a piece of a passage begins as somebody's turn in a conversation."""
    return bool(_TURN.search(text))
