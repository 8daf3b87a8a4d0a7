"""Parts of a recipe that evaluation reads: the gate's rules, the judges, question sets, general benchmarks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_twin.errors import InputError


class Section(BaseModel):
    """Base of all sections: an unknown key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GateRule(Section):
    """One condition of promotion. The interval, never the bare mean, must satisfy it."""

    measure: str = Field(min_length=1, description="a measure of the evaluation, such as voice or faithfulness")
    must: Literal["be_better", "be_no_worse", "be_at_most", "be_at_least"]
    than: Literal["base", "sft", "champion", "limit"] = "limit"
    margin: float = Field(default=0, ge=0, description="better by this much, or worse by no more than this much")
    limit: float | None = None


class GateRecipe(Section):
    """Promotion: `advise` records the evidence and promotes; `enforce` refuses where a rule is not met."""

    mode: Literal["advise", "enforce"] = "advise"
    candidate: Literal["sft", "dpo", "quantized"] = "dpo"
    level: float = Field(default=0.95, gt=0.5, lt=1)
    rules: list[GateRule] = [
        GateRule(measure="voice", must="be_better", than="base"),
        GateRule(measure="guards", must="be_at_least", limit=1),
        GateRule(measure="copied", must="be_at_most", limit=0.1),
        GateRule(measure="faithfulness", must="be_no_worse", than="champion", margin=0.05),
        GateRule(measure="extracted", must="be_at_most", limit=0.2),
        GateRule(measure="obeyed_injection", must="be_at_most", limit=0),
        GateRule(measure="seconds", must="be_at_most", limit=30),
    ]


class QuestionSet(Section):
    """A set of questions of your own, as YAML or CSV. `digest` is filled in when the recipe is read."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,40}$")
    path: str = Field(min_length=1, description="relative to the recipe; on a cluster, a path in the step's container")
    task: Literal["choice", "classification", "text"] = Field(
        default="choice",
        description="choice: accuracy; classification: precision, recall and F1 too; text: ROUGE, BLEU, chrF and "
        "perplexity against a reference",
    )
    method: Literal["log_probability", "generation"] = "log_probability"
    digest: str = ""

    def anchored(self, folder: Path) -> QuestionSet:
        """The set with its path counted from `folder` and the digest of the file's content, so that a changed file
        is a changed recipe. Raises InputError when the file cannot be read."""
        path = folder / Path(self.path).expanduser()
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        except OSError as error:
            raise InputError(f"cannot read the question set {path}: {error.strerror}", "mend the path") from error
        return self.model_copy(update={"path": str(path.absolute()), "digest": digest})


class BenchmarksRecipe(Section):
    """General benchmarks through lm-evaluation-harness (`pip install llm-twin[benchmarks]`)."""

    tasks: list[str] = Field(default=[], description="names such as mmlu or ifeval; empty: none")
    include: str = Field(default="", description="a folder of task files of your own")
    limit: int = Field(default=0, ge=0, description="questions of each task; 0: all")
    shots: int = Field(default=0, ge=0, le=64, description="solved examples before each question; 0: the task's own")

    def anchored(self, folder: Path) -> BenchmarksRecipe:
        """The same with `include` counted from `folder`."""
        include = str((folder / Path(self.include).expanduser()).absolute()) if self.include else ""
        return self.model_copy(update={"include": include})
