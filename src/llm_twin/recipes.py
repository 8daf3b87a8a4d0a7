"""What one run does: a recipe, a YAML file validated at submit and again in each step.

Each stage reads its own section and nothing else, so a change in one section reruns only what depends on it.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from llm_twin.errors import InputError, RecipeError
from llm_twin.recipe_parts import BenchmarksRecipe, GateRecipe, QuestionSet, Section
from llm_twin.recipe_serving import RetrievalRecipe, ServingRecipe
from llm_twin.recipe_training import NodePool, TrainingRecipe


class AuthorRecipe(Section):
    """Whose twin this is."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)
    email: str | None = None


class SourceRecipe(Section):
    """One place to collect from; `type` auto picks by the location's form."""

    location: str = Field(min_length=1, description="a URL, or the path of a file or folder")
    type: str = "auto"
    base_url: str = Field(default="", description="where a publication lives whose export does not say it")


class CollectionRecipe(Section):
    """Collection: where the writing is and how politely it is fetched."""

    sources: list[SourceRecipe] = []
    sources_file: str = Field(default="", description="a sources.yaml beside the recipe, read at submit")
    connect_to: dict[str, str] = Field(
        default={},
        description="host → http://address:port to connect to instead; lets a site be served from loopback",
    )
    allow_addresses: list[str] = Field(
        default=[], description="hosts (or host:port) that may lie on a private or loopback address"
    )
    max_pages: int = Field(default=2000, ge=1)
    timeout_seconds: float = Field(default=30, gt=0)
    max_page_bytes: int = Field(default=10_000_000, ge=1)
    requests_per_second: float = Field(default=2, gt=0, description="for each host")
    max_failed_share: float = Field(default=0.5, ge=0, le=1, description="above it the step fails")
    max_vanished_share: float = Field(
        default=1, ge=0, le=1, description="of the documents that were there before; above it the step fails"
    )
    min_documents: int = Field(default=0, ge=0, description="with fewer in the snapshot the step fails")
    min_words: int = Field(default=0, ge=0, description="with fewer in the snapshot the step fails")
    max_duplicate_share: float = Field(
        default=1, ge=0, le=1, description="documents with the words of another; above it the step fails"
    )
    max_short_share: float = Field(
        default=1, ge=0, le=1, description="articles of fewer than 50 words; above it the step fails"
    )
    max_undated_share: float = Field(default=1, ge=0, le=1, description="above it the step fails")
    max_foreign_share: float = Field(
        default=1, ge=0, le=1, description="documents in another language than most; above it the step fails"
    )


class FeaturesRecipe(Section):
    """Features: cleaning, chunks, vectors."""

    min_words: int = Field(default=8, ge=1)
    languages: list[str] = Field(default=[], description="ISO 639-1 codes to keep; empty keeps all")
    mask_pii: bool = Field(default=True, description="mask personal data of others in the retrieval view")
    near_duplicate_jaccard: float = Field(default=0.8, ge=0, le=1, description="0 keeps near duplicates")
    metadata: list[Literal["sizes", "readability", "topics", "sentiment", "entities"]] = Field(
        default=["sizes", "readability", "topics"], description="what is told of each document; entities need spaCy"
    )
    entity_pipeline: str = Field(default="en_core_web_sm", description="a spaCy pipeline's name or folder")
    chunker: Literal["structure", "sentences", "tokens", "sliding", "semantic"] = "structure"
    max_tokens: int = Field(
        default=240,
        ge=16,
        le=8192,
        description="of a chunk; fewer where title and headings leave less room: MiniLM reads 256 in all",
    )
    overlap_tokens: int = Field(default=0, ge=0)
    semantic_percentile: float = Field(default=20, gt=0, lt=100, description="neighbours less alike are parted")
    context: Literal["headings", "title", "none"] = Field(
        default="headings", description="what is embedded before a chunk's text"
    )
    embedder: str = Field(default="all-MiniLM-L6-v2", description="a name, folder, hub id or endpoint")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch_size: int = Field(
        default=16, ge=1, description="texts embedded at once; where fused layers are used, 128 tokens for each"
    )


class LlmRecipe(Section):
    """How much an OpenAI-compatible endpoint may be asked; where it is, and its key, is in the
    environment."""

    concurrency: int = Field(default=4, ge=1, le=256)
    timeout_seconds: float = Field(default=60, gt=0)
    retries: int = Field(default=4, ge=0, description="of a request that timed out or was refused for a while")
    max_tokens: int = Field(default=400, ge=1, description="of one reply")
    temperature: float = Field(default=0.3, ge=0, le=2)
    max_total_tokens: int = Field(default=2_000_000, ge=0, description="budget of a run, in and out; 0: no limit")
    max_cost: float = Field(default=0, ge=0, description="budget of a run, in the currency of the prices; 0: no limit")
    price_in: float = Field(default=0, ge=0, description="of a million tokens sent")
    price_out: float = Field(default=0, ge=0, description="of a million tokens received")


