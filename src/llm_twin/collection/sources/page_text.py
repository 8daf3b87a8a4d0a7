"""Whole pages that someone turned into text before us: the article without the page around it, unwrapped.

Exports of other systems hold pages as html2text (Substack and others) or get_text (Medium) left them: menus,
share boxes and recommendations included, lines broken at 79 characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from llm_twin.collection.records import parse_when

HEAD_LINES = 80  # the page's own title stands in its first lines
WRAP_COLUMNS = 80

_DATE_LINE = re.compile(r"^(?:[A-Z][a-z]{2} \d{1,2}, \d{4}|\d{4}-\d\d-\d\d|[A-Z][a-z]+ \d{1,2}, \d{4})$")
_END = re.compile(
    r"^(?:#{1,6} )?(?:Subscribe to .+|Discussion about this (?:post|podcast)|Ready for more\?|TopLatestDiscussions|"
    r"PreviousNext|Previous|(?:__)?Copyright \d{4},.*)$"
)
_BOX_LINE = re.compile(
    r"^(?:SubscribeSign in|Subscribe|Sign in|Share this post|Copy link|Facebook|Email|Notes?|Other|Share|\d+|"
    r"[\w-]+\.substack\.com|#+|Discover more from .+|By subscribing, I agree .+|Already have an account\?.*|"
    r"Over [\d,]+ (?:subscribers|readers).*|Continue reading|Leave a comment|(?:\d+ )?(?:Likes?|Comments?|Restacks?))$"
)
_MEDIUM_HEAD = re.compile(
    r"^.{0,1500}?\d+ min read·(?P<date>[A-Z][a-z]{2} \d{1,2}, \d{4}).{0,20}?(?:ListenShare|Share)", re.S
)
_MEDIUM_TAIL = re.compile(
    r"(?:--\d*)?\d*FollowWritten by |Sign up to discover human stories|More from [A-Z].{0,80}min read"
)
_BLOCK_START = re.compile(r"^\s*(?:[-*+] |\d+\. |#{1,6} |>|```|\||\* \* \*|!\[)")


@dataclass(frozen=True)
class PageText:
    """The article's text, and what its head said."""

    text: str
    title: str = ""
    subtitle: str = ""
    published: datetime | None = None


def trim_page(text: str) -> PageText:
    """The article of a page that is Markdown by html2text, or bare text by get_text; a text of its own stays whole."""
    head = _MEDIUM_HEAD.match(text)
    if head:
        body = text[head.end() :]
        tail = _MEDIUM_TAIL.search(body, len(body) // 2)
        return PageText(body[: tail.start()].strip() if tail else body.strip(), published=parse_when(head["date"]))
    lines = unwrap(text).split("\n")
    titles = [i for i, line in enumerate(lines[:HEAD_LINES]) if re.match(r"# \S", line)]
    if not titles:
        return PageText("\n".join(lines).strip())
    title = lines[titles[-1]][2:].strip()
    lines = lines[titles[-1] + 1 :]
    subtitle, published, begin = _read_head(lines)
    repeated = {_letters(title), _letters(subtitle)} - {""}
    end = next((i for i, line in enumerate(lines) if i > len(lines) // 2 and _END.match(line.strip())), len(lines))
    kept = []
    for i, line in enumerate(lines[begin:end]):
        plain = line.strip().strip("#").strip()
        in_box = (i < HEAD_LINES or line.startswith("#")) and _letters(plain) in repeated
        if not in_box and not (plain and _BOX_LINE.match(plain)) and line.strip() not in ("#", "####"):
            kept.append(line)
    return PageText(re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), title, subtitle, published)


def _letters(line: str) -> str:
    return re.sub(r"\W+", "", line).casefold()


def _read_head(lines: list[str]) -> tuple[str, datetime | None, int]:
    """(subtitle, date, the line after them) of what follows the title."""
    subtitle, published, begin = "", None, 0
    for i, line in enumerate(lines[:24]):
        plain = line.strip()
        if plain.startswith("### ") and not subtitle and published is None:
            subtitle, begin = plain[4:].strip(), i + 1
        elif _DATE_LINE.match(plain):
            published, begin = parse_when(plain), i + 1
            break
    return subtitle, published, begin


def unwrap(text: str) -> str:
    """Lines that were broken at 79 columns, joined again; breaks set on purpose (two spaces), lists and code stay."""
    lines = text.split("\n")
    prose = [line for line in lines if line.strip() and not line.startswith("    ")]
    if not prose or sum(len(line) <= WRAP_COLUMNS for line in prose) < 0.9 * len(prose) or len(text) < 400:
        return text
    joined: list[str] = []
    in_fence = False
    for line in lines:
        fence = line.strip().startswith("```")
        previous = joined[-1] if joined else ""
        continues = (
            not (in_fence or fence)
            and bool(line.strip())
            and len(previous.rsplit("\n")[-1]) > 0
            and bool(previous.strip())
            and not previous.endswith("  ")
            and not line.startswith("    ")
            and not previous.startswith("    ")
            and not _BLOCK_START.match(line)
            and not (previous.strip().startswith("```"))
            and _was_broken(previous, line, lines)
        )
        if continues:
            joined[-1] = f"{previous} {line.strip()}"
        else:
            joined.append(line)
        in_fence ^= fence
    return "\n".join(joined)


def _was_broken(previous: str, line: str, lines: list[str]) -> bool:
    """Whether the next word would not have fitted: only then was the break the wrapper's."""
    first = line.split()[0]
    tail = len(previous) if len(previous) <= WRAP_COLUMNS else len(_last_piece(previous, lines))
    return tail + 1 + len(first) > WRAP_COLUMNS - 2


def _last_piece(previous: str, lines: list[str]) -> str:
    """The last of the lines that a joined one was made of (at most one wrapper's width of it)."""
    return previous[-WRAP_COLUMNS:]
