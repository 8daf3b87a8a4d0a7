"""Only checkpoints written to their end count; samplers give a resumed run the same batches."""

from __future__ import annotations

from pathlib import Path

from llm_twin.errors import TwinError
from llm_twin.training.batching import LengthSampler, ShuffleSampler
from llm_twin.training.checkpoints import MARK, disk_error, is_complete, last_complete, mark_complete


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "part").mkdir(parents=True)
    (path / "weights.safetensors").write_bytes(b"w" * step)
    (path / "part" / "optimizer.pt").write_bytes(b"o" * 10)
    return path


def test_a_checkpoint_without_its_mark_is_removed_and_the_one_before_taken(tmp_path):
    mark_complete(checkpoint(tmp_path, 8))
    half = checkpoint(tmp_path, 12)
    assert last_complete(tmp_path).name == "checkpoint-8"
    assert not half.exists()


def test_a_cut_file_or_a_missing_one_or_a_broken_mark_makes_it_incomplete(tmp_path):
    for damage in ("cut", "missing", "mark", "list"):
        path = checkpoint(tmp_path / damage, 4)
        mark_complete(path)
        assert is_complete(path)
        if damage == "cut":
            (path / "weights.safetensors").write_bytes(b"w")
        elif damage == "missing":
            (path / "part" / "optimizer.pt").unlink()
        else:
            (path / MARK).write_text("{" if damage == "mark" else "[1]")
        assert not is_complete(path)
        assert last_complete(tmp_path / damage) is None


def test_ten_comes_after_nine(tmp_path):
    for step in (9, 10):
        mark_complete(checkpoint(tmp_path, step))
    assert last_complete(tmp_path).name == "checkpoint-10"


def test_a_full_disk_says_what_to_do(tmp_path):
    error = disk_error(OSError(28, "No space left on device"), tmp_path)
    assert isinstance(error, TwinError)
    assert "No space left" in str(error) and "LLM_TWIN_HOME" in str(error) and "goes on" in str(error)


def test_samplers_depend_on_seed_and_epoch_alone():
    lengths = [5, 90, 7, 88, 6, 91, 40, 41, 42]
    first, again = LengthSampler(lengths, 3, seed=1), LengthSampler(lengths, 3, seed=1)
    list(first)
    again.set_epoch(1)
    first.set_epoch(1)
    assert list(first) == list(again)
    assert sorted(first) == list(range(9))
    other = LengthSampler(lengths, 3, seed=2)
    orders = {tuple(LengthSampler(lengths, 3, seed=s)) for s in range(8)}
    assert len(orders) > 1 and sorted(other) == list(range(9))
    shuffled = ShuffleSampler(9, seed=1)
    before = list(shuffled)
    shuffled.set_epoch(1)
    assert list(shuffled) != before and sorted(shuffled) == sorted(before)


def test_each_batch_holds_samples_of_similar_length():
    lengths = [5, 90, 7, 88, 6, 91, 40, 41, 42]
    order = list(LengthSampler(lengths, 3, seed=3))
    batches = [{lengths[i] // 35 for i in order[start : start + 3]} for start in (0, 3, 6)]
    assert all(len(batch) == 1 for batch in batches)


def test_the_incomplete_batch_is_another_one_each_epoch():
    sampler = LengthSampler(list(range(10, 110, 10)), 4, seed=1)
    ends = set()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == list(range(10))
        ends.add(tuple(sorted(order[8:])))
    assert len(ends) > 3