class DatasetsRecipe(Section):
    """Datasets: instruction and preference samples, split by document."""

    seed: int = 20
    split_by: Literal["stratified", "time"] = Field(
        default="stratified", description="time: the newest documents of each platform and kind are held out"
    )
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    min_test_documents: int = Field(default=12, ge=0, description="never more than 40 % of all documents")
    min_output_words: int = Field(default=15, ge=1)
    max_output_words: int = Field(default=160, ge=1)
    continuation_share: float = Field(default=0.25, ge=0, le=1, description="of passages that follow another")
    max_preference_pairs: int = Field(default=600, ge=0, description="for training; validation and test have all")
    toxicity_model: str = Field(
        default="profanity-check",
        description="the packaged classifier, a sequence classifier's hub id or folder, or empty: patterns only",
    )
    max_toxicity: float = Field(default=0.9, gt=0, le=1, description="a sample that the classifier puts above it goes")
    min_duplicate_jaccard: float = Field(default=0.5, gt=0, le=1, description="near-duplicate outputs above it go")
    max_shared_words: int = Field(
        default=12, ge=4, description="longest run of words that a training sample may share with held-out text"
    )
    max_cosine: float = Field(
        default=0.95, gt=0, le=1, description="a training sample nearer than this to a held-out one goes"
    )
    embedder: str = Field(default="all-MiniLM-L6-v2", description="for overlap and topics; empty: do without")
    evaluation_prompts: list[str] = Field(default=[], description="never to be trained on")
    augment_topics_to: int = Field(
        default=0, ge=0, description="training samples that a topic should have; more instructions are made up to it"
    )
    instructions_from: Literal["rules", "llm"] = "rules"
    questions_from_llm: bool = Field(default=False, description="also question-and-answer samples, made by an LLM")
    rejected_from: Literal["degraded", "llm"] = Field(
        default="degraded", description="llm: the endpoint answers in its own voice; the model in training works too"
    )
    judge_with_llm: bool = Field(default=False, description="an LLM says how sure each pair's preference is")
    labels: list[str] = Field(
        default=[], description="label sets, by the names that `twin datasets import-sheet` gives them"
    )
    llm: LlmRecipe = LlmRecipe()
    max_leaked_share: float = Field(default=0.0, ge=0, le=1, description="above it the step fails")


NO_MODEL = "none"  # as training.base_model


class JudgeRecipe(Section):
    """A language model as a judge, at the endpoint of LLM_TWIN_LLM_BASE_URL; off until a model is named."""

    models: list[str] = Field(default=[], description="the jury: names of models at the endpoint; empty: no judge")
    criteria: dict[str, str] = Field(
        default={}, description="name → what 1, 2 and 3 mean; empty: accuracy and style, as the handbook has them"
    )
    max_answers: int = Field(default=40, ge=1, description="of each candidate that are graded")
    pairwise: bool = Field(default=True, description="also which of two answers is better, asked in both orders")
    ragas: bool = Field(default=True, description="also ragas' judged metrics, by the first model")
    llm: LlmRecipe = LlmRecipe(temperature=0, retries=2)


class EvaluationRecipe(Section):
    """Evaluation: what is measured before a model is registered."""

    seed: int = 20
    recall_k: list[int] = [1, 5, 10]
    max_queries: int = Field(default=200, ge=1)
    max_generations: int = Field(default=16, ge=0)
    max_new_tokens: int = Field(default=96, ge=1)
    embedder: str = "all-MiniLM-L6-v2"
    retrieval: RetrievalRecipe = RetrievalRecipe()
    voice_words: Literal[50, 100, 250] = Field(default=50, description="length that the voice is scored at")
    max_attacks: int = Field(default=8, ge=0, description="extraction attacks with prefixes of training documents")
    max_questions: int = Field(default=8, ge=0, description="questions answered from sources, for truth measures")
    min_support: float = Field(default=0.6, ge=0, le=1)
    max_behaviour_questions: int = Field(
        default=4, ge=0, description="asked of the whole twin, plain and disturbed; each is asked some six times"
    )
    names: list[str] = Field(default=[], description="names in the author's writing, swapped for a stranger's")
    sets: list[QuestionSet] = Field(default=[], description="question sets of your own")
    benchmarks: BenchmarksRecipe = BenchmarksRecipe()
    judge: JudgeRecipe = JudgeRecipe()
    wanted_effects: dict[str, float] = Field(
        default={"voice": 10, "faithfulness": 0.05, "answer_relevancy": 0.05},
        description="measure → difference worth finding; the report says how many prompts find it",
    )
    gate: GateRecipe = GateRecipe()


