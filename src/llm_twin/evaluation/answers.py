"""What the candidates answered, kept apart from what is made of it: the same answers give the same scores.

Generation is the slow part and the only one with a clock in it; everything in `Scores` follows from this record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_twin.digests import digest_json
from llm_twin.errors import InputError
from llm_twin.evaluation.behaviours import Ask, BehaviourFinding, ask_behaviours
from llm_twin.evaluation.candidates import BASE, Candidates, load_candidates
from llm_twin.evaluation.harness import TaskScore, run_benchmarks
from llm_twin.evaluation.likelihood import context_length, generate_texts, score_completions
from llm_twin.evaluation.prompts_asked import Prompts
from llm_twin.evaluation.quantized import ask_quantized
from llm_twin.progress import report
from llm_twin.recipes import EvaluationRecipe

Generate = Callable[[list[dict[str, str]], int], str]  # messages and most new tokens → text
Loss = tuple[float, int]  # sum of nats, tokens


@dataclass(frozen=True)
class OpenTwin:
    """The whole twin around a model: its context length in tokens and `Generate` → a function that answers."""

    open: Callable[[Generate, int], AbstractContextManager[Ask]]


@dataclass(frozen=True)
class Models:
    """Folders of the candidates; `quantize_python` is the interpreter that can load the quantized one; `notes` say
    why a model that a reader would expect is not among them."""

    base: Path
    adapters: dict[str, Path]
    quantized: Path | None = None
    quantize_python: Path | None = None
    notes: tuple[str, ...] = ()


class Answers(BaseModel):
    """Everything that was asked of the models, by candidate, in the order of `Prompts`."""

    model_config = ConfigDict(extra="forbid")

    prompts: str  # digest of what was asked
    losses: dict[str, list[Loss]] = {}
    texts: dict[str, list[str]] = {}
    base_texts: list[str] = []  # of the base model, to other prompts: its class in the voice score's background
    behaviours: list[BehaviourFinding] = []
    behaved: str = ""  # the candidate inside the twin that was checked
    seconds: dict[str, float] = {}  # question → how long the whole twin took to answer it
    benchmarks: dict[str, dict[str, TaskScore]] = {}  # candidate → task/metric
    notes: list[str] = []


def digest_prompts(prompts: Prompts) -> str:
    """What was asked, as a digest: answers to other prompts are no answers."""
    return digest_json([prompts.conversations(), prompts.pairs()])


def read_answers(path: Path, prompts: Prompts) -> Answers:
    """Read answers that were given before. Raises InputError: not such a file, or answers to other prompts."""
    try:
        answers = Answers.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path} holds no answers: {error}", "give the answers.json that `twin evaluate` wrote"
        ) from error
    if answers.prompts != digest_prompts(prompts):
        raise InputError(
            f"the answers of {path} are to other prompts",
            "give the samples, chunks and recipe that they were made with",
        )
    return answers


def write_answers(path: Path, answers: Answers) -> None:
    """Write beside `path` and then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(answers.model_dump_json(indent=1), encoding="utf-8")
    beside.replace(path)


def collect_answers(
    models: Models,
    prompts: Prompts,
    model_prompts: Sequence[list[dict[str, str]]],
    recipe: EvaluationRecipe,
    twin: OpenTwin | None = None,
) -> Answers:
    """Ask every candidate everything. Raises ModelError when one cannot be loaded."""
    answers = Answers(prompts=digest_prompts(prompts), notes=list(models.notes))
    report(f"evaluation: loading {', '.join([BASE, *models.adapters])}")
    candidates = load_candidates(models.base, models.adapters)
    conversations = prompts.conversations()
    for name in candidates.names:
        report(f"evaluation: {name}: {len(prompts.pairs())} texts to score, {len(conversations)} prompts to answer")
        with candidates.active(name) as model:
            answers.losses[name] = score_completions(model, candidates.tokenizer, prompts.pairs())
            answers.texts[name] = generate_texts(
                model, candidates.tokenizer, conversations, recipe.max_new_tokens, seed=recipe.seed
            )
            if recipe.benchmarks.tasks:
                answers.benchmarks[name] = run_benchmarks(model, candidates.tokenizer, recipe.benchmarks, recipe.seed)
    with candidates.active(BASE) as model:
        answers.base_texts = generate_texts(
            model, candidates.tokenizer, list(model_prompts), recipe.max_new_tokens, seed=recipe.seed
        )
    if twin is not None and recipe.max_behaviour_questions and prompts.behaviours:
        _check_twin(answers, candidates, prompts, recipe, twin)
    if models.quantized is None or models.quantize_python is None:
        answers.notes.append("the quantized model was not measured: no quantization environment is set")
    else:
        report("evaluation: the quantized model, in its own environment")
        answers.losses["quantized"], answers.texts["quantized"] = ask_quantized(
            models.quantize_python, models.quantized, prompts.request(recipe)
        )
    return answers


def _check_twin(
    answers: Answers, candidates: Candidates, prompts: Prompts, recipe: EvaluationRecipe, twin: OpenTwin
) -> None:
    """The behaviour checks on the whole twin around the gate's candidate, and how long its plain answers took."""
    name = recipe.gate.candidate if recipe.gate.candidate in candidates.names else candidates.names[-1]
    report(f"evaluation: how the twin behaves with {name}, on {len(prompts.behaviours)} questions")
    with candidates.active(name) as model:

        def generate(messages: list[dict[str, str]], max_new_tokens: int) -> str:
            return generate_texts(model, candidates.tokenizer, [messages], max_new_tokens, seed=recipe.seed)[0]

        with twin.open(generate, context_length(model)) as ask:
            findings, seconds = ask_behaviours(ask, prompts.behaviours, prompts.names, recipe.seed)
    answers.behaviours, answers.seconds, answers.behaved = findings, seconds, name
