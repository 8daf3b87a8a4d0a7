"""Chat templates token by token: what they render to against what each format's definition says, id for id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_twin.errors import InputError
from llm_twin.prompts import list_prompts, prompt_version, render_prompt
from llm_twin.prompts.chat_templates import CHAT_TEMPLATES, choose_chat_template, read_chat_template

# How Llama 3's and Qwen's tokenizers cut text before BPE: line breaks end a piece, digits go in threes.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TURNS = [
    {"role": "system", "content": "You write as one keeper of gauges does."},
    {"role": "user", "content": "  Why don’t you oil the gauge?  "},
    {
        "role": "assistant",
        "content": "Because it’s salt — not rust — that stops it 🧂.\n\nSo I rinse it; 3 litres, twice.",
    },
    {"role": "user", "content": "And in 2021?"},
    {"role": "assistant", "content": "I wasn't there!"},
]
CORPUS = [turn["content"] for turn in TURNS] * 3 + ["### Instruction:\n\n### Response:\n system user assistant"]
PREAMBLE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."


def make_tokenizer(specials: list[str], bos: str | None, eos: str) -> Any:
    """A byte-level BPE tokenizer trained here, with the special tokens of a family."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


@pytest.fixture(scope="module")
def llama3() -> Any:
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    return make_tokenizer(specials, "<|begin_of_text|>", "<|eot_id|>")


@pytest.fixture(scope="module")
def chatml() -> Any:
    return make_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], None, "<|im_end|>")


@pytest.fixture(scope="module")
def alpaca() -> Any:
    return make_tokenizer(["<s>", "</s>"], "<s>", "</s>")


Pieces = list[tuple[str, bool]]  # (what is encoded by itself, whether the assistant says it)


def llama3_pieces(turns: list[dict[str, str]]) -> Pieces:
    """As the reference ChatFormat does: each part encoded alone, contents stripped."""
    pieces: Pieces = [("<|begin_of_text|>", False)]
    for turn in turns:
        said = turn["role"] == "assistant"
        header = ("<|start_header_id|>", turn["role"], "<|end_header_id|>", "\n\n")
        pieces += [(part, False) for part in header]
        pieces += [(turn["content"].strip(), said), ("<|eot_id|>", said)]
    return pieces


def chatml_pieces(turns: list[dict[str, str]]) -> Pieces:
    """<|im_start|>role, line break, content, <|im_end|>, line break."""
    pieces: Pieces = []
    for turn in turns:
        said = turn["role"] == "assistant"
        pieces += [
            ("<|im_start|>", False),
            (f"{turn['role']}\n" if said else f"{turn['role']}\n{turn['content']}", False),
        ]
        pieces += [(turn["content"], True)] if said else []
        pieces += [("<|im_end|>", said), ("\n", False)]
    return pieces


def alpaca_pieces(turns: list[dict[str, str]]) -> Pieces:
    """Preamble, then the instruction under its heading and the response under its own."""
    system, *rest = turns if turns[0]["role"] == "system" else [{"content": PREAMBLE}, *turns]
    pieces: Pieces = [("<s>", False)]
    text = f"{system['content']}\n\n"
    for number, turn in enumerate(rest):
        if turn["role"] == "user":
            text += f"### Instruction:\n{turn['content']}\n\n### Response:\n"
            continue
        pieces += [(text, False), (turn["content"], True), ("</s>", True)]
        text = "\n\n" if number + 1 < len(rest) else ""
    return pieces


@pytest.mark.parametrize(
    ("name", "pieces"), [("llama3", llama3_pieces), ("chatml", chatml_pieces), ("alpaca", alpaca_pieces)]
)
@pytest.mark.parametrize("turns", [TURNS, TURNS[1:], TURNS[1:3]], ids=["system", "no system", "one turn"])
def test_ids_and_assistant_mask_are_those_of_the_definition(
    name: str, pieces: Callable[[list[dict[str, str]]], Pieces], turns: list[dict[str, str]], request: Any
) -> None:
    tokenizer = request.getfixturevalue(name)
    found = tokenizer.apply_chat_template(
        turns,
        chat_template=choose_chat_template(tokenizer, name),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids: list[int] = []
    mask: list[int] = []
    for text, said in pieces(turns):
        part = tokenizer.encode(text, add_special_tokens=False)
        ids += part
        mask += [int(said)] * len(part)
    assert tokenizer.convert_ids_to_tokens(found["input_ids"]) == tokenizer.convert_ids_to_tokens(ids)
    assert list(found["assistant_masks"]) == mask


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_the_generation_prompt_is_what_comes_before_the_answer(name: str, request: Any) -> None:
    tokenizer = request.getfixturevalue(name)
    options = {"chat_template": read_chat_template(name), "tokenize": False}
    prompt = tokenizer.apply_chat_template(TURNS[:2], add_generation_prompt=True, **options)
    whole = tokenizer.apply_chat_template(TURNS[:3], **options)
    assert whole.startswith(prompt) and whole[len(prompt) :].startswith("Because it’s salt")


def test_the_tokenizers_own_template_comes_first(chatml: Any, alpaca: Any) -> None:
    with pytest.raises(InputError, match="no chat template"):
        choose_chat_template(chatml)
    with pytest.raises(InputError, match="lacks <|im_start|>".replace("|", r"\|")):
        choose_chat_template(alpaca, "chatml")
    with pytest.raises(InputError, match="known: alpaca, chatml, llama3"):
        read_chat_template("llama9")
    chatml.chat_template = "{{ messages }}"
    assert choose_chat_template(chatml) == "{{ messages }}"
    chatml.chat_template = None


def test_prompts_render_whole_or_not_at_all() -> None:
    with pytest.raises(InputError, match="title"):
        render_prompt("instruction_plain", variant=0)
    with pytest.raises(InputError, match="known: "):
        render_prompt("no-such-prompt")
    assert render_prompt("instruction_plain", variant=0, title="Low water") == "Write a passage of “Low water”."
    assert len(prompt_version("instruction_plain")) == 12 and "llm_judge" in list_prompts()
