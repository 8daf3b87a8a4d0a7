"""A tiny real Llama with its own tokenizer, two adapters that were really trained, and held-out samples."""

from pathlib import Path

import pytest

from llm_twin.documents import Chunk, InstructionSample, write_jsonl
from llm_twin.embedding import load_encoder
from llm_twin.evaluation.retrieve import Retrieval

SENTENCES = [
    "The harbour gauge is read at dawn, before the ferry stirs the water.",
    "I keep a ledger of every tide, because memory rounds the numbers up.",
    "A slow clock is honest about one thing: it admits that it is late.",
    "Nobody thanks the person who oils the sluice, and nobody should.",
    "The chart was wrong, but it was wrong in the same way every spring.",
    "We measured the quay twice, and then we measured the ruler.",
]
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_sample(number: int, split: str = "test") -> InstructionSample:
    return InstructionSample(
        sample_id=f"s{number}",
        document_id=f"d{number % 3}",
        revision_id="r",
        author="a-b",
        url=f"http://a.example/{number % 3}",
        split=split,
        kind="article",
        instruction=f"Write about {SENTENCES[number % 6].split()[1]}.",
        output=f"{SENTENCES[number % 6]} {SENTENCES[(number + 1) % 6]}",
        instruction_source="template",
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Folders base, sft and dpo: the adapters have learnt the sentences, a little and well."""
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>"]
    raw.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=160,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    for name, steps in (("sft", 30), ("dpo", 90)):
        torch.manual_seed(1)
        model = get_peft_model(
            LlamaForCausalLM.from_pretrained(folder / "base"),
            LoraConfig(r=8, target_modules="all-linear", lora_alpha=16),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
        ids = tokenizer(SENTENCES, return_tensors="pt", padding=True)
        labels = ids["input_ids"].masked_fill(ids["attention_mask"] == 0, -100)
        for _ in range(steps):
            model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_jsonl(folder / "instruction_test.jsonl", [make_sample(n) for n in range(12)])
    write_jsonl(folder / "instruction_train.jsonl", [make_sample(n, "train") for n in range(3)])
    return folder


TEXT = {
    "a": "The harbour gauge was read every dawn by Marta before any ferry crossed the estuary. Short one.",
    "b": "Nobody in Fenwick ever repaired that broken sluice because the council lost its only ladder.",
    "c": "Clocks in the customs house were always eleven minutes slow on purpose, said the warden.",
}


def make_chunk(name: str, text: str, document: str) -> Chunk:
    return Chunk(
        chunk_id=name,
        document_id=document,
        revision_id="r",
        author="x",
        platform="site",
        kind="article",
        url="http://x.example",
        position=0,
        start=0,
        end=len(text),
        text=text,
    )


@pytest.fixture(scope="session")
def passage_texts() -> dict[str, str]:
    return TEXT


@pytest.fixture(scope="session")
def make_passage():
    return make_chunk


@pytest.fixture(scope="session")
def passages() -> list[Chunk]:
    return [make_chunk(name, text, f"doc-{name}") for name, text in TEXT.items()]


@pytest.fixture(scope="session")
def retrieval() -> Retrieval:
    """Word overlap, best first: a real, small retriever; and the encoder that ships."""
    return Retrieval(
        lambda query: sorted(TEXT, key=lambda name: -len(set(query.split()) & set(TEXT[name].lower().split()))),
        load_encoder("all-MiniLM-L6-v2"),
    )
