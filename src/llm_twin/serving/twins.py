"""Which twins a server holds: for each, whose it is, its models at the predictor, and its recipe."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from llm_twin.digests import digest_bytes
from llm_twin.documents import Author
from llm_twin.errors import InputError
from llm_twin.prompts import prompt_version, render_prompt, render_source
from llm_twin.recipe_serving import ServingRecipe
from llm_twin.recipes import FeaturesRecipe

Parsed = TypeVar("Parsed", bound=BaseModel)
PromptName = Literal["twin_system", "twin_question"]
PROMPT_NAMES: tuple[PromptName, ...] = get_args(PromptName)

_shipped_version = cache(prompt_version)  # it reads a file


def check_template(name: str, template: str) -> None:
    """Write a template once, as answering will. Raises InputError where it cannot be, or leaves the question out."""
    passage = {"title": "t", "text": "x"}
    if name == "twin_system":
        render_source(template, author="a")
    elif "a question?" not in render_source(template, passages=[passage], question="a question?", fence="f"):
        raise InputError(f"the prompt {name} leaves the question out", "write {{ question }} in it")


class Twin(BaseModel):
    """One served twin: `name` is its model name at the transformer, `model` the one at the predictor."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    author: Author
    model: str = "base"
    variants: dict[str, str] = {}  # such as base, sft, dpo → the predictor's model: compared on the page
    index: str = ""  # digest of the author's index content
    release: str = ""
    embedder: str = "all-MiniLM-L6-v2"
    serving: ServingRecipe = ServingRecipe()
    prompts: dict[PromptName, str] = {}  # templates that take the package's place
    prompt_versions: dict[PromptName, str] = {}  # of those that come from the registry, such as twin_system/3

    @field_validator("prompts")
    @classmethod
    def _can_be_written(cls, prompts: dict[str, str]) -> dict[str, str]:
        for name, template in prompts.items():
            try:
                check_template(name, template)
            except InputError as error:
                raise ValueError(error.message) from error
        return prompts

    def write_prompt(self, name: PromptName, **values: Any) -> str:
        """The prompt of that name, from the twin's own template where it has one."""
        return render_source(self.prompts[name], **values) if name in self.prompts else render_prompt(name, **values)

    @property
    def prompts_in_use(self) -> dict[str, str]:
        """Each prompt's version: the registry's, or a digest of the text."""
        return {
            name: self.prompt_versions.get(name)
            or (digest_bytes(self.prompts[name].encode())[:12] if name in self.prompts else _shipped_version(name))
            for name in PROMPT_NAMES
        }

    @property
    def disclosure(self) -> str:
        """What the twin always says of itself."""
        name = self.author.name
        return f"This is a language model trained on the published writing of {name}. It is not {name}."


class TwinFile(BaseModel):
    """What a run leaves in `LLM_TWIN_HOME/twins/<author>.json`: where the twin's parts are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    author: Author
    base: str = ""
    adapter: str = ""
    sft: str = ""
    merged: str = ""
    quantized: str = ""
    samples: str = ""
    index: str = ""
    release: str = ""
    features: FeaturesRecipe = FeaturesRecipe()
    serving: ServingRecipe = ServingRecipe()


class ServerConfig(BaseModel):
    """The transformer's configuration file. Secrets are not in it: they come from the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    twins: list[Twin] = Field(min_length=1)
    predictor: str  # OpenAI base URL, such as http://127.0.0.1:8090/v1; empty: no predictor, extracts only
    vectors: str = ""  # Qdrant's URL; empty: no retrieval
    tracking_uri: str = ""  # MLflow; empty: no traces
    cache_dir: Path | None = None  # of encoders
    state_dir: Path | None = None  # feedback and jobs; None: neither is kept

    @model_validator(mode="after")
    def _has_registry(self) -> ServerConfig:
        if not self.tracking_uri and any(twin.serving.prompt_alias for twin in self.twins):
            raise ValueError("serving.prompt_alias needs tracking_uri: the prompt registry is MLflow's")
        return self


def read_twin_file(path: Path) -> TwinFile:
    """Read one twin's file. Raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"no twin in {path}", "build one with `twin run`") from error
    return _parse(TwinFile, text, path, "build the twin again with `twin run`")


def read_twin_files(folder: Path) -> list[TwinFile]:
    """All twins of a home, by author. Raises InputError if there is none."""
    found = [read_twin_file(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise InputError(f"no twin in {folder}", "build one with `twin run`")
    return found


def read_server_config(path: Path) -> ServerConfig:
    """Read the transformer's configuration. Raises InputError that names the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "give the path of a JSON file") from error
    return _parse(ServerConfig, text, path, "mend the file")


def _parse(model: type[Parsed], text: str, path: Path, remedy: str) -> Parsed:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {place}: {first['msg']}", remedy) from error


def plan_serving(files: list[TwinFile]) -> tuple[list[Twin], str, dict[str, str]]:
    """Many twins on one base: the twins, the base's folder, and the predictor's adapters (model name →
    folder).

    Each twin answers with its preferred adapter; base and SFT are its variants, for comparison. A single twin whose
    recipe asks for the merged or the GPTQ model has that one in the base's place. Raises InputError where the twins do
    not share a base, or that model is missing.
    """
    if any(file.serving.model != "adapter" and not file.serving.endpoint for file in files):
        return plan_whole_model(files)
    base = files[0].base
    strange = next((file for file in files if file.base != base), None)
    if strange is not None:
        raise InputError(
            f"the twins of {files[0].author.id} and {strange.author.id} stand on different base models",
            "serve them apart, one with --author",
        )
    twins: list[Twin] = []
    adapters: dict[str, str] = {}
    for file in files:
        name = file.author.id
        variants = {"base": "base"}
        if file.sft:
            variants["sft"] = f"{name}:sft"
            adapters[f"{name}:sft"] = file.sft
        if file.adapter:
            variants["dpo"] = name
            adapters[name] = file.adapter
        twins.append(
            Twin(
                name=name,
                author=file.author,
                model=file.serving.endpoint_model if file.serving.endpoint else (name if file.adapter else "base"),
                variants={} if file.serving.endpoint else variants,
                index=file.index,
                release=file.release,
                embedder=file.features.embedder,
                serving=file.serving,
            )
        )
    return twins, base, adapters


def model_folder(file: TwinFile) -> str:
    """The model that the predictor loads for a twin: its base, or what its recipe takes in the base's place."""
    return {"adapter": file.base, "merged": file.merged, "gptq": file.quantized}[file.serving.model]


def plan_whole_model(files: list[TwinFile]) -> tuple[list[Twin], str, dict[str, str]]:
    """As `plan_serving`, for the one twin that answers with its merged or GPTQ model."""
    if len(files) > 1:
        raise InputError(
            "serving.model: merged and gptq are for one twin; adapters let many share a base",
            "serve it apart with --author, or set serving.model: adapter",
        )
    file = files[0]
    model = model_folder(file)
    if not model or not Path(model).is_dir():
        raise InputError(
            f"the twin of {file.author.id} has no {file.serving.model} model", "build it again with `twin run`"
        )
    twin = Twin(
        name=file.author.id,
        author=file.author,
        model="base",
        index=file.index,
        release=file.release,
        embedder=file.features.embedder,
        serving=file.serving,
    )
    return [twin], model, {}
