"""Twins that come, change and go under a running server, with requests in flight all the while."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from benchmarks.load import build_request, hammer
from llm_twin.documents import Author
from llm_twin.errors import ServiceError
from llm_twin.features.indexing import index_folder
from llm_twin.recipes import FeaturesRecipe
from llm_twin.serving.following import Following, follow, start_following, unload_unused
from llm_twin.serving.probe import Served
from llm_twin.serving.processes import free_port, run_server, write_json
from llm_twin.serving.twins import ServerConfig, TwinFile
from llm_twin.stores.vectors import VectorIndex
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.parts import eventually, running_index
from tests.integration.serving.test_operations import ASKED, CHAT
from tests.integration.serving.test_poisoned import gullible

pytestmark = pytest.mark.timeout(900)
BEN = Author(id="ben-ochre", name="Ben Ochre")


def ask(url, name, question="Hello there?"):
    body = {"model": name, "messages": [{"role": "user", "content": question}]}
    return httpx.post(url + CHAT, json=body, timeout=120)


def test_twins_come_and_go_under_load_over_every_protocol(tmp_path):
    port, path = free_port(), tmp_path / "server.json"
    url = f"http://127.0.0.1:{port}"
    with gullible() as (predictor_url, _):
        config = ServerConfig(twins=[small.make_twin()], predictor=f"{predictor_url}/v1", state_dir=tmp_path / "state")

        def write(*twins):
            write_json(path, config.model_copy(update={"twins": list(twins)}).model_dump(mode="json"))

        ada, ben = small.make_twin(), small.make_twin(name=BEN.id, author=BEN)
        write(ada)
        arguments = ["--config", str(path), "--port", str(port), "--per-minute", "1000000"]
        with run_server("llm_twin.serving.transformer", arguments, f"{url}/readyz", tmp_path / "t.log"):

            def statuses(name):
                tensor = {"name": "question", "shape": [1], "datatype": "BYTES", "data": ["Hello there?"]}
                return {
                    ask(url, name).status_code,
                    httpx.post(f"{url}/v1/models/{name}:predict", json={"instances": ["Hello?"]}).status_code,
                    httpx.post(f"{url}/v2/models/{name}/infer", json={"inputs": [tensor]}).status_code,
                    httpx.get(f"{url}/v2/models/{name}").status_code,
                    httpx.get(f"{url}/v2/models/{name}/ready").status_code,
                }

            async def change_under_load():
                load = asyncio.create_task(hammer(port, build_request(CHAT, ASKED), 4, 6.0))
                await asyncio.sleep(0.5)
                write(ada, ben)
                await asyncio.sleep(2.5)
                during = await asyncio.to_thread(statuses, BEN.id)
                write(ben, ada)
                await asyncio.sleep(0.5)
                return await load, during

            assert statuses(BEN.id) == {404}
            load, during = asyncio.run(change_under_load())
            assert set(load.statuses) == {200} and during == {200}
            named = {twin["name"] for twin in httpx.get(f"{url}/twins").json()["twins"]}
            assert named == {"ada-quill", "ben-ochre"}

            # the last of its requests ends well though the twin went while its body was on the way
            arrived = threading.Event()

            def slow_body():
                yield b'{"instances": '
                arrived.set()
                eventually(lambda: ask(url, "ada-quill").status_code == 404)
                yield b'["Hello?"]}'

            with httpx.Client(timeout=120) as client:
                threading.Thread(target=lambda: (arrived.wait(60), time.sleep(0.5), write(ben)), daemon=True).start()
                late = client.post(f"{url}/v1/models/ada-quill:predict", content=slow_body())
            assert late.status_code == 200 and late.json()["predictions"][0]["author"] == "ada-quill"
            assert statuses("ada-quill") == {404} and statuses(BEN.id) == {200}
            assert "request failed" not in (tmp_path / "t.log").read_text()


def make_file(models, author=small.AUTHOR, adapter="first", **changes):
    given = {"author": author, "base": str(models["base"]), "adapter": str(models[adapter]), "serving": small.SERVING}
    return TwinFile(**{**given, **changes})


def test_adapters_are_loaded_before_they_are_named_and_unloaded_after(tmp_path, models, monkeypatch):
    root = tmp_path / "models"
    for name in ("first", "second"):
        shutil.copytree(models[name], root / name)
    here = {"base": models["base"], "first": root / "first", "second": root / "second"}
    port = free_port()
    from llm_twin.serving import processes

    log = tmp_path / "p.log"
    arguments = ["--model", str(here["base"]), "--adapter", f"ada-quill={here['first']}", "--port", str(port)]
    process = processes.start_server(
        "llm_twin.serving.predictor", [*arguments, "--threads", "1", "--adapter-root", str(root)], log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        processes.wait_ready(process, f"{url}/health", log, 180)
        from llm_twin.serving.twins import plan_serving, read_server_config

        twins, base, adapters = plan_serving([make_file(here)])
        config = tmp_path / "server.json"
        write_json(config, ServerConfig(twins=twins, predictor=f"{url}/v1").model_dump(mode="json"))
        now = [0.0]
        state: Following = start_following(Served("", url, tuple(twins), config, "", base, adapters))
        state.clock = lambda: now[0]

        def names():
            return {model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]}

        def written():
            return {twin.name: twin.model for twin in read_server_config(config).twins}

        assert follow(state, [make_file(here)]) == []
        told = follow(state, [make_file(here, adapter="second"), make_file(here, BEN)])
        assert told == ["ben-ochre came", "ada-quill changed"]
        renamed = written()["ada-quill"]
        assert renamed.startswith("ada-quill-") and names() == {"base", "ada-quill", renamed, "ben-ochre"}
        unload_unused(state)
        now[0] = 100.0
        unload_unused(state)
        assert "ada-quill" in names()  # requests that began with it may still be on their way
        now[0] = 200.0
        unload_unused(state)
        assert names() == {"base", renamed, "ben-ochre"}

        other = make_file(here, Author(id="cy", name="Cy"), base="/another")
        assert follow(state, [make_file(here, adapter="second"), other]) == [
            "cy is left out: it stands on another base model, start the server again", "ben-ochre went",
        ]  # fmt: skip
        assert written() == {"ada-quill": renamed}
        assert follow(state, []) == ["the last twin stays: a server needs one"]
        with pytest.raises(ServiceError, match="refused"):
            follow(state, [make_file(here, BEN, adapter="first"), make_file({**here, "first": tmp_path})])
        assert written() == {"ada-quill": renamed}
    finally:
        processes.stop_server(process)


def test_twin_serve_takes_over_what_a_run_writes(tmp_path, models):
    home = tmp_path / "home"
    with running_index(home) as url, VectorIndex.connect(url) as index:  # both authors' texts are in it
        chunks = [small.make_chunk(i).model_copy(update={"author": BEN.id}) for i in range(len(small.FACTS))]
        chunks.sort(key=lambda chunk: chunk.document_id)
        index_folder(BEN.id, chunks, home / "embedded", index, FeaturesRecipe())
    content = home / "artifacts" / "content"
    content.mkdir(parents=True)
    places = {name: content / name for name in ("base", "first", "second")}
    for name, place in places.items():
        shutil.copytree(models[name], place)
    (home / "twins").mkdir()

    def write(author, adapter):
        file = make_file(places, author, adapter)
        (home / "twins" / f"{author.id}.json").write_text(file.model_dump_json())

    write(small.AUTHOR, "first")
    environment = {**os.environ, "LLM_TWIN_HOME": str(home)}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_twin.cli", "serve", "--port", str(port), "--threads", "1"],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        said = lambda: (tmp_path / "serve.log").read_text()  # noqa: E731
        eventually(lambda: "The twin is up" in said() or process.poll() is not None, 240)
        assert process.poll() is None, said()
        write(BEN, "second")
        eventually(lambda: ask(url, BEN.id).status_code == 200)
        write(small.AUTHOR, "second")
        eventually(lambda: "ada-quill changed" in said())
        (home / "twins" / "ada-quill.json").unlink()
        eventually(lambda: ask(url, "ada-quill").status_code == 404)
        assert ask(url, BEN.id).status_code == 200
        assert [line for line in said().splitlines() if line.endswith((" came", " went", " changed"))] == [
            "ben-ochre came", "ada-quill changed", "ada-quill went",
        ]  # fmt: skip
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert json.loads((home / "twins" / "ben-ochre.json").read_text())["author"]["id"] == BEN.id
