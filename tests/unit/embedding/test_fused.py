"""The fused forward pass: the vectors of the model's own modules, for padded and for whole batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from llm_twin.embedding import fused
from llm_twin.embedding.loading import find_folder


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(find_folder("all-MiniLM-L6-v2"), dtype=torch.bfloat16).eval()


@pytest.mark.parametrize("lengths", [[40, 40, 40], [40, 17, 3]])
def test_fused_layers_give_the_models_vectors(model: Any, lengths: list[int]) -> None:
    forward = fused.fuse(model)
    if forward is None:
        pytest.skip("this build of PyTorch has no oneDNN operations in bf16")
    ids = torch.randint(1000, 20_000, (3, 40), generator=torch.Generator().manual_seed(20))
    mask = (torch.arange(40)[None] < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        ours = forward(ids * mask, mask).float()[mask.bool()]
        plain = model(input_ids=ids * mask, attention_mask=mask).last_hidden_state.float()[mask.bool()]
    assert float(torch.nn.functional.cosine_similarity(ours, plain).min()) > 0.999


def test_what_does_not_agree_is_not_used(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make = fused._make_forward
    monkeypatch.setattr(fused, "_make_forward", lambda *parts: lambda ids, mask: make(*parts)(ids, mask).flip(-1))
    assert fused.fuse(model) is None


def test_other_models_keep_their_own_way() -> None:
    class OtherModel:
        config = type("config", (), {"hidden_act": "gelu", "position_embedding_type": "relative_key"})

    assert fused.fuse(OtherModel()) is None
