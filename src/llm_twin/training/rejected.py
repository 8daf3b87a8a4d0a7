"""On-policy pairs: the rejected side written by the model that is about to be trained on them.

After SPIN (Chen et al. 2024): the fine-tuned model's own answer is what the author's text is to win against, so that
the pairs show what the model still gets wrong, not the tricks of a rewrite. Pairs stay as they are where the model
wrote nothing usable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_twin.documents import PreferenceSample, Split, stable_id, write_jsonl
from llm_twin.progress import report
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.similarity.overlap import word_distance
from llm_twin.training.base import link_folder
from llm_twin.training.samples import preference_samples

MIN_DISTANCE = 0.3  # nearer to the author's text than this it is the author's text, learnt by heart
MIN_WORDS = 5
TEMPERATURE = 0.8
TOP_P = 0.95
BATCH = 16
SPLITS: tuple[Split, ...] = ("train", "validation")


def write_rejected(
    base: Path, adapter: Path, samples: Path, recipe: TrainingRecipe, folder: Path
) -> dict[str, int | float]:
    """Copy the folder `samples` to `folder` with rejected sides by the model, as `rejected_from` says; count them.

    `model_written_share` of the training pairs, drawn by seed, get the model's text in place of theirs; of the
    validation pairs each gets a twin with it, so that both kinds are measured. Same seed, same texts.
    """
    link_folder(samples, folder)
    if recipe.rejected_from == "dataset" or recipe.dpo_epochs == 0:
        return {"pairs": len(preference_samples(samples, "train")), "model_written": 0}
    wanted = {split: _draw(preference_samples(samples, split), split, recipe) for split in SPLITS}
    flat = [pair for pairs in wanted.values() for pair in pairs]
    texts = dict(zip((pair.sample_id for pair in flat), _generate(base, adapter, recipe, flat), strict=True))
    counts: Counter[str] = Counter()
    for split in SPLITS:
        pairs = preference_samples(samples, split)
        written = [
            own
            for pair in wanted[split]
            if (own := _replace(pair, texts[pair.sample_id], recipe.rejected_from, counts)) is not None
        ]
        done = {(pair.document_id, pair.chosen) for pair in written} if split == "train" else set()
        kept = [pair for pair in pairs if (pair.document_id, pair.chosen) not in done]
        path = folder / f"preference_{split}.jsonl"
        path.unlink(missing_ok=True)  # never through a link
        write_jsonl(path, [*kept, *written])
    report(f"rejected sides by the {recipe.rejected_from} model: {counts['written']} of {len(flat)} asked for")
    return {"pairs": len(preference_samples(folder, "train")), "model_written": counts["written"], **counts}


def _draw(pairs: list[PreferenceSample], split: str, recipe: TrainingRecipe) -> list[PreferenceSample]:
    """The pairs that the model is asked for: a share of the training ones; never those that people judged."""
    own = [pair for pair in pairs if pair.rejected_source == "degraded"]
    if split != "train":
        return own
    order = sorted(own, key=lambda pair: hashlib.sha256(f"{recipe.seed}\0{pair.sample_id}".encode()).digest())
    return order[: round(len(order) * recipe.model_written_share)]


def _replace(pair: PreferenceSample, text: str, source: str, counts: Counter[str]) -> PreferenceSample | None:
    """The pair with `text` as its rejected side, or None where that is no answer or the author's own words."""
    if len(text.split()) < MIN_WORDS:
        counts["too_short"] += 1
        return None
    distance = word_distance(pair.chosen, text)
    if distance < MIN_DISTANCE:
        counts["the_authors_own_words"] += 1
        return None
    counts["written"] += 1
    return pair.model_copy(
        update={
            "sample_id": stable_id(pair.sample_id, text),
            "rejected": text,
            "rejected_source": source,
            "reason": f"written by the {source} model, not by the author",
            "confidence": round(min(1.0, 0.5 + distance / 2), 3),
        }
    )


def _generate(base: Path, adapter: Path, recipe: TrainingRecipe, pairs: Sequence[PreferenceSample]) -> list[str]:
    """The model's answer to each pair's instruction, about as long as the author's, sampled with the seed."""
    import torch

    from llm_twin.training.base import count_parameters, load_tokenizer
    from llm_twin.training.hardware import settle_hardware
    from llm_twin.training.loop import load_for_training

    tokenizer = load_tokenizer(adapter)
    hardware = settle_hardware(recipe, count_parameters(base))
    whole = recipe.method == "full" and recipe.rejected_from == "sft"
    model = load_for_training(adapter if whole else base, recipe, hardware)
    if recipe.rejected_from == "sft" and recipe.method != "full":
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    model.eval().to(hardware.device if recipe.method != "qlora" else model.device)
    tokenizer.padding_side = "left"
    lengths = [len(tokenizer(pair.chosen, add_special_tokens=False)["input_ids"]) for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda i: lengths[i])
    texts = [""] * len(pairs)
    torch.manual_seed(recipe.seed)
    for start in range(0, len(order), BATCH):
        numbers = order[start : start + BATCH]
        prompts = [_fit(tokenizer, pairs[i].instruction, recipe.max_length - lengths[i]) for i in numbers]
        batch: Any = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **batch, max_new_tokens=lengths[numbers[-1]], min_new_tokens=MIN_WORDS, do_sample=True,
                temperature=TEMPERATURE, top_p=TOP_P,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        for i, row in zip(numbers, output[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
            texts[i] = str(tokenizer.decode(row[: lengths[i]], skip_special_tokens=True)).strip()
        report(f"rejected sides: {min(start + BATCH, len(order))}/{len(order)}")
    return texts


def _fit(tokenizer: Any, instruction: str, room: int) -> list[int]:
    """The prompt's ids, cut at the front to `room` tokens (at least 16)."""
    turns = [{"role": "user", "content": instruction}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
    return list(ids[-max(room, 16) :])
