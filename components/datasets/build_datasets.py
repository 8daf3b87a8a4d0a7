"""Step: clean documents in, instruction and preference samples out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def build_datasets(
    documents: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
    samples: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
):
    """Read CleanDocument lines; write a folder of samples split by document, and an HTML report."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.datasets import build_dataset, render_report, require_no_leaks, write_dataset
    from llm_twin.documents import CleanDocument, read_jsonl
    from llm_twin.recipes import DatasetsRecipe

    settings = DatasetsRecipe.model_validate(recipe)
    encode = None
    if settings.embedder:
        from llm_twin.embedding import load_encoder

        encode = load_encoder(settings.embedder).encode
    built = build_dataset(read_jsonl(documents.path, CleanDocument), settings, encode)
    manifest = write_dataset(built, Path(samples.path))
    Path(report.path).write_text(render_report(built, manifest), encoding="utf-8")
    require_no_leaks(built.leaks, settings)
    samples.metadata["content"] = manifest["content"]
    seal(samples)
    made = f"{len(built.instructions):,} instruction samples, {len(built.preferences):,} preference pairs"
    note(samples, "build-datasets", f"{made}, split by document")
