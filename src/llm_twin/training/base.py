"""The base model: the seedling, a local folder, or a model of the hub, as one folder that transformers loads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_twin.errors import ModelError
from llm_twin.progress import report
from llm_twin.prompts.chat_templates import CHAT_TEMPLATES, choose_chat_template
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.recipes import NO_MODEL
from llm_twin.training.seedling import grow_seedling
from llm_twin.training.templates import chat_template

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

SEEDLING = "seedling"
WANTED = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "tokenizer*", "LICENSE*", "README.md")
OFFLINE_REMEDY = (
    "the model hub cannot be reached from here: check the network, set training.base_model to a folder that holds "
    "the model, or to 'seedling', which needs no download"
)


def prepare_base(recipe: TrainingRecipe, folder: Path, cache: Path, token: str | None = None) -> dict[str, Any]:
    """Put the recipe's base model into `folder` (it must not hold a model yet) and return what is known of it.

    `cache` keeps trained seedlings; hub models are kept in the hub library's own cache. Files are hard links where
    the file system allows. Raises ModelError when the model cannot be had or is no causal language model.
    """
    if recipe.base_model == SEEDLING:
        source = grow_seedling(recipe.seedling, recipe.seed, cache)
    elif is_local(recipe.base_model):
        source = Path(recipe.base_model).expanduser()
        if not (source / "config.json").is_file():
            raise ModelError(f"{source} holds no config.json", "give the folder that save_pretrained wrote")
    else:
        source = download_model(recipe.base_model, recipe.base_revision, token)
    link_folder(source, folder)
    known = inspect_model(folder)
    ensure_chat_template(folder, recipe.chat_template)
    report(
        f"base model {recipe.base_model}: {known['architecture']}, {known['parameters'] / 1e6:,.1f} million parameters"
    )
    return known


def is_local(name: str) -> bool:
    """Whether `name` is meant as a path: it is absolute, begins with . or ~, or a folder of that name is there."""
    return name.startswith(("/", ".", "~")) or Path(name).is_dir()


def link_folder(source: Path, target: Path) -> None:
    """Copy the files of `source` into `target` as hard links, or as copies across file systems."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # of an earlier try
        real = file.resolve()  # the hub's cache holds links to blobs
        try:
            if file.suffix == ".safetensors":
                os.link(real, place)
            else:
                shutil.copy2(real, place)  # small, and changed later: never through a link
        except OSError:
            shutil.copy2(real, place)


def check_base(recipe: TrainingRecipe, token: str | None = None) -> None:
    """Raise ModelError if the base model cannot be had: asked before a run, so that hours of work do not end there."""
    if recipe.base_model == SEEDLING:
        return
    if recipe.base_model == NO_MODEL:
        raise ModelError("training.base_model is none: there is nothing to train", "name a model, or seedling")
    if not is_local(recipe.base_model):
        download_model(recipe.base_model, recipe.base_revision, token, ("config.json",))
    elif not (Path(recipe.base_model).expanduser() / "config.json").is_file():
        raise ModelError(f"{recipe.base_model} holds no config.json", "give the folder that save_pretrained wrote")


def download_model(name: str, revision: str, token: str | None, wanted: Sequence[str] = WANTED) -> Path:
    """Fetch a hub model's `wanted` files (or find them in the hub's cache) and return their folder.

    Raises ModelError that says whether the hub could not be reached, the model is gated, or does not exist.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    report(f"fetching {', '.join(wanted) if len(wanted) == 1 else 'the files'} of {name} from the hub (or its cache)")
    try:
        return Path(
            snapshot_download(name, revision=revision or None, token=token, allow_patterns=list(wanted), max_workers=4)
        )
    except GatedRepoError as error:
        remedy = "accept its licence on its hub page, and set HF_TOKEN to a token of that account"
        raise ModelError(
            f"{name} is a gated model and {'this token' if token else 'no token'} opens it", remedy
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{name} has no revision {revision!r}", "mend training.base_revision") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"the hub has no model {name!r} (or it is private and the token does not open it)",
            "mend training.base_model, or set HF_TOKEN",
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(f"cannot load {name}: it is not in the local hub cache", OFFLINE_REMEDY) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"cannot fetch {name}: {_first_line(error)}", OFFLINE_REMEDY) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def inspect_model(folder: Path) -> dict[str, Any]:
    """Architecture, number of parameters (from the weights' headers) and context of the model in `folder`.

    Raises ModelError when transformers knows no causal language model of its kind, or weights are missing.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = load_config(folder)
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"{folder} holds a {config.model_type!r} model, which is no causal language model that transformers knows",
            "choose one of the Llama, Qwen, Mistral or SmolLM families",
        )
    return {
        "architecture": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type],
        "parameters": count_parameters(folder),
        "context": int(getattr(config, "max_position_embeddings", 0) or 0),
        "vocabulary": int(config.vocab_size),
    }


def load_config(folder: Path) -> PretrainedConfig:
    """The configuration in `folder`; raises ModelError when it is missing or broken."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot read the model configuration in {folder}: {_first_line(error)}", "") from error


def count_parameters(folder: Path) -> int:
    """Number of parameters in the folder's safetensors files, from their headers alone."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{folder} holds no .safetensors weights", "convert the model: load it once and save_pretrained it"
        )
    total = 0
    for file in files:
        try:
            with safe_open(file, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 (no mapping)
                    size = 1
                    for side in weights.get_slice(name).get_shape():
                        size *= side
                    total += size
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file} cannot be read: {_first_line(error)}", "fetch the model again") from error
    return total


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, with a padding token; raises ModelError when it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"cannot load the tokenizer in {folder}: {_first_line(error)}", "") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def ensure_chat_template(folder: Path, wanted: str) -> None:
    """Make the tokenizer in `folder` carry a chat template: its own, the file `wanted` names, or ours (`twin`).

    Raises ModelError when there is none and none was asked for: guessing one would train what cannot be served.
    """
    tokenizer = load_tokenizer(folder)
    if wanted == "twin":
        tokenizer.chat_template = chat_template()
    elif wanted in CHAT_TEMPLATES:
        tokenizer.chat_template = choose_chat_template(tokenizer, wanted)
    elif wanted:
        path = Path(wanted).expanduser()
        if not path.is_file():
            raise ModelError(f"no such chat template: {path}", "mend training.chat_template")
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    elif tokenizer.chat_template:
        return
    else:
        raise ModelError(
            f"the tokenizer of {folder} has no chat template",
            "choose the instruct version of the model, or set training.chat_template to a .jinja file or to 'twin'",
        )
    tokenizer.save_pretrained(folder)


def load_model(folder: Path, dtype: Any = None, **options: Any) -> Any:
    """The causal language model in `folder`, in evaluation mode; `dtype` None keeps single precision."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype or torch.float32, local_files_only=True, **options
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError(f"cannot load the model in {folder}: {_first_line(error)}", "") from error
    return model.eval()
