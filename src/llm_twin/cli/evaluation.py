"""`twin evaluate`, `twin scores`, `twin gate`, `twin voice`, `twin traces`, `twin drift`: parse, call, print."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of evaluation and monitoring."""
    app.command("evaluate")(evaluate)
    app.command("scores")(scores)
    app.command("gate")(gate)
    app.command("voice")(voice)
    app.command("traces")(traces)
    app.command("drift")(drift)


def evaluate(
    author: str = typer.Option(..., help="Author id, as in the recipe."),
    samples: Path = typer.Option(..., help="Folder of samples (build_datasets wrote it)."),
    chunks: Path = typer.Option(..., help="Chunk lines (chunk_documents wrote them)."),
    base: Path = typer.Option(..., help="Base model folder."),
    sft: Path = typer.Option(None, help="SFT adapter folder."),
    dpo: Path = typer.Option(None, help="DPO adapter folder."),
    quantized: Path = typer.Option(None, help="Quantized model folder."),
    recipe: str = typer.Option("sample", help="Recipe: a name or a YAML file; its section `evaluation` is used."),
    out: Path = typer.Option(Path("evaluated"), help="Folder for scores.json and report.html."),
) -> None:
    """Measure candidates without a pipeline; the vector index must be up."""
    from llm_twin.documents import Chunk, read_jsonl
    from llm_twin.evaluation import finish, retrieve, run
    from llm_twin.recipes import load_recipe
    from llm_twin.settings import HomeSettings, IndexSettings, QuantizeSettings, RegistrySettings
    from pipelines.catalogue import find_recipe

    settings, where = load_recipe(find_recipe(recipe)).evaluation, IndexSettings()
    key = where.api_key.get_secret_value() if where.api_key else None
    adapters = {name: folder for name, folder in (("sft", sft), ("dpo", dpo)) if folder is not None}
    models = run.Models(base, adapters, quantized, QuantizeSettings().python)
    with retrieve.open_retrieval(where.url, key, author, settings) as asked:
        passages = list(read_jsonl(chunks, Chunk))
        found = run.evaluate_models(author, "", models, samples, passages, asked, settings)
    tracking = RegistrySettings().resolve(HomeSettings().root)
    report = out / "report.html"
    finish.write_results(found, settings.model_dump(), tracking, str(out / "scores.json"), str(report))
    _print_figures(found.headline())
    print(f"report: {report}")


def scores(author: str = typer.Option(..., help="Author id.")) -> None:
    """Figures of the author's newest evaluation."""
    from llm_twin.errors import InputError
    from llm_twin.evaluation.mlflow_log import latest_scores
    from llm_twin.settings import HomeSettings, RegistrySettings

    found = latest_scores(RegistrySettings().resolve(HomeSettings().root), author)
    if found is None:
        raise InputError(f"no evaluation of {author} is logged", "run `twin run` or `twin evaluate` first")
    _print_figures(found.headline())
    for note in found.notes:
        print(f"note: {note}")


def gate(
    author: str = typer.Option(..., help="Author id."),
    recipe: str = typer.Option("sample", help="Recipe whose evaluation.gate holds the rules."),
    override: bool = typer.Option(False, "--override", help="Turn the decision round; needs --by and --reason."),
    by: str = typer.Option("", help="Who overrides."),
    reason: str = typer.Option("", help="Why."),
) -> None:
    """Judge the newest evaluation by the gate's rules; exit 1 when it is refused. An override is recorded."""
    from llm_twin.evaluation.promotion import decide
    from llm_twin.recipes import load_recipe
    from llm_twin.settings import HomeSettings, RegistrySettings
    from pipelines.catalogue import find_recipe

    tracking = RegistrySettings().resolve(HomeSettings().root)
    decision = decide(tracking, author, load_recipe(find_recipe(recipe)).evaluation.gate, override, by, reason)
    for evidence in decision.evidence:
        print(f"{evidence.outcome:<16} {evidence.reason}")
    print("promoted" if decision.promote else "refused", f"(mode {decision.mode})")
    if decision.override:
        print(f"overridden by {decision.override.by}: {decision.override.reason}")
    raise typer.Exit(0 if decision.promote else 1)


def voice(
    texts: list[Path] = typer.Argument(..., help="Files to score."),
    author: Path = typer.Option(..., help="Folder of the author's Markdown or text files."),
    words: int = typer.Option(100, help="Length of the pieces compared: 50, 100 or 250."),
) -> None:
    """How much each file reads like the author: 0 another author, 100 the author's own held-out writing."""
    from llm_twin.evaluation.voice.files import score_files

    scorer, found = score_files(texts, author, words)
    print(f"{scorer.documents} documents ({scorer.stubs} too short), pieces of {words} words")
    for line in found:
        print(line)


def traces(
    author: str = typer.Option(None, help="Author id; all where none is named."),
    limit: int = typer.Option(20, help="How many, newest last."),
    json_lines: bool = typer.Option(False, "--json", help="Whole records, one a line."),
) -> None:
    """Requests as they were traced."""
    from llm_twin.settings import HomeSettings, RegistrySettings
    from llm_twin.tracing import read_traces

    for trace in read_traces(RegistrySettings().resolve(HomeSettings().root), author=author, limit=limit):
        if json_lines:
            print(trace.model_dump_json())
            continue
        hops = ", ".join(f"{hop.name} {1000 * hop.seconds:.0f} ms" for hop in trace.hops)
        print(
            f"{trace.started:%Y-%m-%d %H:%M:%S}  {trace.status:<9} {trace.seconds:6.2f} s  {trace.query[:60]}  ({hops})"
        )


def drift(
    author: str = typer.Option(..., help="Author id."),
    window: int = typer.Option(100, help="How many of the newest requests are held against those before."),
    reference: int = typer.Option(200, help="How many requests before them are the reference."),
    share: float = typer.Option(0.5, help="Share of columns that must move for drift."),
    out: Path = typer.Option(Path("drift.html"), help="The report."),
) -> None:
    """Compare the newest requests with those before; exit 1 on drift."""
    from llm_twin.monitoring.drift import compare_windows, describe
    from llm_twin.monitoring.observations import from_traces
    from llm_twin.settings import HomeSettings, RegistrySettings
    from llm_twin.tracing import read_traces

    tracking = RegistrySettings().resolve(HomeSettings().root)
    seen = from_traces(read_traces(tracking, author=author, limit=window + reference))
    found, page = compare_windows(seen[-window:], seen[:-window], share, "earlier requests")
    out.write_text(page, encoding="utf-8")
    print(f"{describe(found)}; report: {out}")
    raise typer.Exit(1 if found.drifted else 0)


def _print_figures(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:<36} {value:12.4f}")
