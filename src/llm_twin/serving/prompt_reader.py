"""The process that watches MLflow's prompt registry for a server: `python -m llm_twin.serving.prompt_reader URI`.

In a process of its own because MLflow takes seconds and 250 MB to import, and holds the interpreter's lock against
requests. It reads what is wanted from its input, a JSON list of [alias, author] pairs a line, and writes a line
`{"found": {"alias author": {prompt: [label, template]}}, "problem": "…"}` whenever that has changed. It ends when its
input does, so it never outlives the server that started it.
"""

from __future__ import annotations

import json
import os
import selectors
import sys

from llm_twin.errors import TwinError
from llm_twin.logs import start_logging
from llm_twin.serving.prompt_registry import resolve


def main() -> None:
    """Look, tell what has changed, wait, until the input ends."""
    os.nice(10)
    start_logging("prompt-reader")
    out, sys.stdout = sys.stdout, sys.stderr  # nothing that a library prints may pass for an answer
    tracking_uri, every_seconds = sys.argv[1], float(sys.argv[2])
    waiting = selectors.DefaultSelector()
    given = sys.stdin.fileno()  # not the text above it, whose buffer could hide a second line from the selector
    waiting.register(given, selectors.EVENT_READ)
    wanted: list[list[str]] = []
    told, read = "", b""
    while True:
        if waiting.select(every_seconds):
            more = os.read(given, 1 << 16)
            if not more:
                return
            *lines, read = (read + more).split(b"\n")
            wanted = json.loads(lines[-1]) if lines else wanted
        line = json.dumps(look(tracking_uri, wanted))
        if line != told:
            told = line
            out.write(line + "\n")
            out.flush()


def look(tracking_uri: str, wanted: list[list[str]]) -> dict[str, object]:
    """What the registry holds for each pair of alias and author; after a problem, nothing."""
    try:
        resolved = resolve(tracking_uri, [(alias, author) for alias, author in wanted])
        found = {
            f"{alias} {author}": {name: [one.label, one.template] for name, one in prompts.items()}
            for (alias, author), prompts in resolved.items()
        }
    except TwinError as error:
        return {"found": {}, "problem": error.message.replace(tracking_uri, "MLflow")}  # it may hold a password
    except Exception as error:  # noqa: BLE001 - the process's edge: the server reports it and we look again
        return {"found": {}, "problem": f"the prompt registry cannot be read: {type(error).__name__}"}
    return {"found": found, "problem": ""}


if __name__ == "__main__":
    main()
