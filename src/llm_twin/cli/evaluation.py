"""`twin evaluate`, `twin scores`, `twin gate`, `twin voice`, `twin traces`, `twin drift`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from llm_twin.evaluation.scores import Scores
    from llm_twin.recipes import Recipe


group = typer.Typer(help="Measure a twin, or one thing of it.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the commands of evaluation and monitoring."""
    app.add_typer(group, name="evaluate")
    app.command("scores")(scores)
    app.command("gate")(gate)
    app.command("voice")(voice)
    app.command("traces")(traces)
    app.command("drift")(drift)


@group.callback()
def evaluate(
    context: typer.Context,
    author: str = typer.Option("", help="Author id, as in the recipe; name of the twin's author."),
    samples: Path = typer.Option(None, help="Folder of samples; default: the last run's."),
    chunks: Path = typer.Option(None, help="Chunk lines; default: the last run's."),
    base: Path = typer.Option(None, help="Base model folder; default: the last run's."),
    sft: Path = typer.Option(None, help="SFT adapter folder."),
    dpo: Path = typer.Option(None, help="DPO adapter folder."),
    quantized: Path = typer.Option(None, help="Quantized model folder."),
    recipe: str = typer.Option("sample", help="Recipe: a name or a YAML file; its section `evaluation` is used."),
    answers: Path = typer.Option(None, help="Score these answers.json again instead of asking the models."),
    out: Path = typer.Option(Path("evaluated"), help="Folder for answers.json, scores.json and report.html."),
) -> None:
    """Measure candidates without a pipeline, with everything that the recipe's section `evaluation` asks for.

    Example: `twin evaluate --author odalys-fenwick` measures the last run's models again. The vector index is started
    if it is this machine's own.
    """
    if context.invoked_subcommand is not None:
        return
    from llm_twin.cli.evaluating import evaluate_here

    given = {"base": base, "sft": sft, "dpo": dpo, "quantized": quantized, "samples": samples, "chunks": chunks}
    figures = evaluate_here(author, {name: path for name, path in given.items() if path}, recipe, answers, out)
    _print_figures(figures)
    print(f"report: {out / 'report.html'}")


@group.command("judge")
def judge_command(
    sheet: Path = typer.Argument(..., help="CSV: question, answer, perhaps sources, and people's labels."),
    recipe: str = typer.Option("sample", help="Recipe whose evaluation.judge names the jury and the criteria."),
    model: list[str] = typer.Option([], help="Judges instead of the recipe's (models at LLM_TWIN_LLM_BASE_URL)."),
) -> None:
    """Let the jury grade a sheet of answers; where people have labelled it, Cohen's kappa with them.

    Example: `twin evaluate sheet --author A --out sheet.csv`, fill in some labels, `twin evaluate judge sheet.csv`.
    """
    from llm_twin.errors import InputError
    from llm_twin.evaluation.finish import open_jury
    from llm_twin.evaluation.judge import RUBRIC, grade_answers
    from llm_twin.evaluation.sheet import agreement, read_sheet
    from llm_twin.settings import HomeSettings, LlmSettings

    access, settings = LlmSettings(), _recipe(recipe).evaluation.judge
    names = list(model) or settings.models or ([access.model] if access.model else [])
    if not names:
        raise InputError("no judge is named", "give --model NAME, or evaluation.judge.models in the recipe")
    settings = settings.model_copy(update={"models": names})
    jury = open_jury(settings, access.base_url, access.key, HomeSettings().root / "cache" / "llm")
    criteria = settings.criteria or RUBRIC
    read = read_sheet(sheet, criteria)
    found = grade_answers(jury, read.answers, criteria)
    for criterion, mean in found.means.items():
        interval = f"[{mean.low:.2f}, {mean.high:.2f}]" if mean.low is not None else "(one value)"
        print(f"{criterion:<12} {mean.mean:.2f} {interval}, length bias {found.length_bias[criterion]:+.2f}")
    missing = ", ".join(f"{kind} {count}" for kind, count in sorted(found.missing.items())) or "none"
    print(f"{found.answered} of {found.asked} grades came; missing: {missing}")
    for judge, criterion, kappa, count in agreement(read, found):
        print(f"agreement of {judge} with people on {criterion}: kappa {kappa:.2f} over {count} labels")


@group.command("sheet")
def sheet_command(
    author: str = typer.Option(..., help="Author id."),
    out: Path = typer.Option(Path("sheet.csv"), help="The CSV to write."),
    recipe: str = typer.Option("sample", help="Recipe whose evaluation.judge.criteria become columns to fill."),
) -> None:
    """Write the newest evaluation's answers as a sheet for people to label."""
    from llm_twin.evaluation.judge import RUBRIC
    from llm_twin.evaluation.sheet import write_sheet

    count = write_sheet(out, _latest(author), _recipe(recipe).evaluation.judge.criteria or RUBRIC)
    print(f"{out}: {count} answers")


