"""A recipe's settings for the local predictor reach its arguments; merged and GPTQ models take the base's place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llm_twin.documents import Author
from llm_twin.errors import InputError
from llm_twin.recipe_serving import EngineRecipe, ServingRecipe
from llm_twin.serving.engine import engine_arguments
from llm_twin.serving.local_engine import find_python, speed_arguments
from llm_twin.serving.twins import Twin, TwinFile, plan_serving

AUTHOR = Author(id="ada-quill", name="Ada Quill")


def twin(**settings):
    return Twin(name=AUTHOR.id, author=AUTHOR, serving=ServingRecipe(**settings))


def test_nothing_is_asked_for_by_default():
    assert speed_arguments([twin(), twin()]) == []


def test_each_setting_reaches_the_predictor():
    engine = EngineRecipe(speculative_tokens=6, draft_model="/models/small", kv_cache="static")
    asked = twin(compile=True, engine=engine)
    assert speed_arguments([asked]) == [
        "--speculation", "draft", "--guesses", "6", "--draft-model", "/models/small", "--compile", "--static-cache",
    ]  # fmt: skip
    lookup = twin(engine=EngineRecipe(speculative_tokens=4))
    assert speed_arguments([lookup]) == ["--speculation", "lookup", "--guesses", "4"]
    static = EngineRecipe(kv_cache="static")
    assert engine_arguments(static, "tgi") == engine_arguments(static, "vllm") == [], "they lay it out anyway"


def test_twins_on_one_predictor_must_agree():
    with pytest.raises(InputError, match="share a predictor"):
        speed_arguments([twin(), twin(compile=True)])


@pytest.mark.parametrize(("model", "folder"), [("merged", "whole"), ("gptq", "small")])
def test_one_twin_may_be_its_merged_or_gptq_model(tmp_path, model, folder):
    for name in ("whole", "small"):
        (tmp_path / name).mkdir()
    file = TwinFile(
        author=AUTHOR, base="/models/base", adapter="/models/adapter", merged=str(tmp_path / "whole"),
        quantized=str(tmp_path / "small"), serving=ServingRecipe(model=model),
    )  # fmt: skip
    twins, base, adapters = plan_serving([file])
    assert (base, adapters) == (str(tmp_path / folder), {})
    assert twins[0].model == "base" and twins[0].variants == {}
    with pytest.raises(InputError, match="for one twin"):
        plan_serving([file, file.model_copy(update={"author": Author(id="b", name="B")})])
    with pytest.raises(InputError, match=f"no {model} model"):
        plan_serving([file.model_copy(update={"merged": "", "quantized": "/gone"})])


def test_gptq_has_its_own_interpreter():
    assert find_python([twin()], None) == Path(sys.executable)
    assert find_python([twin(model="gptq")], Path(sys.executable)) == Path(sys.executable)
    with pytest.raises(InputError, match="quantization environment"):
        find_python([twin(model="gptq")], Path("/no/such/python"))
