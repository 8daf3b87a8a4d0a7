"""Bring a twin up as it will be served, ask it over both protocols, and put it away again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import httpx

from llm_twin.documents import Answer, AnswerSentence, Author, Citation
from llm_twin.errors import InputError, ServiceError
from llm_twin.progress import track
from llm_twin.recipe_serving import ServingRecipe
from llm_twin.serving.local_engine import find_python, speed_arguments
from llm_twin.serving.processes import free_port, run_server, write_json
from llm_twin.serving.twins import ServerConfig, Twin

TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True)
class Served:
    """Twins that are up: the transformer's and the predictor's addresses, and what they were started with."""

    url: str
    predictor_url: str
    twins: tuple[Twin, ...]
    config: Path = Path()  # the transformer's: a change of it is taken over
    endpoint: str = ""  # an outside predictor; empty: ours, over `base` and `adapters`
    base: str = ""
    adapters: Mapping[str, str] = field(default_factory=dict)  # the predictor's model name → folder


@contextmanager
def serve_twins(
    twins: Sequence[Twin],
    *,
    base: str | Path,
    adapters: dict[str, str],
    vectors_url: str,
    tracking_uri: str = "",
    cache_dir: Path | None = None,
    state_dir: Path | None = None,
    logs: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    threads: int = 0,
    adapter_root: Path | None = None,
    transformer_arguments: Sequence[str] = (),
    quantize_python: Path | None = None,
) -> Iterator[Served]:
    """Predictor and transformer as child processes until the block ends.

    `adapters` maps the predictor's model names to folders; from `adapter_root` more may be loaded later. A GPTQ model
    in place of the base runs in `quantize_python`, the interpreter that has gptqmodel. Raises ServiceError when one
    does not come up.
    """
    predictor_port, port = free_port(), port or free_port()
    endpoint = find_endpoint(twins)
    predictor_url = endpoint or f"http://127.0.0.1:{predictor_port}/v1"
    arguments = ["--model", str(base), "--port", str(predictor_port), "--threads", str(threads)]
    for name, path in adapters.items():
        arguments += ["--adapter", f"{name}={path}"]
    if adapter_root is not None:
        arguments += ["--adapter-root", str(adapter_root)]
    arguments += speed_arguments(twins)
    config = ServerConfig(
        twins=list(twins),
        predictor=predictor_url,
        vectors=vectors_url,
        tracking_uri=tracking_uri,
        cache_dir=cache_dir,
        state_dir=state_dir,
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-twin-")))
        write_json(folder / "server.json", config.model_dump(mode="json"))
        if not endpoint:
            health = f"http://127.0.0.1:{predictor_port}/health"
            python = find_python(twins, quantize_python)
            stack.enter_context(
                run_server("llm_twin.serving.predictor", arguments, health, logs / "predictor.log", python=python)
            )
        url = f"http://{host}:{port}"
        reach = f"http://127.0.0.1:{port}" if host in ("0.0.0.0", "::") else url
        stack.enter_context(
            run_server(
                "llm_twin.serving.transformer",
                [
                    *("--config", str(folder / "server.json"), "--host", host, "--port", str(port)),
                    *transformer_arguments,
                ],
                f"{reach}/readyz",
                logs / "transformer.log",
            )
        )
        predictor = predictor_url.removesuffix("/v1")
        yield Served(url, predictor, tuple(twins), folder / "server.json", endpoint, str(base), adapters)


def find_endpoint(twins: Sequence[Twin]) -> str:
    """The outside endpoint that the twins' recipes name; empty: a predictor of our own.

    Raises InputError where twins on one server do not agree. Its key is LLM_TWIN_PREDICTOR_API_KEY.
    """
    found = sorted({twin.serving.endpoint.rstrip("/") for twin in twins})
    if len(found) > 1:
        raise InputError("these twins answer through different endpoints", "serve them apart, one with --author")
    return found[0] if found else ""


def ask_both_protocols(served: Served, questions: Sequence[str]) -> list[Answer]:
    """Ask every question over KServe v2 and over OpenAI chat completions: two Answers for each, in this
    order."""
    import openai

    twin = served.twins[0]
    client = openai.OpenAI(base_url=f"{served.url}/openai/v1", api_key="none", timeout=TIMEOUT_SECONDS, max_retries=0)
    answers: list[Answer] = []
    try:
        for question in track(questions, "questions asked"):
            answers.append(ask_v2(served.url, twin.name, question))
            completion = client.chat.completions.create(
                model=twin.name, messages=[{"role": "user", "content": question}]
            )
            details = (completion.model_extra or {})["twin"]
            answers.append(read_answer(question, completion.choices[0].message.content or "", details))
    except (openai.OpenAIError, httpx.HTTPError, KeyError, ValueError) as error:
        raise ServiceError(f"the twin did not answer: {error!r}", "see predictor.log and transformer.log") from error
    finally:
        client.close()
    return answers


def ask_v2(url: str, name: str, question: str, api_key: str = "") -> Answer:
    """Ask one question over KServe v2. Raises httpx.HTTPError, or ValueError for an unreadable answer."""
    import json

    body = {"inputs": [{"name": "question", "shape": [1], "datatype": "BYTES", "data": [question]}]}
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    response = httpx.post(f"{url}/v2/models/{name}/infer", json=body, headers=headers, timeout=TIMEOUT_SECONDS)
    response.raise_for_status()
    outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
    return read_answer(question, outputs["answer"][0], json.loads(outputs["details"][0]))


def read_answer(question: str, text: str, details: dict) -> Answer:
    """An Answer from a protocol's text and its `twin` details."""
    return Answer(
        question=question,
        author=details["author"],
        text=text,
        status=details["status"],
        sentences=[AnswerSentence.model_validate(sentence) for sentence in details["sentences"]],
        sources=[Citation.model_validate(source) for source in details["sources"]],
        model=details["model"],
        trace_id=details["trace_id"],
        seconds=details["seconds"],
    )