@group.command("choose")
def choose_command(
    questions: Path = typer.Argument(..., help="YAML or CSV: question, choices (A, B, …), answer."),
    model: Path = typer.Option(..., help="Folder of a model that transformers loads."),
    adapter: Path = typer.Option(None, help="Folder of an adapter trained on it."),
    method: str = typer.Option("log_probability", help="log_probability, or generation."),
) -> None:
    """Multiple choice on a model: accuracy with its interval, beside chance."""
    from llm_twin.evaluation.candidates import BASE, load_candidates
    from llm_twin.evaluation.choice import ask_choices, read_choices

    if method not in ("log_probability", "generation"):
        raise typer.BadParameter("log_probability or generation", param_hint="--method")
    read = read_choices(questions)
    candidates = load_candidates(model, {"adapter": adapter} if adapter else {})
    with candidates.active("adapter" if adapter else BASE) as active:
        found = ask_choices(active, candidates.tokenizer, read, method)  # type: ignore[arg-type]
    right = found.accuracy
    print(
        f"accuracy {right.mean:.3f} [{right.low:.3f}, {right.high:.3f}] over {right.count}; chance {found.chance:.3f}"
    )
    print(f"{found.answered} answers could be read")
    for subject, share in sorted(found.by_subject.items()):
        print(f"  {subject:<30} {share:.3f}")


@group.command("behaviour")
def behaviour_command(
    author: str = typer.Option("", help="Whose twin (id); needed where this home holds several."),
    recipe: str = typer.Option("sample", help="Recipe: its section `evaluation` is used."),
    question: list[str] = typer.Option([], help="Questions that the twin can answer; default: made of its corpus."),
) -> None:
    """Disturb this home's twin: paraphrase, typo, swapped name, no answer in the corpus, an order in a passage.

    Exit 1 when a check fails.
    """
    from llm_twin.cli.evaluating import check_twin_here

    findings, seconds = check_twin_here(author, recipe, question)
    for finding in findings:
        print(f"{finding.check:<14} {finding.passed}/{finding.cases}")
        for failure in finding.failures:
            print(f"    {failure}")
    if seconds:
        print(f"plain answers took {sum(seconds) / len(seconds):.2f} s on average, {max(seconds):.2f} s at most")
    raise typer.Exit(int(any(finding.failures for finding in findings)))


@group.command("benchmark")
def benchmark_command(
    task: list[str] = typer.Option(..., help="Such as mmlu or ifeval; may be given several times."),
    model: Path = typer.Option(None, help="Folder of a model that transformers loads."),
    adapter: Path = typer.Option(None, help="Folder of an adapter trained on it."),
    url: str = typer.Option("", help="Instead of a folder: an OpenAI-compatible base URL, as `twin serve` prints it."),
    name: str = typer.Option("", help="The model's name at the URL."),
    include: Path = typer.Option(None, help="Folder of task files of your own."),
    limit: int = typer.Option(0, help="Questions of each task; 0: all."),
    shots: int = typer.Option(0, help="Solved examples before each question; 0: the task's own number."),
) -> None:
    """General benchmarks through lm-evaluation-harness (pip install 'llm-twin[benchmarks]')."""
    from llm_twin.evaluation.candidates import BASE, load_candidates
    from llm_twin.evaluation.harness import run_benchmarks, run_benchmarks_at
    from llm_twin.recipe_parts import BenchmarksRecipe

    wanted = BenchmarksRecipe(tasks=list(task), include=str(include or ""), limit=limit, shots=shots)
    if bool(url) == bool(model):
        raise typer.BadParameter("give one of --model and --url")
    if url:
        found = run_benchmarks_at(url, name, wanted, seed=20)
    else:
        candidates = load_candidates(model, {"adapter": adapter} if adapter else {})
        with candidates.active("adapter" if adapter else BASE) as active:
            found = run_benchmarks(active, candidates.tokenizer, wanted, seed=20)
    for measure, score in found.items():
        error = f" ± {1.96 * score.error:.3f}" if score.error is not None else ""
        print(f"{measure:<40} {score.value:.4f}{error}  ({score.questions} questions)")


@group.command("tasks")
def tasks_command(
    search: str = typer.Argument("", help="Only names that hold this."),
    include: Path = typer.Option(None, help="Folder of task files of your own."),
) -> None:
    """The tasks that lm-evaluation-harness knows. Needs no network."""
    from llm_twin.evaluation.harness import list_tasks

    for name in list_tasks(str(include or "")):
        if search.lower() in name.lower():
            print(name)


def scores(author: str = typer.Option(..., help="Author id.")) -> None:
    """Figures of the author's newest evaluation."""
    found = _latest(author)
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
    from llm_twin.settings import HomeSettings, RegistrySettings

    tracking = RegistrySettings().resolve(HomeSettings().root)
    decision = decide(tracking, author, _recipe(recipe).evaluation.gate, override, by, reason)
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


def _recipe(name: str) -> Recipe:
    from llm_twin.recipes import load_recipe
    from pipelines.catalogue import find_recipe

    return load_recipe(find_recipe(name))


def _latest(author: str) -> Scores:
    from llm_twin.errors import InputError
    from llm_twin.evaluation.mlflow_log import latest_scores
    from llm_twin.settings import HomeSettings, RegistrySettings

    found = latest_scores(RegistrySettings().resolve(HomeSettings().root), author)
    if found is None:
        raise InputError(f"no evaluation of {author} is logged", "run `twin run` or `twin evaluate` first")
    return found


def _print_figures(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:<36} {value:12.4f}")
