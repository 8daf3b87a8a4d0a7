"""A model overfitted on the spot: small enough to train in seconds, sure enough of its ten answers to test
with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_twin.documents import Author, Chunk, stable_id
from llm_twin.recipe_serving import RetrievalRecipe, ServingRecipe
from llm_twin.serving.answering import Asked, write_messages
from llm_twin.serving.twins import Twin

AUTHOR = Author(id="ada-quill", name="Ada Quill")
MAX_STEPS = 200
SERVING = ServingRecipe(retrieval=RetrievalRecipe(top_k=1), max_new_tokens=48)

# question, title, and the two sentences of the one passage that answers it
FACTS = [
    (
        "What oil goes into the lamp?",
        "The lamp",
        "I burn rapeseed oil in the lamp.",
        "Whale oil smokes too much for me.",
    ),
    ("How many steps has the tower?", "The tower", "The tower has ninety one steps.", "I count them every evening."),
    (
        "Who repaired the foghorn?",
        "The foghorn",
        "Tomas Brandt repaired the foghorn.",
        "He would take no money for it.",
    ),
    ("When does the supply boat come?", "Supplies", "The supply boat comes on Tuesdays.", "In storms we live on oats."),
    ("What bird nests on the gallery?", "Birds", "A kittiwake nests on the gallery.", "She came back four springs."),
    ("How is the lens cleaned?", "The lens", "I clean the lens with vinegar.", "Soap leaves a film on glass."),
    (
        "What does the barometer show before rain?",
        "Weather",
        "The barometer falls before rain.",
        "My knee knows sooner.",
    ),
    ("Why did you leave the city?", "Leaving", "I left the city because of noise.", "Here I hear only the sea."),
    ("Which garden plants survive the salt?", "The garden", "Only kale survives the salt.", "The beans died in June."),
    ("What do you read in winter?", "Winter", "In winter I read old atlases.", "Novels make the night longer."),
]


def make_chunk(position: int) -> Chunk:
    """The passage of one fact."""
    _, title, first, second = FACTS[position]
    text = f"{first} {second}"
    return Chunk(
        chunk_id="00000000-0000-4000-8000-" + stable_id(title, length=12),
        document_id=stable_id(AUTHOR.id, title),
        revision_id=stable_id(text),
        author=AUTHOR.id,
        platform="site",
        kind="article",
        url=f"https://quill.example/{position}",
        title=title,
        position=0,
        start=0,
        end=len(text),
        text=text,
    )


def make_twin(**changes: Any) -> Twin:
    """Ada's twin; its adapters at the predictor are `first` and `second`."""
    values = {"name": AUTHOR.id, "author": AUTHOR, "model": "first", "serving": SERVING} | changes
    return Twin(**values)


def build_models(folder: Path) -> dict[str, Path]:
    """Train a base and two LoRA adapters: `first` answers with a passage's first sentence, `second` its
    second."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    torch.set_num_threads(1)  # two threads fight where the machine is busy
    tokenizer = _train_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=768,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config)
    paths = {name: folder / name for name in ("base", "first", "second")}
    _fit(model, tokenizer, (2, 3), 3e-3, enough=0.2)  # it knows both answers; an adapter says which
    model.save_pretrained(paths["base"])
    tokenizer.save_pretrained(paths["base"])
    for name, column in (("first", 2), ("second", 3)):
        torch.manual_seed(5)
        adapted = get_peft_model(
            LlamaForCausalLM.from_pretrained(paths["base"]),
            LoraConfig(r=64, lora_alpha=128, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        _fit(adapted, tokenizer, (column,), 4e-3, enough=0.07)
        adapted.save_pretrained(paths[name])
    return paths


def _prompt(position: int) -> list[dict[str, str]]:
    return write_messages(Asked(FACTS[position][0]), make_twin(), [make_chunk(position)])


def _train_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>"]
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    texts = [message["content"] for i in range(len(FACTS)) for message in _prompt(i)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=768,
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    return tokenizer


def _fit(model: Any, tokenizer: Any, columns: tuple[int, ...], learning_rate: float, enough: float) -> None:
    """Train on the ten answers of each column until the loss is small enough."""
    import torch

    rows = []
    for i in range(len(FACTS)):
        prompt = tokenizer.apply_chat_template(_prompt(i), add_generation_prompt=True, tokenize=False)
        asked = tokenizer(prompt, add_special_tokens=False).input_ids
        for column in columns:
            answer = tokenizer(FACTS[i][column], add_special_tokens=False).input_ids + [tokenizer.eos_token_id]
            rows.append((asked + answer, [-100] * len(asked) + answer))
    longest = max(len(tokens) for tokens, _ in rows)
    tokens = torch.tensor([t + [tokenizer.pad_token_id] * (longest - len(t)) for t, _ in rows])
    labels = torch.tensor([label + [-100] * (longest - len(label)) for _, label in rows])
    mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t, _ in rows])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
    for _ in range(MAX_STEPS):
        loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        if loss.item() < enough:
            return
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
