"""`twin train`, `twin models`, `twin plan`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

GIB = 2**30


def register(app: typer.Typer) -> None:
    """Add the stage's commands."""
    app.command("train")(train)
    app.command("models")(models)
    app.command("plan")(plan)


def train(
    samples: Path = typer.Option(None, help="Folder of samples (build_datasets wrote it)."),
    recipe: str = typer.Option("sample", help="Recipe: a name or a YAML file; its section `training` is used."),
    out: Path = typer.Option(Path("trained"), help="Folder for base, sft, dpo and merged models."),
    force: bool = typer.Option(False, "--force", help="Go on though the preflight refuses."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Preflight only."),
    reproduce: str = typer.Option("", help="Id of an MLflow run: do it again and compare the result."),
) -> None:
    """Train without a pipeline: base model, SFT, DPO, merge. Killed and called again, it goes on where it was."""
    from llm_twin.settings import HomeSettings, HubSettings, RegistrySettings

    home = HomeSettings().root
    tracking, token = RegistrySettings().resolve(home), HubSettings().token
    if reproduce:
        from llm_twin.training.reproduce import reproduce_run

        outcome = reproduce_run(tracking, reproduce, home / "training")
        for line in outcome.lines:
            print(line)
        raise typer.Exit(0 if outcome.same else 1)
    from llm_twin.errors import InputError
    from llm_twin.recipes import load_recipe
    from llm_twin.training.whole import train_all

    if samples is None:
        raise InputError("no samples named", "give --samples DIR (a run keeps them, `twin run` prints where)")
    settings = load_recipe(_recipe_path(recipe)).training
    made = train_all(
        settings, samples, out, home, tracking, token.get_secret_value() if token else None, force, dry_run
    )
    for name, value in made.items():
        print(f"{name:>28}  {value}")


def _recipe_path(name: str) -> Path:
    from importlib.resources import files

    path = Path(name)
    return path if path.suffix in {".yaml", ".yml"} else Path(str(files("pipelines"))) / "recipes" / f"{name}.yaml"


def models(
    author: str = typer.Option("", help="Only this author's."),
    lineage: str = typer.Option("", help="NAME or NAME@ALIAS-or-VERSION: where it came from."),
    compare: list[str] = typer.Option([], help="Two of NAME@ALIAS-or-VERSION: metrics side by side."),
    promote: str = typer.Option("", help="NAME@VERSION to make the champion."),
    push: str = typer.Option("", help="NAME@ALIAS-or-VERSION to upload to the hub (needs --to)."),
    to: str = typer.Option("", help="Hub repository for --push, such as someone/my-twin."),
    states: bool = typer.Option(False, "--states", help="Where each author's training stands, and what it cost."),
    cost_per_hour: float = typer.Option(0.0, min=0, help="With --states: the price of a training machine."),
) -> None:
    """List registered models, compare two, show where one came from, promote one, or push one to the hub.

    Examples: `twin models`, `twin models --lineage jane-adapter@champion`, `twin models --states`.
    """
    from llm_twin.settings import HomeSettings, HubSettings, RegistrySettings
    from llm_twin.training import registry

    tracking = RegistrySettings().resolve(HomeSettings().root)
    if states:
        from llm_twin.training.states import known_authors, read_states, summarise_states

        found_states = read_states(tracking, [author] if author else known_authors(tracking), cost_per_hour)
        for state in found_states:
            print(state.line())
        print(summarise_states(found_states))
    elif lineage:
        _print_pairs(registry.read_lineage(tracking, *registry.split_reference(lineage)))
    elif compare:
        _print_comparison(tracking, compare)
    elif promote:
        name, version = registry.split_reference(promote)
        registry.promote(tracking, name, version)
        print(f"{name} version {version} is now the champion")
    elif push:
        from llm_twin.training.hub import push_to_hub

        token = HubSettings().token
        print(push_to_hub(tracking, push, to, token.get_secret_value() if token else None))
    else:
        found = registry.list_models(tracking, author)
        for model in found:
            aliases = ",".join(model.aliases) or "-"
            print(f"{model.name} {model.version:>3}  {aliases:<10}  {model.digest[:12]}  {model.uri}")
        if not found:
            print("no models are registered yet: `twin run` registers them at its end")


def _print_pairs(content: dict[str, Any], indent: str = "") -> None:
    for key, value in content.items():
        if isinstance(value, dict):
            print(f"{indent}{key}:")
            _print_pairs(value, indent + "  ")
        else:
            print(f"{indent}{key}: {value}")


def _print_comparison(tracking: str, references: list[str]) -> None:
    from llm_twin.errors import InputError
    from llm_twin.training import registry

    if len(references) != 2:
        raise InputError(f"--compare wants two models, got {len(references)}", "give --compare twice")
    table = registry.compare_models(tracking, references[0], references[1])
    print(f"{'metric':<40} {references[0]:>24} {references[1]:>24}")
    for metric, pair in table.items():
        ours, theirs = (f"{value:.4g}" if value is not None else "-" for value in pair)
        print(f"{metric:<40} {ours:>24} {theirs:>24}")


def plan(
    model: str = typer.Argument("", help="A folder, a config.json, a known name such as Llama-3.1-8B, or a hub id."),
    tokens: int = typer.Option(2048, min=1, help="Tokens of one request, prompt and answer."),
    requests: int = typer.Option(8, min=1, help="Requests at once."),
    rps: float = typer.Option(0.0, help="Requests a second at the peak: plans replicas, cost and autoscaling instead."),
    gpu: str = typer.Option("l4", help="With --rps: the GPU of a replica."),
    answer_tokens: int = typer.Option(256, min=1, help="With --rps: of a request's tokens, the answer's."),
    prompt_rate: float = typer.Option(0.0, help="With --rps: prompt tokens a second, measured on one replica."),
    answer_rate: float = typer.Option(0.0, help="With --rps: answer tokens a second, measured on one replica."),
    cost_per_hour: float = typer.Option(0.0, help="With --rps: what a replica costs an hour."),
    out: str = typer.Option("", help="With --rps: write the autoscaler's patch to this file."),
) -> None:
    """What a model needs (weights, key-value cache, training), which GPUs it fits, and how to serve it. Offline.

    With --rps: how many replicas a load needs, their cost, and when to add and take away.
    """
    if rps:
        from llm_twin.cli.capacity import plan_replicas

        plan_replicas(rps, tokens, answer_tokens, gpu, (prompt_rate, answer_rate, cost_per_hour), out)
        return
    if not model:
        from llm_twin.errors import InputError

        raise InputError("no model named", "`twin plan MODEL`, or `twin plan --rps N --tokens N --gpu NAME`")
    from llm_twin.settings import HubSettings
    from llm_twin.training.plan import find_config, make_plan

    token = HubSettings().token
    made = make_plan(find_config(model, token.get_secret_value() if token else None), model, tokens, requests)
    print(f"{made.name}: {made.parameters:,} parameters, context {made.context:,} tokens")
    print(f"\nkey-value cache of {tokens:,} tokens, 16 bit: {made.kv_cache / GIB:.3g} GiB", end="")
    print(f" (with all attention heads it would be {made.kv_cache_all_heads / GIB:.3g} GiB)")
    print("\nweights    " + "  ".join(f"{name} {size / GIB:.2f} GiB" for name, size in made.weights.items()))
    print("\ntraining (bf16, the recipe's default batch and length)")
    for method, size in made.training.items():
        print(f"  {method:<40} {size / GIB:8.1f} GiB")
    print(f"\n{'GPU':<14}{'precision':<11}{'cards':>5}{'requests':>10}{'tokens/s, one request':>24}   (estimates)")
    for fit in made.fits:
        print(f"{fit.gpu:<14}{fit.precision:<11}{fit.gpus:>5}{fit.requests:>10}{fit.tokens_per_second:>24.0f}")
    print()
    for advice in made.advice:
        print(f"{advice.topic}: {advice.choice}. {advice.reason[0].upper()}{advice.reason[1:]}.")
