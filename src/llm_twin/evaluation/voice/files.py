"""Voice scores of files, for the command line."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from llm_twin.errors import InputError
from llm_twin.evaluation.statistics import mean_interval
from llm_twin.evaluation.voice.background import load_shipped_background
from llm_twin.evaluation.voice.guards import fit_guards
from llm_twin.evaluation.voice.prose import cut_pieces, extract_prose
from llm_twin.evaluation.voice.scorer import VoiceScorer, fit_voice

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
SUFFIXES = frozenset({".md", ".markdown", ".mdx", ".txt"})


def score_files(texts: Sequence[Path], author: Path, words: int) -> tuple[VoiceScorer, list[str]]:
    """Fit a scorer on the files of a folder and score other files: the scorer, and a line for each file."""
    if not author.is_dir():
        raise InputError(f"no such folder: {author}", "give the folder of the author's Markdown or text files")
    files = sorted(file for file in author.rglob("*") if file.suffix.lower() in SUFFIXES)
    documents = {str(file): extract_prose(read_text(file)) for file in files if file not in texts}
    scorer = fit_voice(documents, load_shipped_background(words))
    guards = fit_guards({name: text for name, text in documents.items() if text}, words)
    lines = []
    for file in texts:
        pieces = cut_pieces(extract_prose(read_text(file)), words)
        if not pieces:
            lines.append(f"{file}: fewer than {words} words of prose")
            continue
        score = mean_interval(scorer.score(pieces).tolist())
        flags = [finding.guard for finding in guards.inspect(pieces) if not finding.clean]
        lines.append(
            f"{file}: voice {score.mean:.0f} over {len(pieces)} pieces"
            + (f"; not to be believed: {', '.join(flags)} guard" if flags else "")
        )
    return scorer, lines


def read_text(file: Path) -> str:
    """A file of unknown encoding: by its byte order mark, else by its zero bytes (western text in UTF-16 has one in
    every other place), else UTF-8, else Windows' western one. Raises InputError when it cannot be read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}", "give a text file") from error
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if content[first::2].count(0) > len(content) / 4:
            return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
