"""Each family's architecture under each method: it trains, only what should change changes, and it merges."""

from __future__ import annotations

import pytest

from llm_twin.training.base import load_model, prepare_base
from llm_twin.training.dpo import train_dpo
from llm_twin.training.merge import merge_adapter
from llm_twin.training.preflight import check_sft
from llm_twin.training.sft import train_sft
from tests.unit.training.families import FAMILIES, make_family


@pytest.fixture(scope="module")
def bases(tmp_path_factory, tiny_base, tiny_recipe):
    """Family → the prepared base model of its architecture, made when first asked for."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def base(family: str):
        if family not in made:
            source = make_family(family, tiny_base, root / f"{family}-source")
            recipe = tiny_recipe.model_copy(update={"base_model": str(source)})
            prepare_base(recipe, root / family, root / "cache")
            made[family] = root / family
        return made[family]

    return base


METHODS = [
    # 4 bit is slow on a processor: one family in the quick suite stands for all
    pytest.param(family, method, marks=[pytest.mark.deep] if method == "qlora" and family != "llama" else [])
    for family in FAMILIES
    for method in ("lora", "full", "qlora")
]


@pytest.mark.parametrize(("family", "method"), METHODS)
def test_sft_trains_what_the_method_says_and_merges(family, method, bases, tiny_samples, tiny_recipe, tmp_path):
    import torch

    base = bases(family)
    recipe = tiny_recipe.model_copy(
        update={"method": method, "base_model": str(base), "sft_epochs": 0.5, "sft_learning_rate": 1e-2}
    )
    findings = check_sft(base, tiny_samples, recipe, tmp_path / "state")
    assert {finding.level for finding in findings} == {"fine"}
    done = train_sft(base, tiny_samples, recipe, tmp_path / "sft", tmp_path / "work")
    assert done.figures["steps"] == 4
    assert done.figures["validation_loss"] < done.figures["validation_loss_before"]
    assert (tmp_path / "sft" / "adapter_config.json").is_file() == (method != "full")
    merge_adapter(base, tmp_path / "sft", tmp_path / "merged")
    before, after = load_model(base).state_dict(), load_model(tmp_path / "merged").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    linear = {name for name in before if name.endswith("_proj.weight")}
    # LoRA, and QLoRA on its 4-bit copy, touch the linear layers and nothing else; what is merged is in full precision
    assert changed >= linear if method == "full" else changed == linear
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}


def test_qlora_learns_the_same_after_the_model_has_written(tiny_base, tiny_recipe):
    """bitsandbytes packs 4-bit weights for inference on some processors, and a packed layer passes no gradient on."""
    import torch
    from peft import get_peft_model

    from llm_twin.training.hardware import settle_hardware
    from llm_twin.training.loop import load_for_training, lora_config

    recipe = tiny_recipe.model_copy(update={"method": "qlora"})
    ids = torch.arange(5, 45)[None]
    gradients = []
    for writes_first in (False, True):
        torch.manual_seed(1)
        model = get_peft_model(load_for_training(tiny_base, recipe, settle_hardware(recipe)), lora_config(recipe))
        if writes_first:
            with torch.no_grad():
                model.eval()(ids)
        model.train()(input_ids=ids, labels=ids).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if "lora_B" in name})
    assert len(gradients[0]) == 14 and all(gradient.abs().sum() > 0 for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-3, atol=1e-7), name


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["lora", "full", "qlora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_dpo_goes_on_from_sft(family, method, bases, tiny_samples, tiny_recipe, tmp_path):
    base = bases(family)
    recipe = tiny_recipe.model_copy(
        update={"method": method, "base_model": str(base), "sft_epochs": 0.5, "sft_learning_rate": 1e-2}
    )
    train_sft(base, tiny_samples, recipe, tmp_path / "sft", tmp_path / "work")
    done = train_dpo(base, tmp_path / "sft", tiny_samples, recipe, tmp_path / "dpo", tmp_path / "work-dpo")
    assert done.figures["steps"] == 8
    assert done.figures["heldout_reward_margin"] > 0, "the author's side gained on the shuffled one"
    merge_adapter(base, tmp_path / "dpo", tmp_path / "merged")
