"""The quantized model, measured where it can be loaded: an environment of its own, called as a process."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from llm_twin.errors import ModelError
from llm_twin.evaluation import likelihood

TIMEOUT_SECONDS = 3600
REMEDY = "run `make install`, or set LLM_TWIN_QUANTIZE_PYTHON to an interpreter that has gptqmodel"


def ask_quantized(python: Path, model: Path, request: dict[str, Any]) -> tuple[list[tuple[float, int]], list[str]]:
    """Losses and texts of the quantized model for a request of `likelihood.main`. Raises ModelError."""
    with tempfile.TemporaryDirectory(prefix="llm-twin-quantized-") as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "response.json"
        asked.write_text(json.dumps({"model": str(model), **request}), encoding="utf-8")
        command = [str(python), likelihood.__file__, str(asked), str(answered)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(f"cannot run {python}: {error}", "run `make install`") from error
        if done.returncode != 0 or not answered.is_file():
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise ModelError(
                f"the quantized model {model} cannot be measured: {last}",
                "check the quantization environment: `make install`",
            )
        response = json.loads(answered.read_text(encoding="utf-8"))
    return [(float(loss), int(count)) for loss, count in response["losses"]], response["texts"]
