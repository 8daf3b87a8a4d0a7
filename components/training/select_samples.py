"""Step: a data set in, what training reads of it out, so that a change of the test split does not train again."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def select_samples(samples: dsl.Input[dsl.Dataset], selected: dsl.Output[dsl.Dataset]):
    """Copy what train and validation have."""
    import shutil
    from pathlib import Path

    from llm_twin.artifacts import note, seal

    kinds = ("instruction", "preference")
    names = [f"{kind}_{split}.jsonl" for kind in kinds for split in ("train", "validation")]
    Path(selected.path).mkdir(parents=True)
    lines = 0
    for name in names:
        shutil.copyfile(Path(samples.path) / name, Path(selected.path) / name)
        lines += len((Path(selected.path) / name).read_bytes().splitlines())
    seal(selected)
    note(selected, "select-samples", f"{lines:,} samples to train and validate on")
