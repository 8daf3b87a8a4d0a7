"""A tokenizer as GGUF wants it: tokens with their kinds, merges, how text is cut before merging, chat template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from llm_twin.errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def add_vocabulary(writer: Any, model: Path, config: Any) -> None:
    """Add the tokenizer of the folder `model`. Raises ModelError where it is not byte-pair encoding."""
    from llm_twin.training.base import load_tokenizer

    tokenizer = load_tokenizer(model)
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if content["model"]["type"] != "BPE":
        raise ModelError(
            f"no GGUF for a {content['model']['type']} tokenizer", "choose a model with byte-pair encoding"
        )
    tokens, kinds = _list_tokens(content, config.vocab_size)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    if content["model"].get("byte_fallback"):  # SentencePiece: merges follow from the order of the tokens
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([-float(number) for number in range(len(tokens))])
        writer.add_add_space_prefix(_prefixes_space(content))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(name_pretokenizer(content))
        writer.add_token_list(tokens)
        writer.add_token_merges(merges)
    writer.add_token_types(kinds)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
    if tokenizer.chat_template:
        writer.add_chat_template(_plain_template(tokenizer.chat_template))


def _list_tokens(content: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Tokens and their kinds by number; numbers that the model has and the tokenizer has not are filled in."""
    tokens = [f"<unused{number}>" for number in range(size)]
    kinds = [UNUSED] * size
    unknown = content["model"].get("unk_token")
    for token, number in content["model"]["vocab"].items():
        tokens[number] = token
        is_byte = content["model"].get("byte_fallback") and len(token) == 6 and token.startswith("<0x")
        kinds[number] = BYTE if is_byte else (UNKNOWN if token == unknown else NORMAL)
    for added in content["added_tokens"]:
        if added["id"] >= size:
            raise ModelError(f"the tokenizer's {added['content']} is token {added['id']}, the model knows {size}", "")
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
        if added["content"] == unknown:
            kinds[added["id"]] = UNKNOWN
    return tokens, kinds


def name_pretokenizer(content: dict[str, Any]) -> str:
    """llama.cpp's name for how a byte-level tokenizer cuts text before merging. Raises ModelError for a strange one."""
    top = content.get("pre_tokenizer") or {}
    parts = top.get("pretokenizers", [top])
    kinds = [part.get("type") for part in parts]
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = str(parts[0]["pattern"].get("Regex", ""))
        if r"\p{N}{1,3}|" in pattern and r"?\p{L}+|" in pattern:
            return "llama-bpe"
        if r"|\p{N}|" in pattern and r"?\p{L}+|" in pattern:
            return "qwen2"
    raise ModelError(
        f"no GGUF for a tokenizer that cuts text by {' and '.join(map(str, kinds))}",
        "it is known for Llama 3, Qwen 2 and 3, SmolLM 2 and 3 and plain byte-level tokenizers",
    )


def _prefixes_space(content: dict[str, Any]) -> bool:
    text = json.dumps([content.get("normalizer"), content.get("pre_tokenizer")])
    return '"Prepend"' in text or '"prepend_scheme": "always"' in text or '"prepend_scheme": "first"' in text


def _plain_template(template: str) -> str:
    """The chat template without the marks for training, which llama.cpp's reader of templates does not know."""
    for mark, plain in (("generation", "if true"), ("endgeneration", "endif")):  # a block trims as the mark did
        template = re.sub(r"\{%(-?)\s*" + mark + r"\s*(-?)%\}", rf"{{%\1 {plain} \2%}}", template)
    return template