class MonitoringRecipe(Section):
    """Monitoring: traces, and drift against a reference window."""

    reference_window: int = Field(default=200, ge=1)
    drift_share: float = Field(default=0.5, gt=0, le=1)


class Recipe(Section):
    """A whole run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    author: AuthorRecipe
    collection: CollectionRecipe = CollectionRecipe()
    features: FeaturesRecipe = FeaturesRecipe()
    datasets: DatasetsRecipe = DatasetsRecipe()
    training: TrainingRecipe = TrainingRecipe()
    node_pool: NodePool = NodePool()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    serving: ServingRecipe = ServingRecipe()
    monitoring: MonitoringRecipe = MonitoringRecipe()

    @model_validator(mode="after")
    def _answers_somehow(self) -> Recipe:
        if self.training.base_model == NO_MODEL and not self.serving.endpoint:
            raise ValueError("training.base_model is none: name the server that answers as serving.endpoint")
        return self


def load_recipe(path: Path) -> Recipe:
    """Read and validate a recipe file. Raises RecipeError that names the key, the file and a likely
    spelling."""
    recipe = parse_recipe(_read_mapping(path, "a recipe begins with `name:` and `author:`"), str(path))
    sources = [_anchor(source, path.parent) for source in recipe.collection.sources]
    sets = [one.anchored(path.parent) for one in recipe.evaluation.sets]
    benchmarks = recipe.evaluation.benchmarks.anchored(path.parent)
    evaluation = recipe.evaluation.model_copy(update={"sets": sets, "benchmarks": benchmarks})
    listed = recipe.collection.sources_file
    beside = str((path.parent / Path(listed).expanduser()).absolute()) if listed else ""
    collection = recipe.collection.model_copy(update={"sources": sources, "sources_file": beside})
    return recipe.model_copy(update={"collection": collection, "evaluation": evaluation})


def _read_mapping(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}", "give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {' '.join(str(error).split())}", "mend the file") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no mapping", remedy)
    return content


def parse_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Validate a recipe's content; `origin` is the file's name for the error message."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise _explain(error, Recipe, origin) from error


def _explain(error: ValidationError, model: type[BaseModel], origin: str) -> RecipeError:
    """One line that names the file, the key and what to do; for an unknown key, the nearest known one."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return RecipeError(f"{origin}: {place or 'the file'}: {first['msg']}", "mend the value")
    known = _known_keys(model, first["loc"][:-1])
    close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
    return RecipeError(f"{origin}: unknown key {place!r}", hint)


class AuthorSources(AuthorRecipe):
    """One author of a sources.yaml, with the places their writing is."""

    links: list[str] = []
    sources: list[SourceRecipe] = Field(min_length=1)


class SourcesFile(Section):
    """A sources.yaml: the authors, each with links and sources."""

    authors: list[AuthorSources] = Field(min_length=1)


def load_sources(path: Path) -> list[AuthorSources]:
    """Read and validate a sources.yaml; relative paths in it count from its own folder.

    Raises RecipeError that names the key and the file.
    """
    content = _read_mapping(path, "a sources file begins with `authors:`")
    try:
        authors = SourcesFile.model_validate(content).authors
    except ValidationError as error:
        raise _explain(error, SourcesFile, str(path)) from error
    return [
        author.model_copy(update={"sources": [_anchor(source, path.parent) for source in author.sources]})
        for author in authors
    ]


def select_author(recipe: Recipe, author: AuthorSources) -> Recipe:
    """The recipe for one author of a sources file."""
    collection = recipe.collection.model_copy(update={"sources": author.sources, "sources_file": ""})
    whose = AuthorRecipe(id=author.id, name=author.name, email=author.email)
    return recipe.model_copy(update={"author": whose, "collection": collection})


def _anchor(source: SourceRecipe, folder: Path) -> SourceRecipe:
    """A source whose relative path counts from `folder`; URLs and other schemes stay as they are."""
    if ":" in source.location.split("/")[0] or Path(source.location).expanduser().is_absolute():
        return source
    return source.model_copy(update={"location": str((folder / source.location).absolute())})


def _known_keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at `location` below `model` knows."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation: Any = model.model_fields[part].annotation
        arguments = getattr(annotation, "__args__", ())
        model = next((a for a in (annotation, *arguments) if isinstance(a, type) and issubclass(a, BaseModel)), model)
    return list(model.model_fields)
