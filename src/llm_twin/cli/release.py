"""`twin release …`: what runs where, as one file an environment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Environment(StrEnum):
    """Where a version can be promoted to."""

    staging = "staging"
    prod = "prod"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(help="Versions of the twin, and which environment runs which.", no_args_is_help=True)
    commands.command("create")(create)
    commands.command("promote")(promote)
    commands.command("show")(show)
    app.add_typer(commands, name="release")


def create(
    version: str = typer.Argument(help="A version such as 1.4.0; its images must be in the registry under this tag."),
    author: str = typer.Option(help="Whose twin: the author's id, as the registry's models are named by."),
    alias: str = typer.Option("champion", help="The models' alias in the registry, or their version's number."),
    registry: str = typer.Option("", help="Where the images are; default: LLM_TWIN_IMAGE_REGISTRY or the project's."),
    base_uri: str = typer.Option("", help="Where a cluster finds the adapter's base model, such as s3://models/base."),
    allow_tags: bool = typer.Option(False, help="Keep an image's tag where its digest cannot be read; never for prod."),
) -> None:
    """Write releases/VERSION.yaml: commit, images by digest, models, prompt, index and data of one version."""
    from components import images
    from llm_twin.release.create import create_release
    from llm_twin.release.repository import find_root
    from llm_twin.settings import HomeSettings, RegistrySettings

    root = find_root(Path.cwd())
    names = {"core": images.CORE_IMAGE, "train": images.TRAIN_IMAGE, "quantize": images.QUANTIZE_IMAGE}
    place = registry or images.REGISTRY
    wanted = {key: f"{place}/{name.rsplit('/', 1)[1].rsplit(':', 1)[0]}:{version}" for key, name in names.items()}
    tracking_uri = RegistrySettings().resolve(HomeSettings().root)
    path = create_release(root, version, author, wanted, tracking_uri, alias, base_uri, allow_tags)
    print(f"{path.relative_to(root)}: commit it, then `twin release promote {version} --to staging`")


def promote(
    version: str = typer.Argument(help="A version that `twin release create` made."),
    to: Environment = typer.Option(help="Which environment."),
    canary: int = typer.Option(0, min=0, max=99, help="Only this percent of the traffic, beside what runs now."),
) -> None:
    """Write that environment's release.yaml and nothing else: the diff is the change, `git revert` the way back."""
    from llm_twin.release.promote import promote_release
    from llm_twin.release.repository import find_root

    root = find_root(Path.cwd())
    path = promote_release(root, version, to.value, canary)
    print(f"{path.relative_to(root)} changed: look at `git diff`, commit it, and let Argo CD or Flux apply it")


def show() -> None:
    """Which version each environment runs."""
    from llm_twin.release.files import read_release
    from llm_twin.release.repository import find_root

    root = find_root(Path.cwd())
    for file in sorted((root / "kustomize" / "overlays").glob("*/release.yaml")):
        release = read_release(file)
        beside = f", canary {release.canary.version} {release.canary.percent} %" if release.canary.percent else ""
        pinned = "by digest" if not release.images.unpinned else "by tag"
        print(f"{file.parent.name}: {release.version} (images {pinned}{beside}), model {release.model.uri}")
