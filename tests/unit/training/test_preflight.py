"""The preflight refuses what cannot work, all at once and with remedies, and lets the rest through."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm_twin.errors import InputError, ModelError
from llm_twin.training import base, preflight


def test_a_run_that_fits_is_let_through(tiny_base, tiny_samples, tiny_recipe, tmp_path, capsys):
    findings = preflight.check_sft(tiny_base, tiny_samples, tiny_recipe, tmp_path)
    assert {finding.level for finding in findings} == {"fine"}
    assert "template and tokenizer agree" in capsys.readouterr().out


def test_everything_wrong_is_said_at_once_and_force_goes_on(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    recipe = tiny_recipe.model_copy(update={"max_length": 300, "sft_batch_size": 10_000_000})
    with pytest.raises(InputError) as caught:
        preflight.check_sft(tiny_base, tiny_samples, recipe, tmp_path)
    text = str(caught.value)
    assert "more than the model's context of 256 tokens" in text and "GiB of memory needed" in text
    assert "set training.max_length to 256" in text and "--force" in text and caught.value.exit_code == 2
    levels = [f.level for f in preflight.check_sft(tiny_base, tiny_samples, recipe, tmp_path, force=True)]
    assert levels.count("refused") == 2


def test_samples_that_are_cut_are_counted(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    recipe = tiny_recipe.model_copy(update={"max_length": 20})
    with pytest.raises(InputError, match="cuts 32 of 32") as caught:
        preflight.check_sft(tiny_base, tiny_samples, recipe, tmp_path)
    assert "set training.max_length to" in caught.value.remedy


def test_a_missing_template_is_named_and_ours_can_be_asked_for(tiny_base, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template") as caught:
        base.ensure_chat_template(folder, "")
    assert "instruct version" in caught.value.remedy
    base.ensure_chat_template(folder, "twin")
    assert base.load_tokenizer(folder).chat_template


def test_models_that_are_not_there_are_told_apart(tiny_recipe, tmp_path):
    def prepare(name: str) -> None:
        base.prepare_base(tiny_recipe.model_copy(update={"base_model": name}), tmp_path / "out", tmp_path / "cache")

    with pytest.raises(ModelError, match=r"holds no config.json"):
        prepare(str(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match=r"holds no .safetensors weights"):
        prepare(str(broken))
    (broken / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ModelError, match="no causal language model"):
        prepare(str(broken))


CODE = """
import sys
from pathlib import Path
from llm_twin.errors import ModelError
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.base import check_base, prepare_base
for name in sys.argv[3:]:
    for check in (check_base, lambda recipe, token: prepare_base(recipe, Path(sys.argv[1]), Path(sys.argv[2]), token)):
        try:
            check(TrainingRecipe(base_model=name), "hf_wrong")
        except ModelError as error:
            print(error)
"""


def ask_hub(endpoint: str, folder, *names: str) -> list[str]:
    """What is said of each model, before a run and in its first step: in a process of its own, for the library reads
    the hub's address when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hub")}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", CODE, str(folder / "out"), str(folder / "cache"), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith("[progress]")]


def test_an_unreachable_hub_is_said(tmp_path):
    said = ask_hub("http://127.0.0.1:9", tmp_path, "nobody/nothing")
    assert len(said) == 2 and all("hub cannot be reached" in line and "seedling" in line for line in said)


def test_a_gated_model_and_one_that_is_not_there_are_told_apart(tmp_path):
    """A hub on loopback that answers as the real one does: status and X-Error-Code (huggingface_hub's own reading)."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("authorization")))
            gated = "/meta/llama" in self.path
            self.send_response(403 if gated else 404)
            self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    asked: list[tuple[str, str | None]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        said = ask_hub(f"http://127.0.0.1:{server.server_port}", tmp_path, "meta/llama", "nobody/nothing")
    finally:
        server.shutdown()
        server.server_close()
    gated, missing = said[:2], said[2:]
    assert len(missing) == 2 and all("gated model and this token" in line and "licence" in line for line in gated)
    assert all("the hub has no model 'nobody/nothing'" in line for line in missing)
    assert {token for _, token in asked} == {"Bearer hf_wrong"}
