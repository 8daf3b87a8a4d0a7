"""Which samples share a batch, in an order that depends on the seed and the epoch alone.

transformers' own length-grouped sampler draws from torch's global generator, so a run that resumes in the middle of
an epoch would see another order; this one gives a resumed run the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

JITTER = 0.05  # lengths within 5 % of each other may swap places from epoch to epoch


class LengthSampler(Sampler[int]):
    """Indices such that each run of `batch_size` has samples of similar length; the batches come in random order."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's loader at the start of each epoch, also when a run resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        import numpy as np

        random = np.random.default_rng([self.seed, self.epoch])
        noisy = np.asarray(self.lengths, dtype=np.float64) * random.uniform(1 - JITTER, 1 + JITTER, len(self.lengths))
        # An incomplete batch must come last, where the rate is near zero: drawn at random, or the longest samples
        # would be in it every time, and hardly be learned.
        mixed = random.permutation(len(self.lengths))
        full = len(mixed) - len(mixed) % self.batch_size
        rest, kept = mixed[full:], mixed[:full]
        order = kept[np.argsort(noisy[kept], kind="stable")]
        batches = [order[i : i + self.batch_size] for i in range(0, full, self.batch_size)]
        for number in random.permutation(len(batches)):
            yield from (int(i) for i in batches[number])
        yield from (int(i) for i in rest)


class ShuffleSampler(Sampler[int]):
    """A plain shuffle that depends on the seed and the epoch alone."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's loader at the start of each epoch, also when a run resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        import numpy as np

        yield from (int(i) for i in np.random.default_rng([self.seed, self.epoch]).permutation(self.size))


def use_sampler(trainer: Any, by_length: bool) -> None:
    """Make `trainer` draw its training samples by one of the samplers above (instead of transformers' own)."""
    dataset = trainer.train_dataset
    batch = trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps
    seed = trainer.args.data_seed if trainer.args.data_seed is not None else trainer.args.seed
    sampler: Sampler[int]
    if by_length:
        sampler = LengthSampler([sample_length(row) for row in dataset], batch * trainer.args.world_size, seed)
    else:
        sampler = ShuffleSampler(len(dataset), seed)
    trainer._get_train_sampler = lambda *_: sampler


def sample_length(row: dict[str, Any]) -> int:
    """Tokens of a prepared sample; of a preference pair, its longer side with the prompt."""
    if "input_ids" in row:
        return len(row["input_ids"])
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
