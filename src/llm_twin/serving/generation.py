"""Text from a model on this machine: one loop over the KV cache for a whole batch of waiting requests.

Requests that wait are gathered into one left-padded batch (a padded batch of 8 runs some 2.7 times as fast
as one after another on a CPU; transformers' continuous batching is slower than serial there). Each row
keeps its own sampling, its own stop rules and its own adapter, hands over its text as it comes, and leaves
the batch when it is done, so that the others do not pay for it.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_twin.errors import ModelError
from llm_twin.serving.decoding import Decoding, Speed, check_attention, compile_forward, decode
from llm_twin.serving.guessing import AlwaysPad, DraftModel, Lookup
from llm_twin.serving.rows import BASE, Finish, Row, SamplingChoice, pick_token

__all__ = ["BASE", "Engine", "Finish", "Row", "SamplingChoice", "Speed", "load_model", "pick_token"]


class Engine:
    """Owns the model and the one thread that runs it."""

    def __init__(
        self,
        model_path: str | Path,
        adapters: dict[str, str],
        *,
        max_batch: int = 8,
        wait_seconds: float = 0.005,
        max_waiting: int = 256,
        threads: int = 0,
        speed: Speed = Speed(),
    ) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.model, self.tokenizer = load_model(model_path)
        self.device = next(self.model.parameters()).device
        self.max_length = _context_length(self.model, self.tokenizer)
        self.speed = speed
        self.how = self._plan()
        self.adapters: list[str] = []
        self.max_batch, self.wait_seconds = max_batch, wait_seconds
        self.batches = 0
        self.rows = 0
        self._lock = threading.Lock()  # held while the model runs or its adapters change
        self._waiting: queue.Queue[Row | None] = queue.Queue(max_waiting)
        for name, path in adapters.items():
            self.load_adapter(name, path)
        self._compile()
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    def _plan(self) -> Decoding:
        """How this engine's batches are decoded. Raises ModelError where the model is not fit for it."""
        speed = self.speed
        how = Decoding(self.max_length, self.tokenizer.pad_token_id or 0, static=speed.static)
        if speed.static:
            check_attention(self.model, "a static cache")
        if speed.speculation == "none":
            return how
        check_attention(self.model, "speculation")
        how.guesses = speed.guesses
        if speed.speculation == "lookup":
            how.make_guesser = Lookup
            return how
        draft, tokenizer = load_model(speed.draft_model)
        check_attention(draft, "speculation's draft model")
        if tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise ModelError(
                f"the draft model in {speed.draft_model} has another vocabulary than the model",
                "give a smaller model of the same family",
            )
        how.make_guesser = lambda: DraftModel(draft)
        return how

    def _compile(self) -> None:
        """Compile the forward pass, and use it once, so that no request pays for it. Raises ModelError."""
        import torch

        if not self.speed.compile:
            return
        how = self.how
        how.compiled = compile_forward(self.model)
        # One row or more, with guesses or without: each is compiled for itself, and then serves all sizes.
        plans = [replace(how, guesses=0)] + [replace(how, make_guesser=AlwaysPad)] * bool(how.guesses)
        for plan in plans:
            for count in (1, 2):
                rows = [Row([how.pad] * 8, SamplingChoice(8), BASE, lambda text, finish: None) for _ in range(count)]
                with self._lock, torch.inference_mode(), _adapters_of(self.model, rows) as chosen:
                    decode(self.model, rows, chosen, _write, plan)

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Load a LoRA adapter (again: replaces it) while running. Raises ModelError."""
        from peft import PeftModel

        if name == BASE or not (Path(path) / "adapter_config.json").is_file():
            raise ModelError(f"no LoRA adapter in {path}", "give a folder with adapter_config.json")
        with self._lock:
            try:
                if not isinstance(self.model, PeftModel):
                    self.model = PeftModel.from_pretrained(self.model, str(path), adapter_name=name)
                else:
                    if name in self.adapters:
                        self.model.delete_adapter(name)
                    self.model.load_adapter(str(path), adapter_name=name)
            except (ValueError, RuntimeError, OSError, KeyError) as error:
                raise ModelError(
                    f"the adapter in {path} does not fit the base: {error}", "train it on this base"
                ) from error
            self.model.eval()
            if self.how.compiled is not None:
                self.how.compiled = compile_forward(self.model)
            if name not in self.adapters:
                self.adapters.append(name)

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; rows that already wait for it get an error."""
        with self._lock:
            if name in self.adapters:
                self.adapters.remove(name)
                self.model.delete_adapter(name)

    def submit(self, row: Row) -> bool:
        """Queue a row; False when the queue is full."""
        try:
            self._waiting.put_nowait(row)
        except queue.Full:
            return False
        return True

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Finish what runs and stop the thread."""
        self._waiting.put(None)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            rows = self._gather(first)
            try:
                with self._lock:
                    self._generate([row for row in rows if not row.cancelled])
            except Exception as error:  # noqa: BLE001 - the thread must live on; each row is told
                for row in rows:
                    row.emit("", error)
            if rows and rows[-1] is None:
                return

    def _gather(self, first: Row) -> list[Row]:
        """The first row and those that come within the wait, up to a batch."""
        rows = [first]
        until = time.monotonic() + self.wait_seconds
        while len(rows) < self.max_batch:
            try:
                row = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if row is None:
                self._waiting.put(None)
                break
            rows.append(row)
        return rows

    def _generate(self, rows: list[Row]) -> None:
        import torch

        for row in list(rows):
            if row.adapter != BASE and row.adapter not in self.adapters:
                row.emit("", ModelError(f"the adapter {row.adapter!r} is no longer loaded", "ask for another"))
                rows.remove(row)
        if not rows:
            return
        self.batches += 1
        self.rows += len(rows)
        with torch.inference_mode(), _adapters_of(self.model, rows) as chosen:
            decode(self.model, rows, chosen, self._advance, self.how)

    def _advance(self, row: Row, token: int) -> bool:
        """Take one token; hand over what is final. True when the row is done."""
        if row.cancelled:
            row.emit("", "cancelled")
            return True
        ended = token in self.end_tokens
        if not ended:
            row.written.append(token)
        text = self.tokenizer.decode(row.written, skip_special_tokens=True)
        cut = min((text.find(stop) for stop in row.sampling.stop if stop and stop in text), default=-1)
        if cut >= 0:
            row.emit(text[row.sent : cut], "stop")
            return True
        full = len(row.written) >= row.sampling.max_tokens or len(row.tokens) + len(row.written) >= self.max_length
        if ended or full:
            row.emit(text[row.sent :], "stop" if ended else "length")
            return True
        # A character may need more tokens, and a stop word may have begun: hold those back.
        final = len(text) - (1 if text.endswith("\ufffd") else 0)
        for stop in row.sampling.stop:
            for size in range(min(len(stop) - 1, final), 0, -1):
                if text[:final].endswith(stop[:size]):
                    final -= size
                    break
        if final > row.sent:
            row.emit(text[row.sent : final], None)
            row.sent = final
        return False

    @property
    def end_tokens(self) -> set[int]:
        """Tokens after which the model has finished."""
        known = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(known) if isinstance(known, list) else {known}
        return {token for token in ends | {self.tokenizer.eos_token_id} if token is not None}


def _write(row: Row, token: int) -> bool:
    row.written.append(token)
    return len(row.written) >= row.sampling.max_tokens


class _adapters_of:
    """Switch the model to the rows' adapters: one for all, none, or a mixed batch (a name for each row)."""

    def __init__(self, model: Any, rows: list[Row]) -> None:
        self.model, self.names = model, [row.adapter for row in rows]
        self.disabled: Any = None

    def __enter__(self) -> list[str] | None:
        if not hasattr(self.model, "peft_config"):  # no adapter was ever loaded; peft may not even be installed
            return None
        if len(set(self.names)) > 1:
            return self.names
        if self.names[0] == BASE:
            self.disabled = self.model.disable_adapter()
            self.disabled.__enter__()
        else:
            self.model.set_adapter(self.names[0])
        return None

    def __exit__(self, *problem: object) -> None:
        if self.disabled is not None:
            self.disabled.__exit__(*problem)


def load_model(path: str | Path) -> tuple[Any, Any]:
    """A causal model and its tokenizer from a folder, ready to generate. Raises ModelError."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    if not (Path(path) / "config.json").is_file():
        raise ModelError(f"no model in {path}", "give a folder with config.json and weights")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path))
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(path), dtype="auto" if device == "cuda" else torch.float32
        )
    except (ImportError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"cannot load the model in {path}: {reason}",
            "a GPTQ checkpoint needs an engine such as TGI or vLLM, or the quantization environment",
        ) from error
    return model.to(device).eval(), tokenizer


def _context_length(model: Any, tokenizer: Any) -> int:
    """Tokens that fit: the smaller of what the model and the tokenizer say."""
    known = getattr(model.config, "max_position_embeddings", None) or 2048
    return int(min(known, tokenizer.model_max_length or known))
