"""The fused forward pass: the vectors of the model's own modules, whatever the lengths in a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from llm_twin.embedding import fused, layers, load_encoder
from llm_twin.embedding.loading import find_folder


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(find_folder("all-MiniLM-L6-v2"), dtype=torch.bfloat16).eval()


@pytest.mark.parametrize("lengths", [[40, 40, 40], [40, 17, 3], [3, 33, 40]])
def test_fused_layers_give_the_models_vectors(model: Any, lengths: list[int]) -> None:
    forward = fused.fuse(model)
    if forward is None:
        pytest.skip("this build of PyTorch has no oneDNN operations in bf16")
    ids = torch.randint(1000, 20_000, (3, 40), generator=torch.Generator().manual_seed(20))
    mask = (torch.arange(40)[None] < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        ours = forward([row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)]).float()
        plain = model(input_ids=ids * mask, attention_mask=mask).last_hidden_state.float()[mask.bool()]
    assert ours.shape == (sum(lengths), 384)
    assert float(torch.nn.functional.cosine_similarity(ours, plain).min()) > 0.999


def test_attention_is_that_of_torch_and_says_when_it_cannot_be() -> None:
    whole = torch.randn(50, 3 * 64, generator=torch.Generator().manual_seed(20)) * 3
    seen = layers.attend(whole, [20, 50], heads=4)
    query, key, value = (whole[20:].view(30, 3, 4, 16)[:, part].transpose(0, 1) for part in range(3))
    plain = torch.nn.functional.scaled_dot_product_attention(query[None], key[None], value[None])[0]
    assert seen[20:].numpy() == pytest.approx(plain.transpose(0, 1).reshape(30, 64).numpy(), abs=1e-4)
    assert not layers.attend(whole * 10, [20, 50], heads=4).isfinite().all()


def test_the_layers_are_compiled_so_that_they_give_back_the_lock_once() -> None:
    assert isinstance(layers.compile_layers(), torch.jit.ScriptFunction)


def test_texts_that_the_fused_layers_cannot_do_go_through_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["The moon pulls the sea.", "Bread needs salt, and some time."]
    expected = load_encoder("all-MiniLM-L6-v2", precision="fp32").encode(texts)
    broken = lambda rows: torch.full((sum(map(len, rows)), 384), torch.nan)  # noqa: E731
    monkeypatch.setattr("llm_twin.embedding.local.fuse", lambda model: broken)
    vectors = load_encoder("all-MiniLM-L6-v2", precision="bf16").encode(texts)
    assert (vectors * expected).sum(axis=1).min() > 0.999


def test_what_does_not_agree_is_not_used(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make = fused._make_forward
    monkeypatch.setattr(fused, "_make_forward", lambda *parts: lambda rows: make(*parts)(rows).flip(-1))
    assert fused.fuse(model) is None


def test_other_models_keep_their_own_way() -> None:
    class OtherModel:
        config = type("config", (), {"hidden_act": "gelu", "position_embedding_type": "relative_key"})

    assert fused.fuse(OtherModel()) is None
