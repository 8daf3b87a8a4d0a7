"""What of a repository is writing: README, docs and code; not what was generated, vendored or is no text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

MAX_FILE_BYTES = 200_000
MAX_TOTAL_CHARS = 4_000_000

PROSE = {".md", ".markdown", ".rst", ".txt", ".adoc", ".org"}
LANGUAGES = {
    ".py": "python", ".pyi": "python", ".ipynb": "", ".js": "javascript", ".mjs": "javascript", ".jsx": "jsx",
    ".ts": "typescript", ".tsx": "tsx", ".rs": "rust", ".go": "go", ".c": "c", ".h": "c", ".cc": "cpp",
    ".cpp": "cpp", ".hpp": "cpp", ".java": "java", ".kt": "kotlin", ".rb": "ruby", ".php": "php", ".swift": "swift",
    ".scala": "scala", ".sh": "bash", ".bash": "bash", ".zsh": "zsh", ".sql": "sql", ".r": "r", ".jl": "julia",
    ".lua": "lua", ".hs": "haskell", ".ex": "elixir", ".exs": "elixir", ".clj": "clojure", ".zig": "zig",
    ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".css": "css", ".scss": "scss", ".html": "html",
    ".tf": "hcl", ".proto": "protobuf", ".nix": "nix", ".vim": "vim", ".el": "elisp", ".ml": "ocaml", ".pl": "perl",
}  # fmt: skip
NAMED = {"dockerfile": "dockerfile", "makefile": "makefile", "justfile": "make"}
SKIPPED_FOLDERS = {
    "node_modules", "vendor", "third_party", "dist", "build", "target", ".git", ".venv", "venv", "__pycache__",
    "site-packages", ".idea", ".vscode", "coverage", ".tox",
}  # fmt: skip
SKIPPED_NAMES = {"license", "licence", "copying", "license.md", "license.txt", "code_of_conduct.md", "poetry.lock",
                 "package-lock.json", "yarn.lock", "cargo.lock", "go.sum", "uv.lock", "pnpm-lock.yaml"}  # fmt: skip


@dataclass(frozen=True)
class Contribution:
    """Lines that one person added to one file."""

    name: str
    email: str
    path: str
    lines: int


def is_wanted(path: str, size: int) -> bool:
    """Whether a file is README, docs or code of a size that a person writes."""
    pure = PurePosixPath(path)
    if size > MAX_FILE_BYTES or any(part in SKIPPED_FOLDERS for part in pure.parts[:-1]):
        return False
    name = pure.name.lower()
    if name in SKIPPED_NAMES or name.endswith((".min.js", ".min.css", "_pb2.py", ".generated.ts")):
        return False
    suffix = pure.suffix.lower()
    return suffix in PROSE or (suffix in LANGUAGES and suffix != ".ipynb") or name in NAMED or name == "readme"


def make_text(contents: dict[str, bytes]) -> tuple[str, list[str]]:
    """(Markdown of all files, README first, and the paths that are in it); files that are no UTF-8 are left out."""
    sections: list[str] = []
    listed: list[str] = []
    size = 0
    for path, raw in sorted(contents.items(), key=lambda item: _rank(item[0])):
        try:
            text = raw.decode("utf-8").replace("\r\n", "\n").strip("\n")
        except UnicodeDecodeError:
            continue
        if not text.strip() or "\0" in text or size + len(text) > MAX_TOTAL_CHARS:
            continue
        size += len(text)
        listed.append(path)
        sections.append(_section(path, text))
    return "\n\n".join(sections), listed


def _rank(path: str) -> tuple[int, str]:
    pure = PurePosixPath(path)
    if pure.stem.lower() == "readme":
        return (len(pure.parts) - 1, path)
    return (100 if pure.suffix.lower() in PROSE else 200, path)


def _section(path: str, text: str) -> str:
    pure = PurePosixPath(path)
    if pure.suffix.lower() in PROSE or pure.name.lower() == "readme":
        return f"## {path}\n\n{text}"
    language = LANGUAGES.get(pure.suffix.lower()) or NAMED.get(pure.name.lower(), "")
    fence = "```"
    while fence in text:
        fence += "`"
    return f"## {path}\n\n{fence}{language}\n{text}\n{fence}"
