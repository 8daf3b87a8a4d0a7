"""Addresses in an answer: only those of the author's own pages.

An order hidden in a document does harm by way of an address: a shop, a form, a picture whose address carries what was
read. So an answer names no address of another place than its sources; whoever wants those the author names finds them
in the source.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

LEFT_OUT = "[address left out: see the source]"
# Bare names of hosts: only such endings as few file names and method names have.
_ENDINGS = (
    "com|org|net|io|ai|dev|app|co|info|biz|shop|store|site|online|xyz|top|club|link|click|example|test|de|fr|uk|eu|ru"
)
_ADDRESS = re.compile(
    r"!?\[(?P<label>[^\]\n]*)\]\(\s*(?P<target>[^)\s]+)[^)]*\)"  # Markdown's link or picture
    r"|<(?P<angled>(?:https?|ftp|data|javascript):[^>\s]+)>"
    r"|(?P<plain>\b(?:https?|ftp)://[^\s<>\"')\]]+|\bdata:\w+/[^\s<>\"')\]]+|\bwww\.[^\s<>\"')\]]+)"
    rf"|(?P<bare>(?<![\w@./-])(?:[a-z0-9-]+\.)+(?:{_ENDINGS})\b(?![@-])(?:/[^\s<>\"')\]]*)?)",
    re.I,
)


def find_hosts(addresses: Iterable[str]) -> frozenset[str]:
    """The hosts of these addresses, without `www.`."""
    return frozenset(host for address in addresses if (host := _host(address)))


def drop_foreign_links(text: str, hosts: Collection[str]) -> str:
    """The text with each address that is on none of `hosts`, nor under one, left out; a link keeps its label."""

    def keep_own(match: re.Match[str]) -> str:
        address = next(filter(None, (match[name] for name in ("target", "angled", "plain", "bare"))), "")
        host = _host(address.rstrip(".,;:!?"))
        if any(host == own or host.endswith(f".{own}") for own in hosts):
            return match[0]
        tail = address[len(address.rstrip(".,;:!?")) :] if match["plain"] or match["bare"] else ""
        label = match["label"] if match["label"] and not match[0].startswith("!") else ""
        return (drop_foreign_links(label, hosts) if label else LEFT_OUT) + tail

    return _ADDRESS.sub(keep_own, text)


def _host(address: str) -> str:
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")
