"""Step: a snapshot's documents in, clean documents and a report out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def clean_documents(
    snapshot: str, recipe: dict, code: str, documents: dsl.Output[dsl.Dataset], report: dsl.Output[dsl.HTML]
):
    """Read a snapshot from the warehouse; write CleanDocument lines, and what was left out and why."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.documents import CleanDocument, read_jsonl, write_jsonl
    from llm_twin.features.cleaning import CleaningReport, clean_snapshot
    from llm_twin.features.report import render_report
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.settings import WarehouseSettings
    from llm_twin.stores.warehouse import Warehouse

    where, tally = WarehouseSettings(), CleaningReport()
    with Warehouse.connect(where.url.get_secret_value(), where.database) as warehouse:
        cleaned = clean_snapshot(warehouse, snapshot, FeaturesRecipe.model_validate(recipe), tally)
        count = write_jsonl(documents.path, cleaned)
    page = render_report(tally, read_jsonl(documents.path, CleanDocument))
    Path(report.path).write_text(page, encoding="utf-8")
    seal(documents)
    note(documents, "clean-documents", f"{count:,} documents kept")
