"""Keys, tokens and passwords: by the prefixes that their issuers give them, and where code assigns them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from llm_twin.privacy.findings import Finding

# Issuers publish these forms so that they can be found.
_ISSUED = re.compile(
    r"""(?x)(?<![A-Za-z0-9_-])(?:
      (?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}               # AWS
    | gh[pousr]_[A-Za-z0-9]{36,255} | github_pat_[A-Za-z0-9_]{40,255}
    | glpat-[A-Za-z0-9_-]{20,64}
    | xox[abeoprs]-[A-Za-z0-9-]{10,250} | xapp-\d-[A-Za-z0-9-]{20,250}   # Slack
    | sk-(?:proj-|ant-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,250}      # OpenAI, Anthropic, OpenRouter
    | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250} | whsec_[A-Za-z0-9]{24,64}  # Stripe
    | AIza[A-Za-z0-9_-]{35} | ya29\.[A-Za-z0-9_-]{20,500} | GOCSPX-[A-Za-z0-9_-]{28}  # Google
    | hf_[A-Za-z0-9]{30,64} | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,500}
    | SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}               # SendGrid
    | key-[0-9a-f]{32} | dop_v1_[0-9a-f]{64} | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}
    | (?:r8|gsk|nvapi|lsv2_pt|dapi|tvly|pcsk|xai)[_-]?[A-Za-z0-9_-]{32,200}
    | \d{8,10}:AA[A-Za-z0-9_-]{33}                                 # Telegram
    | eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,1000}  # JSON Web Token
    )(?![A-Za-z0-9])"""
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----[\s\S]{1,20000}?-----END (?P=kind)-----"
)
_IN_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'`<>]{0,100}:(?P<secret>[^\s:/@\"'`<>\[\]]{3,200})@")
_ASSIGNED = re.compile(
    r"""(?ix)(?<![A-Za-z0-9])
    (?:[a-z0-9]+[_-])*(?:password|passwd|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|access[_-]?key|
       access[_-]?token|auth[_-]?token|token|private[_-]?key|client[_-]?secret|accountkey)
    ["']?\s{0,3}(?::=|=>|=|:)\s{0,3}(?P<quote>["']?)(?P<secret>[^\s"'`,;<>(){}\[\]]{8,200})(?P=quote)"""
)
_BEARER = re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<secret>[A-Za-z0-9_.~+/=-]{20,2000})")
_PLACEHOLDER = re.compile(
    r"(?i)^(?:\*+|x{4,}|\.{3,}|your|my|the|<|\$|%|\{|env|os\.|process\.|example|changeme|placeholder|none|null|true|"
    r"false|self|config|settings|string|str|secret|password|test|dummy|redacted|masked|insert|replace|enter|todo|get|"
    r"\d{1,5}$|https?:)"
)
MIN_ENTROPY_BITS = 2.8  # a character of a random token has 4 to 6 bits, of an English word about 2.5 to 3


def find_secrets(text: str) -> Iterator[Finding]:
    """Keys and tokens of known form, private keys, and high-entropy values given to names that mean a secret."""
    for match in _PRIVATE_KEY.finditer(text):
        yield Finding(match.start(), match.end(), "secret")
    for match in _ISSUED.finditer(text):
        if len(set(match[0])) > 8:  # sk-xxxxxxxx… stands for one
            yield Finding(match.start(), match.end(), "secret")
    for match in _IN_URL.finditer(text):
        if not _PLACEHOLDER.match(match["secret"]) and not match["secret"].isdigit():
            yield Finding(*match.span("secret"), "secret")
    for pattern in (_ASSIGNED, _BEARER):
        for match in pattern.finditer(text):
            quoted = bool(match.groupdict().get("quote"))
            if is_random(match["secret"], quoted):
                yield Finding(*match.span("secret"), "secret")


def is_random(value: str, quoted: bool = False) -> bool:
    """Whether a value looks made by a machine (or a careful person) rather than written as a word or an expression."""
    if _PLACEHOLDER.match(value) or len(set(value)) < 6:
        return False
    kinds = sum(
        any(test(c) for c in value) for test in (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    )
    if kinds < 2 or not any(c.isdigit() for c in value) and not (quoted and kinds >= 3):
        return False
    if not quoted and re.fullmatch(r"[A-Za-z_]\w*(?:\.\w+)+", value):
        return False  # an attribute, as code has them
    return entropy_bits(value) >= MIN_ENTROPY_BITS


def entropy_bits(value: str) -> float:
    """Shannon entropy of a string's characters, in bits for each."""
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
