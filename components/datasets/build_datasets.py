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
    from llm_twin.datasets import build_dataset, publish_dataset, render_report, require_no_leaks, write_dataset
    from llm_twin.datasets.labels import read_labels
    from llm_twin.documents import CleanDocument, read_jsonl
    from llm_twin.embedding import load_encoder
    from llm_twin.llm import open_client
    from llm_twin.recipes import DatasetsRecipe
    from llm_twin.settings import EmbeddingSettings, HomeSettings, LlmSettings, RegistrySettings

    settings, access, home = DatasetsRecipe.model_validate(recipe), LlmSettings(), HomeSettings().root
    cache = home / "cache"
    client = open_client(access.base_url, access.model, settings.llm, access.key, cache / "llm")
    key = EmbeddingSettings().key
    encoder = load_encoder(settings.embedder, cache / "embeddings", api_key=key) if settings.embedder else None
    labels = read_labels(home / "datasets", settings.labels)
    built = build_dataset(read_jsonl(documents.path, CleanDocument), settings, encoder, client, labels)
    manifest = write_dataset(built, Path(samples.path))
    Path(report.path).write_text(render_report(built, manifest), encoding="utf-8")
    require_no_leaks(built.leaks, settings)
    publish_dataset(Path(samples.path), home / "datasets", RegistrySettings().resolve(home))
    samples.metadata["content"] = manifest["content"]
    seal(samples)
    made = f"{len(built.instructions):,} instruction samples, {len(built.preferences):,} preference pairs"
    note(samples, "build-datasets", f"{made}, split by document")
