"""What a server knows of the prompt registry: a thread beside `prompt_reader`, and the twins with what it found."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from llm_twin.errors import TwinError
from llm_twin.serving.twins import Twin, check_template

logger = logging.getLogger("llm_twin.serving")
PAUSE_SECONDS = 2.0  # before a reader that ended is started again


class PromptWatch:
    """Follows the aliases that the twins' recipes name; what was found once stays while the registry is away."""

    def __init__(self, tracking_uri: str, every_seconds: float = 2.0) -> None:
        self.tracking_uri, self.every_seconds = tracking_uri, every_seconds
        self.found: dict[str, dict[str, tuple[str, str]]] = {}  # "alias author" → prompt → label, template
        self.problem = "the prompt registry was not read yet"
        self.changed = threading.Event()
        self._wanted: list[list[str]] = []
        self._reader: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def want(self, twins: Sequence[Twin]) -> None:
        """Follow these twins' aliases from now on; starts the reader with the first."""
        wanted = sorted({(twin.serving.prompt_alias, twin.author.id) for twin in twins if twin.serving.prompt_alias})
        with self._lock:
            if [list(pair) for pair in wanted] == self._wanted:
                return
            begins = not self._wanted
            self._wanted = [list(pair) for pair in wanted]
            self._ask()
        if begins:
            threading.Thread(target=self._follow, name="prompts", daemon=True).start()

    def apply(self, twins: Sequence[Twin]) -> tuple[list[Twin], dict[str, str]]:
        """The twins with the registry's prompts, and why some cannot be asked yet (name → reason).

        A prompt that the configuration itself holds goes before the registry's.
        """
        made, waiting = [], {}
        for twin in twins:
            alias = twin.serving.prompt_alias
            found = self.found.get(f"{alias} {twin.author.id}")
            if alias and not found:
                waiting[twin.name] = self.problem or f"no prompt has the alias {alias!r}: see `twin prompts`"
            given: Any = {name: pair for name, pair in (found or {}).items() if name not in twin.prompts}
            prompts = {**twin.prompts, **{name: template for name, (_, template) in given.items()}}
            labels = {name: label for name, (label, _) in given.items()}
            made.append(twin.model_copy(update={"prompts": prompts, "prompt_versions": labels}))
        return made, waiting

    def close(self) -> None:
        """End the reader."""
        self._closed = True
        with self._lock:
            if self._reader is not None and self._reader.stdin is not None:
                with contextlib.suppress(OSError):
                    self._reader.stdin.close()

    def _ask(self) -> None:
        if self._reader is not None and self._reader.stdin is not None:
            with contextlib.suppress(OSError):  # it ended: the next one is told
                self._reader.stdin.write(json.dumps(self._wanted) + "\n")
                self._reader.stdin.flush()

    def _follow(self) -> None:
        command = [sys.executable, "-m", "llm_twin.serving.prompt_reader", self.tracking_uri, str(self.every_seconds)]
        while not self._closed:
            try:
                with self._lock:
                    self._reader = subprocess.Popen(
                        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
                        start_new_session=True,
                    )  # fmt: skip
                    self._ask()
                assert self._reader.stdout is not None
                for line in self._reader.stdout:
                    self._take(json.loads(line))
            except (OSError, ValueError) as error:
                logger.warning("the prompt registry is not followed: %s", type(error).__name__)
            if not self._closed:
                time.sleep(PAUSE_SECONDS)

    def _take(self, told: dict[str, Any]) -> None:
        """Keep what the reader found; a version that no twin could write, or one that is gone, changes nothing."""
        self.problem = told["problem"]
        if self.problem:
            logger.warning("prompts stay as they were: %s", self.problem)
        for key, prompts in told["found"].items():
            try:
                for name, (_, template) in prompts.items():
                    check_template(name, template)
            except TwinError as error:
                self.problem = f"{', '.join(label for label, _ in prompts.values())}: {error.message}"
                logger.warning("prompts stay as they were: %s", self.problem)
                continue
            if prompts:
                self.found[key] = {name: (label, template) for name, (label, template) in prompts.items()}
            elif key in self.found:
                logger.warning("the alias %s has gone from the registry: prompts stay as they were", key.split()[0])
        self.changed.set()
