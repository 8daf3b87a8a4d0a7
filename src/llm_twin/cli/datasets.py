"""`twin datasets …`: the versions of the data sets of this home, and sheets for people to label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from llm_twin.llm import LlmClient

group = typer.Typer(help="Data sets: list versions, compare them, read the card, label by hand.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="datasets")


def mark_derived(document_ids: set[str], purge: bool = False) -> list[str]:
    """Mark the data sets that hold forgotten documents, drop cached replies about them; lines that say what it means.

    Models are named that were trained on a marked data set: their weights still hold what they learnt.
    """
    from llm_twin.datasets.labels import forget_labels
    from llm_twin.datasets.versions import find_trained, mark_forgotten
    from llm_twin.settings import HomeSettings, RegistrySettings
    from llm_twin.training.registry import list_models, read_lineage

    home = HomeSettings().root
    for path in (home / "cache" / "llm").glob("replies.db*"):
        path.unlink()
    marked = mark_forgotten(home / "datasets", document_ids, purge)
    labels = forget_labels(home / "datasets", document_ids)
    lines = [f"{labels} labelled pair(s) of forgotten documents removed"] if labels else []
    lines += [f"data set {v.name} {v.version} holds {len(v.forgotten)} forgotten document(s)" for v in marked]
    registry = RegistrySettings()
    if marked and (registry.tracking_uri or (home / "mlflow" / "mlflow.db").is_file()):
        uri = registry.resolve(home)
        models = list_models(uri)
        lineages = [(f"{m.name} version {m.version}", read_lineage(uri, m.name, m.version)["lineage"]) for m in models]
        lines += [f"model {name} was trained on one of them: train again" for name in find_trained(marked, lineages)]
    return lines


def _store() -> Path:
    from llm_twin.settings import HomeSettings

    return HomeSettings().root / "datasets"


def _name(name: str) -> str:
    """The data set's name: the one given, or the only one there is."""
    from llm_twin.datasets.versions import list_names
    from llm_twin.errors import InputError

    names = list_names(_store())
    if name in names or (not name and len(names) == 1):
        return name or names[0]
    known = ", ".join(names) or "none; `twin run` makes one"
    raise InputError(f"no data set {name!r}" if name else "which data set?", f"give --name; known: {known}")


@group.command("list")
def list_command(name: str = typer.Option("", help="Only this author's.")) -> None:
    """List the versions, newest last."""
    from llm_twin.datasets.versions import list_names, list_versions

    for one in [name] if name else list_names(_store()):
        for version in list_versions(_store(), one):
            total = version.counts["instructions"]
            mark = f"  holds {len(version.forgotten)} forgotten document(s)" if version.forgotten else ""
            print(
                f"{one}  {version.version}  {version.content[:12]}  {version.created:%Y-%m-%d %H:%M}  "
                f"{total['train']}/{total['validation']}/{total['test']} samples{mark}"
            )


@group.command("diff")
def diff_command(
    before: str = typer.Argument(help="A version, the beginning of a content digest, or a folder."),
    after: str = typer.Argument("latest", help="Likewise."),
    name: str = typer.Option("", help="The author's id, where there are several."),
) -> None:
    """What differs between two versions: documents, samples, recipe, prompts."""
    from llm_twin.datasets.compare import compare_datasets

    found = compare_datasets(_folder(before, name), _folder(after, name))
    if found["same"]:
        print("the same content")
        return
    for what, urls in found["documents"].items():
        for url in urls:
            print(f"document {what:<8} {url}")
    for what, splits in found["samples"].items():
        for split, counts in splits.items():
            print(f"{what:<12} {split:<11} +{counts['added']} -{counts['removed']} ={counts['kept']}")
    for section in ("recipe", "prompts"):
        for key, change in found[section].items():
            print(f"{section:<8} {key}: {change}")


@group.command("card")
def card_command(
    version: str = typer.Argument("latest", help="A version, the beginning of a content digest, or a folder."),
    name: str = typer.Option("", help="The author's id, where there are several."),
) -> None:
    """Print a version's card."""
    print((_folder(version, name) / "README.md").read_text(encoding="utf-8"), end="")


@group.command("check")
def check_command(
    version: str = typer.Argument("latest", help="A version, the beginning of a content digest, or a folder."),
    name: str = typer.Option("", help="The author's id, where there are several."),
    meaning: bool = typer.Option(True, help="Also compare splits by embedding, with the recipe's embedder."),
) -> None:
    """Prove a version against the warehouse: targets byte for byte, no leaks, all passages accounted for.

    Counts everything anew from the files. Exit code 1 if something is not as promised.
    """
    from llm_twin.cli.collection import open_warehouse
    from llm_twin.datasets.check import check_dataset
    from llm_twin.datasets.manifest import read_manifest
    from llm_twin.embedding import load_encoder
    from llm_twin.settings import EmbeddingSettings, HomeSettings

    folder = _folder(version, name)
    manifest = read_manifest(folder)
    revisions: dict[str, list[str]] = {}
    with open_warehouse() as warehouse:
        for document in warehouse.read_revisions(sorted({s["revision_id"] for s in manifest["sources"]})):
            revisions.setdefault(document.revision_id, []).append(document.text)
    embedder, cache = manifest["recipe"]["embedder"], HomeSettings().root / "cache" / "embeddings"
    encoder = load_encoder(embedder, cache, api_key=EmbeddingSettings().key) if meaning and embedder else None
    checked = check_dataset(folder, revisions, encoder)
    for figure, value in checked.figures.items():
        print(f"{figure.replace('_', ' '):<28} {value:,}")
    for problem in checked.problems:
        print(f"WRONG: {problem}")
    if checked.problems:
        raise typer.Exit(1)
    print("all as promised")


