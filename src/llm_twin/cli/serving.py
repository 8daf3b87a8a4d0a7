"""`twin serve`, `twin ask`: the twins of this home, up on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import threading

    from llm_twin.documents import Answer
    from llm_twin.serving.probe import Served

STATE_FILE = "serve.json"
KEYS_FILE = "keys.json"

keys = typer.Typer(help="Access keys of the server: needed to listen wider than loopback.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("ask")(ask)
    app.command("engine")(engine)
    app.add_typer(keys, name="keys")


def serve(
    author: list[str] = typer.Option([], help="Only these authors' twins (ids); default: all of this home."),
    host: str = typer.Option("127.0.0.1", help="The address to listen on; wider than loopback needs access keys."),
    port: int = typer.Option(8080, help="0 takes a free one."),
    threads: int = typer.Option(0, help="Of the predictor; 0 leaves it to torch."),
) -> None:
    """Keep the twins up: the chat page, OpenAI chat completions and KServe v1 and v2, until Ctrl-C.

    Example: `twin serve`, then open the page it names.
    """
    import json
    import os
    import signal
    import threading

    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    with _served(author, host, port, threads, with_keys=True) as served:
        state = _home().run / STATE_FILE
        state.write_text(json.dumps({"url": served.url, "pid": os.getpid()}))
        try:
            names = ", ".join(twin.name for twin in served.twins)
            print(f"The twin is up: {names}")
            print(f"  page     {served.url}/")
            print(f"  OpenAI   {served.url}/openai/v1  (model {served.twins[0].name})")
            print(f"  KServe   {served.url}/v2/models/{served.twins[0].name}/infer")
            print('  here     twin ask "…"\nIt is a language model, not the author. Ctrl-C stops it.', flush=True)
            _follow_twins(served, author, ended)
        finally:
            state.unlink(missing_ok=True)


def _follow_twins(served: Served, authors: list[str], ended: threading.Event) -> None:
    """Take over what `twin run` writes, until the end; what cannot be taken over is said once and changes nothing."""
    from llm_twin.errors import TwinError
    from llm_twin.serving.following import follow, start_following, unload_unused
    from llm_twin.serving.twins import read_twin_files

    folder, state, pause, said = _home().twins, start_following(served), 1.0, ""
    seen = _fingerprint(folder)
    while not ended.wait(pause):
        try:
            now = _fingerprint(folder)
            if now != seen:
                files = [file for file in read_twin_files(folder) if not authors or file.author.id in authors]
                for line in follow(state, files):
                    print(line, flush=True)
                seen = now
            unload_unused(state)
            pause, said = 1.0, ""
        except TwinError as error:  # tried again: the predictor may be busy, the file half written
            if str(error) != said:
                print(f"the twins stay as they were: {error}", flush=True)
            pause, said = 5.0, str(error)


def _fingerprint(folder: Path) -> list[tuple[str, int, int]]:
    found = [(path, path.stat()) for path in sorted(folder.glob("*.json"))]
    return [(path.name, status.st_mtime_ns, status.st_size) for path, status in found]


def ask(
    question: str = typer.Argument(..., help="What to ask."),
    author: str = typer.Option("", help="Whose twin (id); needed where this home holds several."),
    url: str = typer.Option("", help="A server to ask; default: the one that `twin serve` keeps up, or one for now."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole answer as JSON."),
) -> None:
    """Ask the twin; prints the answer, how it came about, and its sources.

    Example: `twin ask "Why did the gauge lose data?"`
    """
    import httpx

    from llm_twin.errors import ServiceError
    from llm_twin.serving.probe import ask_v2
    from llm_twin.settings import ServingSettings

    if not question.strip():
        raise typer.BadParameter("ask something")
    key = ServingSettings().key.get_secret_value()
    url = url or _running_url()
    try:
        if url:
            answer = ask_v2(url, author or _only_name(url, key), question, key)
        else:
            with _served([author] if author else [], "127.0.0.1", 0, 0) as served:
                answer = ask_v2(served.url, author or served.twins[0].name, question)
    except httpx.HTTPStatusError as error:
        raise ServiceError(f"the twin refused: {error.response.text[:300]}", "see --author and --url") from error
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise ServiceError(f"the twin at {url} cannot be asked: {error}", "start it with `twin serve`") from error
    _print_answer(answer, as_json)


def engine(
    recipe: Path = typer.Argument(..., help="The recipe; its section serving.engine counts."),
    name: str = typer.Option("tgi", "--engine", help="tgi or vllm."),
    out: Path | None = typer.Option(None, help="Write the patch of the ServingRuntime here."),
) -> None:
    """Show a recipe's engine settings as arguments of TGI or vLLM, or write them as a patch for an overlay.

    Example: `twin engine recipe.yaml --engine vllm --out kustomize/overlays/prod/engine.yaml`
    """
    import shlex

    from llm_twin.recipes import load_recipe
    from llm_twin.serving.engine import engine_arguments, engine_environment, render_engine_patch

    settings = load_recipe(recipe).serving.engine
    shown = [f"{key}={value}" for key, value in engine_environment(settings, name).items()]
    shown += [shlex.quote(argument) for argument in engine_arguments(settings, name)]
    print(" ".join(shown) or "nothing beside what the manifest says")
    if out:
        out.write_text(render_engine_patch(settings, name), encoding="utf-8")
        print(f"patch: {out} (for the ServingRuntime twin-{name}, under `patches` of an overlay)")


@keys.command("add")
def add_key(
    name: str = typer.Argument(..., help="Whose key it is, for the list."),
    twin: list[str] = typer.Option([], help="Only these twins (model names); default: all."),
    admin: bool = typer.Option(False, help="May also manage the server."),
    per_minute: int = typer.Option(120, help="Requests a minute."),
    per_day: int = typer.Option(20_000, help="Requests a day."),
    tokens_per_day: int = typer.Option(0, help="Tokens a day that the model reads and writes; 0: any number."),
) -> None:
    """Make a key and print it once; a running server takes it within a second.

    Example: `twin keys add reader --twin odalys-fenwick`
    """
    from llm_twin.serving.access import make_key, read_keys, write_keys

    path = _home().root / KEYS_FILE
    scopes = ["ask", "admin"] if admin else ["ask"]
    shown, kept = make_key(name, twin or None, scopes, per_minute, per_day, tokens_per_day or None)
    write_keys(path, [*read_keys(path), kept])
    print(shown)


@keys.command("list")
def list_keys() -> None:
    """List the keys: id, name, twins, limits; never the secrets."""
    from llm_twin.serving.access import read_keys

    for key in read_keys(_home().root / KEYS_FILE):
        twins = ", ".join(key.twins) if key.twins else "all twins"
        print(f"{key.id}  {key.name}  {twins}  {key.per_minute}/min  {key.per_day}/day  {' '.join(key.scopes)}")


@keys.command("revoke")
def revoke_key(key_id: str = typer.Argument(..., help="The id that `twin keys list` shows.")) -> None:
    """Take a key back; a running server refuses it within a second."""
    from llm_twin.errors import InputError
    from llm_twin.serving.access import read_keys, write_keys

    path = _home().root / KEYS_FILE
    known = read_keys(path)
    left = [key for key in known if key.id != key_id]
    if len(left) == len(known):
        raise InputError(f"no key {key_id!r}", "see `twin keys list`")
    write_keys(path, left)
    print(f"revoked {key_id}")


def _print_answer(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(answer.model_dump_json(indent=1))
        return
    labels = {
        "generated": "written by the model, supported by the sources",
        "extracted": "the author's own sentences (the model's were not supported by the sources)",
        "refused": "nothing relevant was found",
    }
    print(f"{answer.text}\n\n[{answer.status}: {labels[answer.status]}]")
    for number, source in enumerate(answer.sources, start=1):
        print(f"[{number}] {source.title or source.url} · {source.url}, characters {source.start} to {source.end}")


def _home() -> Any:
    from llm_twin.local.home import open_home
    from llm_twin.settings import HomeSettings

    return open_home(HomeSettings().root)


@contextmanager
def _served(authors: list[str], host: str, port: int, threads: int, with_keys: bool = False) -> Iterator[Served]:
    """The twins of this home, up with the services they need."""
    from llm_twin.errors import InputError
    from llm_twin.local.services import can_connect, local_services
    from llm_twin.serving.access import check_binding
    from llm_twin.serving.probe import find_endpoint, serve_twins
    from llm_twin.serving.twins import plan_serving, read_twin_files
    from llm_twin.settings import QuantizeSettings, RegistrySettings

    home = _home()
    files = [file for file in read_twin_files(home.twins) if not authors or file.author.id in authors]
    if len(files) < max(1, len(authors)):
        raise InputError(f"no twin of {', '.join(authors)} in {home.twins}", "build it with `twin run`")
    if port and can_connect(port):
        raise InputError(f"port {port} is in use", "give another with --port, or 0 for a free one")
    twins, base, adapters = plan_serving(files)
    keys_file = home.root / KEYS_FILE
    check_binding(host, keys_file)
    for part in [] if find_endpoint(twins) else [base, *adapters.values()]:
        if not Path(part).is_dir():
            raise InputError(f"the model folder {part} is gone", "build the twin again with `twin run`")
    with (
        local_services(home, need=("vectors",)) as urls,
        serve_twins(
            twins,
            base=base,
            adapters=adapters,
            vectors_url=urls["vectors"],
            tracking_uri=RegistrySettings().resolve(home.root),
            cache_dir=home.cache,
            state_dir=home.root / "serving",
            logs=home.logs,
            host=host,
            port=port,
            threads=threads,
            adapter_root=home.root,
            quantize_python=QuantizeSettings().python,
            transformer_arguments=["--keys", str(keys_file)] if with_keys else [],
        ) as served,
    ):
        yield served


@contextmanager
def asked_server(url: str, author: str) -> Iterator[tuple[str, str]]:
    """A server to ask and the key for it: the one given, the one that `twin serve` keeps up, or one for now."""
    from llm_twin.settings import ServingSettings

    known = url or _running_url()
    if known:
        yield known, ServingSettings().key.get_secret_value()
        return
    with _served([author] if author else [], "127.0.0.1", 0, 0) as served:
        yield served.url, ""


def _running_url() -> str:
    """The address of the server that `twin serve` keeps up over this home, or the empty string."""
    import json

    import psutil

    from llm_twin.settings import HomeSettings

    try:
        state = json.loads((HomeSettings().root / "run" / STATE_FILE).read_text())
        return str(state["url"]) if psutil.pid_exists(int(state["pid"])) else ""
    except (OSError, ValueError, KeyError):
        return ""


def _only_name(url: str, key: str) -> str:
    import httpx

    from llm_twin.errors import InputError

    headers = {"authorization": f"Bearer {key}"} if key else {}
    response = httpx.get(f"{url}/openai/v1/models", headers=headers, timeout=10)
    response.raise_for_status()
    names = [model["id"] for model in response.json()["data"]]
    if len(names) != 1:
        raise InputError(f"the server holds several twins: {', '.join(names)}", "say whose with --author")
    return str(names[0])
