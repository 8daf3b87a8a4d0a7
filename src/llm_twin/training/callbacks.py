"""What runs beside a training loop of TRL or transformers: progress lines, the guard against NaN, quiet libraries."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from typing import TYPE_CHECKING, Any

from llm_twin.errors import QualityError
from llm_twin.progress import report

if TYPE_CHECKING:
    from transformers import Trainer


def quiet_libraries() -> None:
    """Keep the libraries' own bars and notices out of a step's log; errors stay."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    import transformers
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True  # where the library was imported before us

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)


def watch_progress(trainer: Trainer, what: str) -> None:
    """Report step, loss, tokens a second, memory and the time left while `trainer` runs, in place of its own words."""
    from transformers import PrinterCallback, TrainerCallback

    class Progress(TrainerCallback):
        """One progress line every two seconds, and one at the last step."""

        def __init__(self) -> None:
            self.begun = self.last = time.monotonic()
            self.first_step = 0
            self.logged: dict[str, float] = {}

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.begun = self.last = time.monotonic()
            self.first_step = state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            self.logged |= {name: float(logs[name]) for name in ("loss", "num_tokens") if name in (logs or {})}

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            now = time.monotonic()
            done = state.global_step - self.first_step
            if done and (now - self.last >= 2 or state.global_step == state.max_steps):
                self.last = now
                left = (now - self.begun) / done * (state.max_steps - state.global_step)
                share = state.global_step / max(state.max_steps, 1)
                parts = [f"{what}: step {state.global_step}/{state.max_steps} ({share:.0%})"]
                if "loss" in self.logged:
                    parts.append(f"loss {self.logged['loss']:.3f}")
                if "num_tokens" in self.logged:  # TRL counts those of this process, from where it went on
                    parts.append(f"{self.logged['num_tokens'] / max(now - self.begun, 1e-9):,.0f} tokens/s")
                report(", ".join([*parts, describe_memory(), f"{left:.0f} s left"]))

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress())


def describe_memory() -> str:
    """What the run holds now: of the GPU's memory, with how busy it is where its driver's library says; else resident
    memory of this process."""
    import psutil
    import torch

    if not torch.cuda.is_available():
        return f"{psutil.Process().memory_info().rss / 2**30:.2f} GiB"
    free, whole = torch.cuda.mem_get_info()
    text = f"GPU {(whole - free) / 2**30:.1f} of {whole / 2**30:.1f} GiB"
    try:
        return f"{text}, {torch.cuda.utilization()} % busy"
    except (ModuleNotFoundError, RuntimeError):  # nvidia-ml-py is not there, or the driver does not say
        return text


def stop_on_nan(trainer: Trainer) -> None:
    """Raise QualityError as soon as loss or gradient norm is no number, before a checkpoint can be written of it."""
    from transformers import TrainerCallback

    class Guard(TrainerCallback):
        """Looks at every logged loss; the trainer logs before it saves."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            for name in ("loss", "grad_norm"):
                value = (logs or {}).get(name)
                if value is not None and not math.isfinite(float(value)) and not (name == "grad_norm" and args.fp16):
                    raise QualityError(
                        f"{name} became {value} at step {state.global_step} of {state.max_steps}; "
                        "the last good checkpoint is kept",
                        "halve the learning rate, raise training.warmup_share, lower max_gradient_norm, "
                        "or train in bf16 or fp32 instead of fp16",
                    )

    trainer.add_callback(Guard())
