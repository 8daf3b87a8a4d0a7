"""Prompts from a real MLflow store: registered and moved by the command line, followed by a server that runs."""

from __future__ import annotations

import httpx
import pytest
from typer.testing import CliRunner

from llm_twin.cli import app, register_commands
from llm_twin.errors import InputError
from llm_twin.prompts import prompt_version, read_prompt
from llm_twin.serving.answering import Asked
from llm_twin.serving.cache import answer_key
from llm_twin.serving.processes import free_port, run_server, start_server, stop_server, write_json
from llm_twin.serving.prompt_watch import PromptWatch
from llm_twin.serving.twins import ServerConfig
from llm_twin.tracing import read_traces
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.parts import eventually
from tests.integration.serving.test_operations import ASKED, CHAT
from tests.integration.serving.test_poisoned import gullible

pytestmark = pytest.mark.timeout(600)
FOLLOWING = small.SERVING.model_copy(update={"prompt_alias": "production"})


@pytest.fixture
def twin(tmp_path, monkeypatch):
    """`twin prompts …` over a store of its own."""
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("LLM_TWIN_MLFLOW_TRACKING_URI", uri)
    register_commands()

    def run(*arguments):
        done = CliRunner().invoke(app, ["prompts", *arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    run.uri, run.folder = uri, tmp_path
    return run


def write(folder, text):
    path = folder / f"{len(list(folder.glob('*.jinja')))}.jinja"
    path.write_text(text)
    return str(path)


def test_versions_are_registered_listed_shown_and_chosen_by_alias(twin):
    assert "no prompt is registered" in twin("list")
    assert twin("show", "twin_question").strip() == read_prompt("twin_question").strip()
    first = write(twin.folder, "You write as {{ author }}.")
    assert twin("register", "twin_system", first, "--alias", "production", "--message", "shorter").split() == [
        "twin_system/1", "production",
    ]  # fmt: skip
    assert twin("register", "twin_system", first).split()[0] == "twin_system/1"  # the same text is no new version
    second = write(twin.folder, "Speak as {{ author }} speaks.")
    assert twin("register", "twin_system", second, "--author", "ada-quill").split()[0] == "twin_system.ada-quill/1"
    assert twin("register", "twin_system", second).split()[0] == "twin_system/2"
    assert [line.split()[:2] for line in twin("list").splitlines()] == [
        ["twin_system/2", "-"], ["twin_system/1", "production"], ["twin_system.ada-quill/1", "-"],
    ]  # fmt: skip
    twin("alias", "twin_system", "production", "2")
    assert twin("show", "twin_system", "--alias", "production").strip() == "Speak as {{ author }} speaks."
    assert twin("show", "twin_system", "--version", "1").strip() == "You write as {{ author }}."
    for wrong, said in [
        (["register", "twin_system", write(twin.folder, "As {{ nobody }}")], "cannot be written"),
        (["register", "twin_question", write(twin.folder, "No words of the reader")], "leaves the question out"),
        (["register", "other", first], "no twin has a prompt"),
        (["alias", "twin_system", "production", "9"], "no version 9"),
        (["show", "twin_system", "--alias", "nobody"], "twin_system@nobody"),
    ]:
        with pytest.raises(InputError, match=said):
            twin(*wrong)


def test_a_running_server_follows_the_alias_and_traces_say_which_version_wrote(twin):
    port, path = free_port(), twin.folder / "server.json"
    url = f"http://127.0.0.1:{port}"
    with gullible() as (predictor_url, prompts):
        config = ServerConfig(
            twins=[small.make_twin(serving=FOLLOWING)], predictor=f"{predictor_url}/v1", tracking_uri=twin.uri
        )
        write_json(path, config.model_dump(mode="json"))
        log = twin.folder / "t.log"
        process = start_server("llm_twin.serving.transformer", ["--config", str(path), "--port", str(port)], log)
        try:

            def get(place):
                try:
                    return httpx.get(url + place, timeout=60)
                except httpx.TransportError:
                    return httpx.Response(0, json={})

            def ask():
                return httpx.post(url + CHAT, json=ASKED, timeout=60)

            eventually(lambda: "production" in str(get("/readyz").json().get("problem")), 120)
            refused = ask()
            assert refused.status_code == 503 and "retry-after" in refused.headers and not prompts

            twin("register", "twin_system", write(twin.folder, "First, as {{ author }}."), "--alias", "production")
            eventually(lambda: get("/readyz").status_code == 200)
            versions = ask().json()["twin"]["prompts"]
            assert versions == {"twin_system": "twin_system/1", "twin_question": prompt_version("twin_question")}
            assert prompts[-1].startswith("First, as Ada Quill.")

            own = write(twin.folder, "Her own, as {{ author }}.")
            twin("register", "twin_system", own, "--author", "ada-quill", "--alias", "production")
            eventually(lambda: ask().json()["twin"]["prompts"]["twin_system"] == "twin_system.ada-quill/1")
            assert prompts[-1].startswith("Her own, as Ada Quill.")
        finally:
            stop_server(process)
    written = [trace.prompts["twin_system"] for trace in read_traces(twin.uri)]
    assert written[0] == "twin_system/1" and written[-1] == "twin_system.ada-quill/1"


def test_another_version_finds_no_old_answer():
    asked = Asked("The lamp?")
    keys = {
        answer_key(asked, small.make_twin(prompts={"twin_system": "As {{ author }}."}, prompt_versions=versions))
        for versions in ({}, {"twin_system": "twin_system/1"}, {"twin_system": "twin_system/2"})
    }
    assert len(keys) == 3


def test_what_no_twin_could_write_or_is_gone_changes_nothing():
    watch, key = PromptWatch("unused"), "production ada-quill"
    good = {"twin_system": ["twin_system/1", "As {{ author }}."]}
    twins = [small.make_twin(serving=FOLLOWING)]
    for found, problem in [
        ({key: {}}, ""), ({}, "away"), ({key: {"twin_system": ["twin_system/1", "{{ nobody }}"]}}, ""),
    ]:  # fmt: skip
        watch._take({"found": found, "problem": problem})
        assert watch.apply(twins)[1].keys() == {"ada-quill"}
    watch._take({"found": {key: good}, "problem": ""})
    for found, problem in [({key: {}}, ""), ({}, "away"), ({key: {"twin_question": ["q/2", "none"]}}, "")]:
        watch._take({"found": found, "problem": problem})
        (made,), waiting = watch.apply(twins)
        assert not waiting and made.prompts == {"twin_system": "As {{ author }}."}
    own = small.make_twin(serving=FOLLOWING, prompts={"twin_system": "The file's."})
    assert watch.apply([own])[0][0].prompts == {"twin_system": "The file's."}


def test_an_alias_without_a_registry_is_named(tmp_path):
    config = ServerConfig(twins=[small.make_twin()], predictor="").model_dump(mode="json")
    config["twins"][0]["serving"]["prompt_alias"] = "production"
    write_json(tmp_path / "server.json", config)
    with (
        pytest.raises(Exception, match="prompt_alias needs tracking_uri"),
        run_server(
            "llm_twin.serving.transformer",
            ["--config", str(tmp_path / "server.json")],
            "http://127.0.0.1:9/",
            tmp_path / "l",
        ),
    ):
        pass
