"""Which samples share a step and a batch, in an order that depends on the seed and the epoch alone.

transformers' own samplers draw from torch's global generator, so a run that resumes in the middle of an epoch would see
another order; this one gives a resumed run the same batches.

Samples of one length waste no padding. But to fill whole steps with samples of one length is to learn from short ones
now and from long ones then, and the held-out loss is worse for it. So a step holds what a plain shuffle gives it; only
within the step are its samples put in order of length, and computed in parts whose gradients add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

MAX_PARTS = 2  # of a step: four save a little more padding, and lost more in small passes (measured)


class StepSampler(Sampler[int]):
    """A plain shuffle of all indices, in which each run of `step_size` is put in order of length, longest first."""

    def __init__(self, lengths: Sequence[int], step_size: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.step_size = step_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's loader at the start of each epoch, also when a run resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        import numpy as np

        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.lengths)).tolist()
        for start in range(0, len(order), self.step_size):
            yield from sorted(order[start : start + self.step_size], key=lambda i: -self.lengths[i])


def split_step(batch_size: int, by_length: bool) -> tuple[int, int]:
    """(samples of one forward pass, passes) of a batch: one pass, or two equal parts."""
    parts = next(parts for parts in range(MAX_PARTS, 0, -1) if batch_size % parts == 0) if by_length else 1
    return batch_size // parts, parts


def use_sampler(trainer: Any, by_length: bool) -> None:
    """Make `trainer` draw its training samples by the sampler above (instead of transformers' own)."""
    dataset, arguments = trainer.train_dataset, trainer.args
    step = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    seed = arguments.data_seed if arguments.data_seed is not None else arguments.seed
    lengths = [sample_length(row) for row in dataset] if by_length else [0] * len(dataset)
    sampler = StepSampler(lengths, step if by_length else 1, seed)
    trainer._get_train_sampler = lambda *_: sampler


def sample_length(row: dict[str, Any]) -> int:
    """Tokens of a prepared sample; of a preference pair, its longer side with the prompt."""
    if "input_ids" in row:
        return len(row["input_ids"])
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
