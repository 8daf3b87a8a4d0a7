"""A pipeline of three small steps for the tests of the local runner: ask the world, keep, count."""

import sys
from pathlib import Path

from kfp import dsl

from pipelines.local_run import RunResult, run_local


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def ask_world(file: str) -> str:
    """Always runs; hands on what it found."""
    from pathlib import Path

    return Path(file).read_text()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def keep_letters(found: str, code: str, kept: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]):
    """Writes the letters of its input; fails, hangs or reports when its input says so."""
    import time
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.errors import QualityError
    from llm_twin.progress import report

    if "fail" in found:
        raise QualityError("7 of 8 documents are empty", "look at the source")
    if "hang" in found:
        report("hanging")
        time.sleep(600)
    Path(kept.path).write_text("".join(c for c in found if c.isalpha()))
    seal(kept)
    log_figures(metrics, {"letters": float(len(Path(kept.path).read_text()))})
    note(kept, "keep-letters", "letters kept")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def count_letters(kept: dsl.Input[dsl.Dataset], code: str) -> int:
    """Counts."""
    from pathlib import Path

    return len(Path(kept.path).read_text())


def build(code: str):
    """The pipeline with `code` as the digest of its library."""

    @dsl.pipeline(name="tiny")
    def tiny(file: str) -> int:
        asked = ask_world(file=file)
        asked.set_caching_options(False)
        kept = keep_letters(found=asked.output, code=code)
        return count_letters(kept=kept.outputs["kept"], code=code).output

    return tiny


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def tell(code: str):
    """The exit step: runs whatever became of the others."""
    from llm_twin.progress import report

    report("told")


def build_many():
    """Several inputs side by side, with a step at the end that runs whatever failed, as the pipeline `authors` does."""

    @dsl.pipeline(name="many")
    def many(words: list):
        with dsl.ExitHandler(tell(code="")), dsl.ParallelFor(words, parallelism=3) as word:
            keep_letters(found=word, code="one")

    return many


def run(home: Path, file: Path, code: str = "one") -> RunResult:
    """Run it with state under `home`."""
    return run_local(
        build(code), {"file": str(file)}, home / "artifacts", home / "cache", home / "logs" / "run.log", print_event
    )


def print_event(event: str, step) -> None:
    """Tell a watching test what happens."""
    print(event, step.name, step.status, step.last_progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
