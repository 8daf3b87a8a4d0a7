"""`twin evaluate` over this home: models and data of the last run, or those that are named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_twin.errors import InputError

if TYPE_CHECKING:
    from llm_twin.documents import Author, Chunk
    from llm_twin.evaluation.behaviours import BehaviourFinding
    from llm_twin.evaluation.retrieve import Retrieval
    from llm_twin.local.home import Home
    from llm_twin.recipes import EvaluationRecipe

PARTS = {"base": "base", "sft": "sft", "dpo": "adapter", "quantized": "quantized", "samples": "samples",
         "chunks": "chunks"}  # fmt: skip


@dataclass(frozen=True)
class Built:
    """What a run left: whose twin it is, its index, and folders and files by name."""

    author: Author
    index: str
    parts: dict[str, Path]


def find_built(home: Home, author: str, given: dict[str, Path]) -> Built:
    """The last run's parts (of `author`, or of the only twin), replaced by those given; with a base model given, that
    run's adapters do not fit and are left out. Raises InputError that names what is missing."""
    from llm_twin.documents import Author

    records = sorted(home.twins.glob(f"{author or '*'}.json"))
    if len(records) > 1:
        raise InputError("this home holds several twins", f"give --author: {', '.join(p.stem for p in records)}")
    record = json.loads(records[0].read_text(encoding="utf-8")) if records else {}
    if not record and not author:
        raise InputError(f"no twin in {home.twins}", "build one with `twin run`, or name all parts and --author")
    kept = [name for name in PARTS if "base" not in given or name in ("samples", "chunks")]
    known = {name: Path(record[PARTS[name]]) for name in kept if record.get(PARTS[name])} | given
    parts = {name: known[name] for name in PARTS if name in known}
    missing = [name for name in ("base", "samples", "chunks") if name not in parts]
    if missing:
        raise InputError(
            f"not known: {', '.join(missing)}", "name them, such as --base FOLDER, or run `twin run` first"
        )
    for name, path in parts.items():
        if not path.exists():
            raise InputError(f"{name} is not there: {path}", "build the twin again with `twin run`")
    who = Author.model_validate(record.get("author") or {"id": author, "name": author})
    return Built(who, record.get("index", ""), parts)


@contextmanager
def open_parts(author: str, settings: EvaluationRecipe, home: Home) -> Iterator[Retrieval]:
    """The author's index, started for as long as it is needed if it is this machine's own."""
    from llm_twin.evaluation.retrieve import open_retrieval
    from llm_twin.local.services import local_services
    from llm_twin.settings import IndexSettings

    with local_services(home, need=("vectors",)) as urls:
        where = IndexSettings()
        with open_retrieval(urls.get("vectors", where.url), where.key, author, settings) as retrieval:
            yield retrieval


def read_chunks(path: Path) -> list[Chunk]:
    """The passages of a run."""
    from llm_twin.documents import Chunk, read_jsonl

    return list(read_jsonl(path, Chunk))


def evaluate_here(
    author: str, given: dict[str, Path], recipe: str, answers: Path | None, out: Path
) -> dict[str, float]:
    """The whole evaluation; leaves answers.json, scores.json and report.html in `out`. Returns the figures."""
    from llm_twin.evaluation.answers import Models, collect_answers, read_answers, write_answers
    from llm_twin.evaluation.champion import with_champion
    from llm_twin.evaluation.finish import open_jury, write_results
    from llm_twin.evaluation.run import plan_evaluation, score_answers
    from llm_twin.local.home import open_home
    from llm_twin.recipes import load_recipe
    from llm_twin.serving.checks import make_twin
    from llm_twin.settings import HomeSettings, LlmSettings, QuantizeSettings, RegistrySettings
    from pipelines.catalogue import find_recipe
    from pipelines.launch import find_quantize_python

    find_quantize_python()
    home, access = open_home(HomeSettings().root), LlmSettings()
    settings = load_recipe(find_recipe(recipe)).evaluation
    built = find_built(home, author, given)
    tracking = RegistrySettings().resolve(home.root)
    jury = open_jury(settings.judge, access.base_url, access.key, home.cache / "llm")
    with open_parts(built.author.id, settings, home) as retrieval:
        chunks = read_chunks(built.parts["chunks"])
        task = plan_evaluation(built.author.id, built.index, built.parts["samples"], chunks, retrieval, settings)
        if answers is not None:
            given_answers = read_answers(answers, task.prompts)
        else:
            adapters = {name: path for name, path in built.parts.items() if name in ("sft", "dpo")}
            notes: tuple[str, ...] = ()
            if adapters:
                found = with_champion(adapters, tracking, built.author.id, built.parts["base"], home.cache / "models")
                adapters, notes = found.folders, found.notes
            models = Models(
                built.parts["base"], adapters, built.parts.get("quantized"), QuantizeSettings().python, notes
            )
            twin = make_twin(built.author, retrieval, settings)
            given_answers = collect_answers(models, task.prompts, task.model_prompts(), settings, twin)
            write_answers(out / "answers.json", given_answers)
        scores = score_answers(task, given_answers, jury)
    write_results(scores, settings.model_dump(), tracking, str(out / "scores.json"), str(out / "report.html"))
    return scores.headline()


def check_twin_here(author: str, recipe: str, questions: Sequence[str]) -> tuple[list[BehaviourFinding], list[float]]:
    """The behaviour checks on this home's twin, and the seconds that its plain answers took."""
    from llm_twin.evaluation.behaviours import ask_behaviours, find_names
    from llm_twin.evaluation.candidates import BASE, load_candidates
    from llm_twin.evaluation.likelihood import context_length, generate_texts
    from llm_twin.evaluation.run import plan_evaluation
    from llm_twin.local.home import open_home
    from llm_twin.recipes import load_recipe
    from llm_twin.serving.checks import make_twin
    from llm_twin.settings import HomeSettings
    from pipelines.catalogue import find_recipe

    home = open_home(HomeSettings().root)
    settings = load_recipe(find_recipe(recipe)).evaluation
    built = find_built(home, author, {})
    with open_parts(built.author.id, settings, home) as retrieval:
        chunks = read_chunks(built.parts["chunks"])
        asked = list(questions)
        if not asked:
            task = plan_evaluation(built.author.id, "", built.parts["samples"], chunks, retrieval, settings)
            asked = task.prompts.behaviours
        adapters = {"dpo": built.parts["dpo"]} if "dpo" in built.parts else {}
        candidates = load_candidates(built.parts["base"], adapters)
        with candidates.active("dpo" if adapters else BASE) as model:

            def generate(messages: list[dict[str, str]], most: int) -> str:
                return generate_texts(model, candidates.tokenizer, [messages], most, seed=settings.seed)[0]

            with make_twin(built.author, retrieval, settings).open(generate, context_length(model)) as ask:
                names = list(settings.names) or find_names(chunks)
                findings, seconds = ask_behaviours(ask, asked, names, settings.seed)
    return findings, list(seconds.values())