@group.command("export-sheet")
def export_command(
    sheet: Path = typer.Argument(help="The file to write: .csv or .jsonl."),
    version: str = typer.Option("latest", help="The data set's version."),
    name: str = typer.Option("", help="The author's id, where there are several."),
    count: int = typer.Option(50, min=1, help="How many rows."),
    blank: bool = typer.Option(False, "--blank", help="Leave the author's side out, for a person to write one."),
    generate: int = typer.Option(0, min=0, help="More responses for each row by the configured language model."),
) -> None:
    """Write a sheet of responses to judge: by people, or by a model with `judge-sheet`.

    Each row has responses in random order. Fill in `ranking`: their letters, best first, such as `b > a`, or only the
    best. With --blank, `written` waits for a response by a person. Who writes and who judges is free; `import-sheet`
    takes the sheet back.
    """
    from llm_twin.datasets.labelling import export_sheet

    folder = _folder(version, name)
    rows = export_sheet(folder, sheet, count, blank, generate, _open_client(folder) if generate else None)
    wanted = "`written`, then `ranking`," if blank else "`ranking`"
    print(f"{rows} rows in {sheet}. Fill in {wanted} or let a model judge: twin datasets judge-sheet {sheet}")
    print(f"Then: twin datasets import-sheet {sheet}")


@group.command("judge-sheet")
def judge_command(
    sheet: Path = typer.Argument(help="The sheet; rankings are written into it."),
    version: str = typer.Option("latest", help="The version that the sheet was made from."),
    name: str = typer.Option("", help="The author's id, where there are several."),
) -> None:
    """Let the configured language model rank the rows of a sheet that have no ranking yet.

    It sees the responses in an order of its own beside two texts of the author. Rankings by people stay.
    """
    from llm_twin.datasets.labelling import judge_sheet
    from llm_twin.errors import InputError

    folder = _folder(version, name)
    client = _open_client(folder)
    if client is None:
        raise InputError("no language model to judge", "set LLM_TWIN_LLM_BASE_URL and LLM_TWIN_LLM_MODEL")
    tally = judge_sheet(folder, sheet, client)
    print(f"{tally.done} rows judged by {client.model}; {tally.left} had a ranking or fewer than two responses")
    if tally.failed:
        print(f"{tally.failed} rows got no usable ranking: run it again, or rank them yourself")
    print(f"Then: twin datasets import-sheet {sheet}")


@group.command("import-sheet")
def import_command(
    sheet: Path = typer.Argument(help="The sheet, filled in."),
    output: Path | None = typer.Option(None, help="Also write the pairs here, as JSON lines."),
    version: str = typer.Option("latest", help="The version that the sheet was made from."),
    name: str = typer.Option("", help="The author's id, where there are several."),
) -> None:
    """Read a sheet back as preference pairs, and keep them as a label set for the next run."""
    from llm_twin.datasets.labelling import import_sheet
    from llm_twin.datasets.labels import keep_labels
    from llm_twin.documents import write_jsonl

    pairs, tally = import_sheet(_folder(version, name), sheet)
    print(f"{len(pairs)} pairs from {tally.done} rows; {tally.left} rows have no ranking")
    if output is not None:
        write_jsonl(output, pairs)
        print(f"written to {output}")
    if pairs:
        print(f"Kept as label set {keep_labels(_store(), pairs)}. To train on it, in the recipe:")
        print(f"  datasets:\n    labels: [{keep_labels(_store(), pairs)}]")


def _open_client(folder: Path) -> LlmClient | None:
    """The configured language model, bounded as the data set's recipe says."""
    from llm_twin.datasets.manifest import read_manifest
    from llm_twin.llm import open_client
    from llm_twin.recipes import LlmRecipe
    from llm_twin.settings import HomeSettings, LlmSettings

    access, bounds = LlmSettings(), LlmRecipe.model_validate(read_manifest(folder)["recipe"]["llm"])
    return open_client(access.base_url, access.model, bounds, access.key, HomeSettings().root / "cache" / "llm")


@group.command("push")
def push_command(
    target: str = typer.Argument(help="A hub repository (owner/name), or a DVC remote's folder (dvc:PATH)."),
    version: str = typer.Option("latest", help="The data set's version."),
    name: str = typer.Option("", help="The author's id, where there are several."),
) -> None:
    """Push a version to a model hub or a DVC remote."""
    from llm_twin.datasets.push import push_version
    from llm_twin.settings import HubSettings

    token = HubSettings().token
    print(push_version(_folder(version, name), target, token.get_secret_value() if token else ""))


def _folder(wanted: str, name: str) -> Path:
    from llm_twin.datasets.versions import find_version, version_folder

    if (Path(wanted) / "manifest.json").is_file():
        return Path(wanted)
    return version_folder(_store(), find_version(_store(), _name(name), wanted))
