"""Step: a base model and an adapter in, one model out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def merge_adapter(base: dsl.Input[dsl.Model], adapter: dsl.Input[dsl.Model], code: str, merged: dsl.Output[dsl.Model]):
    """Merge the adapter into the full-precision base."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.training import merge

    merge.merge_adapter(Path(base.path), Path(adapter.path), Path(merged.path))
    seal(merged)
    size = sum(file.stat().st_size for file in Path(merged.path).rglob("*") if file.is_file())
    note(merged, "merge-adapter", f"merged model, {size / 1e6:,.0f} MB")
