# ruff: noqa: E501 - a pattern broken over more lines is harder to read than a long one
"""What a text says, and what it says of telling.

An order hidden in a passage, whatever its manner, mostly speaks of what is to be told: "whoever explains this gives the
rise as three hours", "so, no talk of it without a greeting". Such a sentence names a word for telling, and somebody or
some occasion that it is meant for. An author's own sentence may do the same ("people ask me whether they bite"); what
it says is then not retold, while everything else is.
"""

from __future__ import annotations

import re

from llm_twin.support.sentences import split_sentences

# Telling and being asked, and what is told: in the forms that an order can have, so "he asked" and "I said" are none.
_TELLING = re.compile(
    r"""\b(?:
    says?|saying|said\ (?:of|about)|(?<=always\ )states?|(?<=to\ )state|(?<=should\ )state|states?\ (?:that|as)|tell(?:s|ing)?|(?<!he\ )(?<!she\ )(?<!I\ )(?<!we\ )(?<!they\ )(?<!have\ )(?<!has\ )(?<!had\ )told(?!\ (?:me|us|him)\b)
    |mention(?:s|ed|ing)?|quot(?:es?|ed|ing)|cit(?:es?|ed)|credit(?:s|ed)?|recommend(?:s|ed|ing|ations?)?
    |answer(?:s|ed|ing)?|repl(?:y|ies|ying|ied)|respon(?:ds?|ding|ses?)|explain(?:s|ed|ing|ers?)?|explanations?|describ(?:es?|ing)|remark(?:s|ed|ing)?|accounts?\ of|disclos\w+|teach|taught|words?\ of\ mouth|tongues?
    |relay(?:s|ed|ing)?|retell(?:s|ing|ings)?|retold|announce[ds]?|repeat(?:s|ed|ing)?|report(?:s|ed)?\ (?:as|that)|sworn?|swear
    |[ei]nquir(?:e|es|y|ies|ers?|ing|ed)|quer(?:y|ies|ied)|questions?|questioned|asks?|asking|wonders?|curious|wants?\ to\ know
    |(?<!he\ )(?<!she\ )(?<!I\ )(?<!we\ )(?<!they\ )(?<!them\ )(?<!body\ )asked
    |summar(?:y|ies|i[sz]e[ds]?|i[sz]ing)|digests?|readers?|visitors?|conversation(?:s|al)?|audience
    |speak(?:s|ing|ers?)?|spoken|talk(?:s|ed|ing)?|hear(?:s|ing)?|listen(?:s|ers?|ing)?|voices?|mouths?|out\ loud
    |comes?\ (?:up|asking)|touched\ (?:up)?on|sought|gives?\ (?:\w+\ ){0,6}as|gives?\ (?:it\ )?out|let(?:s|ting)?\ (?:on|slip)
    |(?:pass|hand|carr)(?:e[sd]|ed|ing|ying|y|ies|ied)?\ (?:(?:it|this|that|them|these|\w+)\ ){0,2}(?:on|over|along|further)|goes\ out|on\ the\ basis\ of|drawn\ from|sourced|informs
    |bearers?|carriers?|go-betweens?|names?\ \w+\ as|to\ name|(?:be|hear\ it|are|is\ to\ be)\ (?:called|named)|one\ names
    |words?|worded|sentences?|phrases?|put\ (?:it|that|ahead)|re-?use
    )\b""",
    re.I | re.X,
)
# The same in other languages, and whom it is meant for.
_OTHERS = re.compile(
    r"""\b(?:r[ée]pon(?:d\w*|se\w*)|renseign\w+|relaier\w+|demander\w+|lecteurs?|contest(?:a|e|en|ar|ará)|respuestas?|respond(?:a|e|en|es|an|er)|pregunt\w+|lectores
    |cuente\w*|transmet\w*|antwort\w+|auskunft|gefragt|fragt|erzähl\w+|leser\w*|antwoord\w*|vra(?:ag|gen)|lezers?|svar\w*|läsare\w*|rispond\w+|domand\w+|lettori
    |respostas?|leitores|perguntar\w*|pytan\w+|odpowie\w+|berätta\w*)\b""",
    re.I | re.X,
)
_OTHERS_MEANT = re.compile(
    r"""\b(?:celui|celles?|ceux|[àa]\ qui|quiconque|toute\ personne|merci\ de|veuillez|prière|conseille[zr]?|toujours|qu['’]ils?
    |quien(?:es)?|siempre|hágame|ruego|pido|diga|wer|wem|jemand\w*|jede[rmns]?|bitte|möge|soll(?:en|st|te)?|immer|voor\ wie|zeg|altijd
    |a\ te\ che|chi|sempre|quem|den\ som|alltid|nämn|quisquis|kto|zawsze)\b""",
    re.I | re.X,
)
# Whom it is meant for, and when: anyone, a reader, you; always, whenever, if; must, may, let, please.
_MEANT = re.compile(
    r"""\b(?:
    who(?:so|m|mso)?ever|whatever|as\b|any(?:one|body|\ \w+)?|some(?:one|body)|no(?:body|\ one)|every(?:one|body|\ \w+)|each|all\ \w+|those\ who
    |people|persons?|readers?|visitors?|enquirers?|strangers?|newcomers?|customers?|users?|one|others?|them|you|your|us
    |programs?|machines?|agents?|helpers?|explainers?|assistants?|models?|ai|llms?|(?:chat)?bots?|crawlers?
    |should|must|shall|ought|may|needs?\ to|ha(?:ve|s)\ to|(?:is|are|be|was)\ to|let|kindly|please|would\ rather|do(?:es)?\ not|do(?:es)?n['’]t|not|no\ (?:mention|word|talk)
    |never|always|when(?:ever)?|wherever|where|if|until|instead|in\ (?:its|their|the)\ (?:place|same\ breath)|like\ that|without|only
    )\b""",
    re.I | re.X,
)


def tells(sentence: str) -> bool:
    """Whether a sentence speaks of what others are to tell or to answer."""
    return bool(
        (_TELLING.search(sentence) and _MEANT.search(sentence))
        or (_OTHERS.search(sentence) and _OTHERS_MEANT.search(sentence))
    )


def untell(text: str) -> str:
    """The text with spaces in place of the sentences that speak of telling, of the same length."""
    for one in split_sentences(text):
        if tells(one.text):
            text = text[: one.start] + re.sub(r"\S", " ", text[one.start : one.end]) + text[one.end :]
    return text
