"""Step: ask an author's sources what is new; hand on the digest of what the warehouse holds now."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def collect_documents(
    author: dict,
    recipe: dict,
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    quality: dsl.Output[dsl.Metrics],
) -> str:
    """Collect into the warehouse, write the data-quality report, return the snapshot's digest."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note
    from llm_twin.collection.collect import collect
    from llm_twin.collection.quality import check_quality, measure_quality, write_reports
    from llm_twin.documents import Author
    from llm_twin.recipes import CollectionRecipe
    from llm_twin.settings import SourceSettings, WarehouseSettings
    from llm_twin.stores.warehouse import Warehouse

    settings = WarehouseSettings()
    token = SourceSettings().github_token.get_secret_value()
    collection = CollectionRecipe.model_validate(recipe)
    with Warehouse.connect(settings.url.get_secret_value(), settings.database) as warehouse:
        collected = collect(Author.model_validate(author), collection, warehouse, token)
        measured = measure_quality(collected, warehouse.read_snapshot(collected.snapshot))
    write_reports(measured, Path(report.path), Path(summary.path))
    log_figures(quality, measured.metrics())
    check_quality(measured, collection)
    changes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(collected.counts.items()))
    note(report, "collect-documents", f"{measured.documents} documents ({changes}), {measured.words:,} words")
    return collected.snapshot
