"""The seedling: a small Llama with its own tokenizer, trained on the spot, so that a twin needs no download.

Plain causal language modelling of packed prose (corpus.py) with transformers' Trainer. One passage in four is
written as a question and an answer through the chat template, so that the template's tokens mean something before
the fine-tuning. It writes poor English; it is there to make every later step real.
"""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_twin.digests import digest_json
from llm_twin.errors import ModelError
from llm_twin.progress import report
from llm_twin.recipe_training import SeedlingRecipe
from llm_twin.training.corpus import Corpus, Passage, read_corpus
from llm_twin.training.export import make_readable
from llm_twin.training.templates import chat_template

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
SPECIAL = [PAD, BEGIN, END, "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_EVERY = 4  # one passage in so many is written as a chat
FORMAT = 1  # raise when what is trained changes but neither recipe nor corpus does


def grow_seedling(recipe: SeedlingRecipe, seed: int, cache: Path) -> Path:
    """Return the folder of the seedling for this recipe, corpus and seed, training it if `cache` has none yet.

    Raises ModelError when the corpus is too small. Killed while it trains, it leaves nothing in the cache.
    """
    corpus = read_corpus(recipe.packages, recipe.max_words)
    report(f"seedling corpus: {len(corpus.passages):,} paragraphs, {corpus.words:,} words, hash {corpus.digest}")
    settings = recipe.model_dump(mode="json", exclude={"packages", "max_words"})
    key = digest_json([FORMAT, settings, seed, corpus.digest, chat_template()])
    folder = cache / "seedling" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # authors that train side by side grow one seedling, and the others wait
        if (folder / "config.json").is_file():
            report(f"seedling {key[:12]} comes from the cache")
            return folder
        beside = folder.with_name(f".{key}.part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            _train(recipe, seed, corpus, beside)
            (beside / "seedling.json").write_text(_card(corpus, settings, seed), encoding="utf-8")
            make_readable(beside)
            beside.replace(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder


def _card(corpus: Corpus, settings: dict[str, Any], seed: int) -> str:
    content = {"corpus_hash": corpus.digest, "corpus_words": corpus.words, "packages": corpus.sources}
    return json.dumps({**content, "settings": settings, "seed": seed}, indent=2, sort_keys=True) + "\n"


def train_tokenizer(texts: list[str], vocabulary: int, context: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer of at most `vocabulary` tokens, with the chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, begin)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = chat_template()
    return wrapped


def _texts(passages: list[Passage], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    texts = []
    for number, passage in enumerate(passages):
        if number % CHAT_EVERY:
            texts.append(BEGIN + passage.text + END)
            continue
        subject = passage.name.rsplit(".", 1)[-1].strip("_").replace("_", " ") or "this"
        turns = [{"role": "user", "content": f"Write about {subject}."}, {"role": "assistant", "content": passage.text}]
        texts.append(str(tokenizer.apply_chat_template(turns, tokenize=False)))
    return texts


def _blocks(texts: list[str], tokenizer: PreTrainedTokenizerBase, length: int, seed: int) -> np.ndarray:
    """Texts in a seeded order, end to end, cut into rows of `length` tokens: (rows, length) int64."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(texts))
    encoded = tokenizer([texts[i] for i in order], add_special_tokens=False)["input_ids"]
    stream = np.fromiter((token for ids in encoded for token in ids), dtype=np.int64)
    rows = len(stream) // length
    if rows < 8:
        raise ModelError(
            f"the seedling's corpus fills only {rows} rows of {length} tokens", "name more distributions to read"
        )
    return stream[: rows * length].reshape(rows, length)


def _train(recipe: SeedlingRecipe, seed: int, corpus: Corpus, folder: Path) -> None:
    import torch
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, default_data_collator, set_seed

    from llm_twin.training.callbacks import quiet_libraries, watch_progress

    quiet_libraries()
    tokenizer = train_tokenizer([p.text for p in corpus.passages], recipe.vocabulary, recipe.context)
    rows = _blocks(_texts(corpus.passages, tokenizer), tokenizer, recipe.block, seed)
    set_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.intermediate_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.key_value_heads,
            max_position_embeddings=recipe.context,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    held = max(4, len(rows) // 200)
    train = Dataset.from_dict({"input_ids": rows[held:], "labels": rows[held:]}).with_format("torch")
    report(
        f"seedling: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters, "
        f"{rows.size:,} tokens, {recipe.steps} steps of {recipe.batch_size * recipe.block:,} tokens"
    )
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, recipe.steps // 20),
        weight_decay=0.1,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        seed=seed,
        data_seed=seed,
        logging_steps=max(1, recipe.steps // 40),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        bf16=torch.cuda.is_available(),
    )
    trainer = Trainer(model, arguments, train_dataset=train, data_collator=default_data_collator)
    watch_progress(trainer, "growing the seedling")
    trainer.train()
    model.eval()
    with torch.no_grad():
        batch = torch.from_numpy(rows[:held]).to(model.device)
        loss = float(model(input_ids=batch, labels=batch).loss)
    report(f"seedling: held-out perplexity {math.exp(loss):.1f} on {held * recipe.block:,} tokens of its own corpus")
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(folder / "trainer", ignore_errors=True)
