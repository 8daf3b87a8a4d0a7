"""Only checkpoints written to their end count; samplers give a resumed run the same batches."""

from __future__ import annotations

from pathlib import Path

from llm_twin.errors import TwinError
from llm_twin.training.batching import StepSampler, split_step
from llm_twin.training.checkpoints import MARK, disk_error, is_complete, last_complete, mark_complete, refused_write


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


def test_only_what_a_disk_refused_is_called_a_full_disk():
    assert refused_write(OSError(28, "No space left on device")).errno == 28
    assert refused_write(Exception("No space left on device (os error 28)")).errno == 28
    assert refused_write(RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"))
    for other in (ConnectionResetError(104, "reset"), ValueError("wrong"), RuntimeError("shapes do not match")):
        assert refused_write(other) is None


LENGTHS = [5, 90, 7, 88, 6, 91, 40, 41, 42, 12]


def test_the_order_depends_on_seed_and_epoch_alone():
    first, again = StepSampler(LENGTHS, 4, seed=1), StepSampler(LENGTHS, 4, seed=1)
    before = list(first)
    again.set_epoch(1)
    first.set_epoch(1)
    assert list(first) == list(again) != before
    assert sorted(first) == list(range(10)) == sorted(before)
    assert len({tuple(StepSampler(LENGTHS, 4, seed=seed)) for seed in range(8)}) > 1


def test_a_step_holds_what_a_plain_shuffle_gives_it_longest_first():
    for seed in range(5):
        plain, ordered = (list(StepSampler(LENGTHS, size, seed)) for size in (1, 4))
        for start in (0, 4, 8):
            step = ordered[start : start + 4]
            assert set(step) == set(plain[start : start + 4]), "what is learned together is left to chance"
            assert [LENGTHS[i] for i in step] == sorted((LENGTHS[i] for i in step), reverse=True)


def test_a_batch_is_computed_in_equal_parts():
    assert [split_step(size, by_length=True) for size in (1, 2, 4, 7, 8)] == [(1, 1), (1, 2), (2, 2), (7, 1), (4, 2)]
    assert split_step(8, by_length=False) == (8, 1)
