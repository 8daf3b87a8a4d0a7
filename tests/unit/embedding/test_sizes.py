"""Products of few sizes give what products of any size give, and oneDNN has few kernels to keep."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from llm_twin.embedding.precision import choose_precision
from llm_twin.embedding.sizes import BATCH_ROWS, BLOCK, cut, join, pack, round_rows, round_text, round_up, use_few_sizes

LENGTHS = """
from llm_twin.embedding import load_encoder
from llm_twin.serving.guardrails.reader import load_reader
encoder, reader = load_encoder("all-MiniLM-L6-v2"), load_reader()
for words in range(1, 120, 2):
    encoder.encode(["tide " * words] * (1 + words % 5))
    reader.score(["tide " * words] * (1 + words % 5))
"""


@pytest.mark.parametrize("rows", [1, 5, 16, 17, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 77])
def test_cut_and_joined_rows_are_the_rows(rows) -> None:
    matrix = torch.randn(rows, 7)
    blocks = cut(matrix)
    assert torch.equal(join(blocks, rows), matrix)
    assert all(len(block) == BLOCK for block in blocks[:-1]) and len(blocks[-1]) == round_up(len(blocks[-1]))


def test_few_sizes_waste_little() -> None:
    sizes = {len(block) for rows in range(1, 3 * BLOCK) for block in cut(torch.empty(rows, 1))}
    assert len(sizes) <= 24
    assert sum(round_up(rows) / rows for rows in range(8, BLOCK)) / (BLOCK - 8) < 1.1


def test_batches_of_the_fused_layers_have_few_sizes_and_are_nearly_full() -> None:
    lengths = torch.randint(20, 257, (512,), generator=torch.Generator().manual_seed(20)).tolist()
    batches = pack(lengths, BATCH_ROWS)
    assert sorted(place for batch in batches for place in batch) == list(range(512))
    rows = [sum(lengths[place] for place in batch) for batch in batches]
    assert max(rows) <= BATCH_ROWS
    assert sum(map(round_rows, rows)) < 1.01 * sum(lengths)
    assert len({round_rows(one) for one in range(1, BATCH_ROWS + 1)}) <= 30
    assert len({round_text(one) for one in range(1, 513)}) <= 28
    assert sum(round_text(one) / one for one in range(32, 257)) / 225 < 1.06


def test_a_text_longer_than_a_batch_is_a_batch() -> None:
    assert pack([3, 20, 4, 5], capacity=8) == [[1], [3, 0], [2]]


def test_a_model_of_few_sizes_computes_the_same() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.GELU(), torch.nn.Linear(32, 8))
    state = torch.randn(3, 211, 24)
    before = model(state)
    use_few_sizes(model)
    assert torch.allclose(model(state), before, atol=1e-6)


@pytest.mark.skipif(choose_precision("auto") != "bf16", reason="only bf16 goes through kernels made for each size")
def test_texts_of_sixty_lengths_need_kernels_for_a_few() -> None:
    environment = {**os.environ, "ONEDNN_VERBOSE": "2"}
    told = subprocess.run([sys.executable, "-c", LENGTHS], capture_output=True, text=True, env=environment, check=True)
    made = [line for line in told.stdout.splitlines() if "create:cache_miss" in line and "brg_matmul" in line]
    assert 0 < len(made) <= 2 * 24 * 4