def probe_twin(
    author: Author,
    *,
    index: str,
    release: str,
    base: str | Path,
    adapter: str | Path,
    recipe: ServingRecipe,
    vectors_url: str,
    tracking_uri: str = "",
    cache_dir: Path | None = None,
    logs: Path,
) -> list[Answer]:
    """Serve one author's twin and ask the recipe's questions over both protocols."""
    if not recipe.questions:
        return []
    recipe = recipe.model_copy(update={"model": "adapter"})  # what it is given; merged and GPTQ are made of it
    model = recipe.endpoint_model if recipe.endpoint else "twin"
    twin = Twin(name=author.id, author=author, model=model, index=index, release=release, serving=recipe)
    with serve_twins(
        [twin],
        base=base,
        adapters={"twin": str(adapter)},
        vectors_url=vectors_url,
        tracking_uri=tracking_uri,
        cache_dir=cache_dir,
        logs=logs,
    ) as served:
        return ask_both_protocols(served, recipe.questions)


def summarise(answers: Sequence[Answer]) -> str:
    """The counts in one line, such as `2 generated, 4 extracted, 0 refused`."""
    return ", ".join(f"{count} {status}" for status, count in count_statuses(answers).items())


def count_statuses(answers: Sequence[Answer]) -> dict[str, int]:
    """How many answers were generated, extracted and refused."""
    return {status: sum(a.status == status for a in answers) for status in ("generated", "extracted", "refused")}


def render_answers(author: Author, answers: Sequence[Answer]) -> str:
    """The answers with their sources, as one HTML page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Answers</title><style>"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
        "article{border-top:1px solid #d0d7de;padding:1rem 0}.label{font-size:.8rem;color:#57606a}"
        "li{margin:.3rem 0}q{color:#424a53}</style>",
        f"<h1>Answers of {escape(author.name)}'s twin</h1>"
        f"<p>A language model, not {escape(author.name)}. {summarise(answers)}.</p>",
    ]
    for answer in answers:
        sources = "".join(
            f"<li><a href='{escape(s.url, quote=True)}'>{escape(s.title or s.url)}</a>, characters {s.start} to "
            f"{s.end}: <q>{escape(s.quote)}</q></li>"
            for s in answer.sources
        )
        label = f"{answer.status} · {answer.seconds.get('whole', 0.0):.2f} s · {escape(answer.model)}"
        parts.append(
            f"<article><h2>{escape(answer.question)}</h2><p>{escape(answer.text)}</p>"
            f"<p class=label>{label}</p><ol>{sources}</ol></article>"
        )
    return "\n".join(parts)
