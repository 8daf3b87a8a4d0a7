"""SFT as the recipe runs it beside plain TRL defaults: useful tokens a second, and the loss on held-out samples.

Both train the same model with the same LoRA, learning rate, batch size and number of epochs on the same samples, which
they see in the same shuffled order, so that the losses differ by how they train and not by the draw. All else of the
second is what `SFTConfig()` and `SFTTrainer` do by themselves: bf16 over 32-bit weights, gradient checkpointing, each
step's samples in one padded batch. Useful tokens are those that the loss counts. Both losses are of what is handed on:
the adapter as it was saved, on the base in single precision.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.trained import find_artifact
from pipelines.catalogue import find_recipe

DESCRIPTION = "SFT beside plain TRL defaults: useful tokens a second and held-out loss"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --base, --rounds, --epochs, --limit."""
    parser.add_argument("--data", type=Path, help="samples folder (default: the newest of a run)")
    parser.add_argument("--base", type=Path, help="base model folder (default: the newest of a run)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; the median ratio counts")
    parser.add_argument("--epochs", type=float, default=0.0, help="default: the sample recipe's")
    parser.add_argument("--limit", type=int, default=0, help="so many samples only, to train on and to hold out")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Interleaved rounds of both; returns speeds, their median ratio, and both held-out losses."""
    from llm_twin.recipes import load_recipe
    from llm_twin.training.callbacks import quiet_libraries
    from llm_twin.training.samples import instruction_samples, training_instructions

    quiet_libraries()
    data = find_artifact("samples", args.data, "instruction_train.jsonl")
    base = find_artifact("base", args.base, "config.json")
    train = training_instructions(data)[: args.limit or None]
    held = (instruction_samples(data, "validation") + instruction_samples(data, "test"))[: args.limit or None]
    recipe = load_recipe(find_recipe("sample")).training
    recipe = recipe.model_copy(update={"sft_epochs": args.epochs or recipe.sft_epochs})
    print(f"{len(train)} samples to train on, {len(held)} held out\n")
    print(
        f"{'round':>5}  {'ours, tokens/s':>15}  {'TRL, tokens/s':>14}  {'ratio':>6}  {'our loss':>9}  {'TRL loss':>9}"
    )
    train_once("ours", base, recipe, train[:8], held[:1])  # the first run pays for what is loaded and compiled once
    rows = []
    for number in range(1, args.rounds + 1):
        kinds = ("ours", "defaults") if number % 2 else ("defaults", "ours")  # whoever is first pays for a busy moment
        seeded = recipe.model_copy(update={"seed": recipe.seed + number})  # losses differ by the order of samples
        found = {kind: train_once(kind, base, seeded, train, held) for kind in kinds}
        (speed, cpu, loss), (their_speed, their_cpu, their_loss) = found["ours"], found["defaults"]
        rows.append((speed, their_speed, speed / their_speed, cpu / their_cpu, loss, their_loss))
        print(
            f"{number:>5} {speed:>16.0f} {their_speed:>15.0f} {rows[-1][2]:>7.2f} {rows[-1][3]:>9.2f} "
            f"{loss:>10.4f} {their_loss:>10.4f}",
            flush=True,
        )
    ours, theirs, ratios, cpu_ratios, losses, their_losses = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    difference = statistics.median(row[4] - row[5] for row in rows)  # paired: of one round, of one order
    return {
        "useful_tokens_per_second": round(ours, 1),
        "trl_defaults_tokens_per_second": round(theirs, 1),
        "ratio_to_trl_defaults": round(ratios, 3),
        "ratio_in_processor_time": round(cpu_ratios, 3),
        "heldout_loss": round(losses, 4),
        "trl_defaults_heldout_loss": round(their_losses, 4),
        "heldout_loss_difference": round(difference, 4),
        "rounds": args.rounds,
        "samples": len(train),
    }


def train_once(kind: str, base: Path, recipe: Any, train: list, held: list) -> tuple[float, float, float]:
    """(useful tokens a second, the same for a second of processor time, held-out loss a token) of one run."""
    from transformers import set_seed

    from llm_twin.training import loop, sft
    from llm_twin.training.base import load_tokenizer
    from llm_twin.training.batching import use_sampler
    from llm_twin.training.hardware import settle_hardware
    from llm_twin.training.samples import conversations

    tokenizer = load_tokenizer(base)
    hardware = settle_hardware(recipe)
    set_seed(recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "ours":
            model = loop.load_for_training(base, recipe, hardware)
            trainer = sft.build_trainer(model, tokenizer, recipe, hardware, Path(folder), train, [])
            use_sampler(trainer, hardware.batching == "length")
        else:
            from trl import SFTConfig, SFTTrainer

            config = SFTConfig(
                output_dir=folder, use_cpu=hardware.device == "cpu",
                num_train_epochs=recipe.sft_epochs, learning_rate=recipe.sft_learning_rate,
                report_to=[], disable_tqdm=True, logging_steps=10_000, seed=recipe.seed,
            )  # fmt: skip
            trainer = SFTTrainer(
                model=str(base), args=config, train_dataset=conversations(train), processing_class=tokenizer,
                peft_config=loop.lora_config(recipe),
            )  # fmt: skip
            use_sampler(trainer, by_length=False)
        from transformers import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        useful = sft.count_tokens(trainer.train_dataset)["useful"] * recipe.sft_epochs
        begun, busy = time.perf_counter(), time.process_time()
        with loop.autocast_alone(trainer) if kind == "ours" else nullcontext():
            trainer.train()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - busy
        trainer.model.save_pretrained(f"{folder}/adapter")
        return useful / seconds, useful / cpu, heldout_loss(base, Path(folder, "adapter"), held, recipe.max_length)


def heldout_loss(base: Path, adapter: Path, held: list, max_length: int) -> float:
    """Nats a token of the held-out answers under `base` with `adapter`, in single precision for both."""
    from peft import PeftModel

    from llm_twin.training.base import load_model, load_tokenizer
    from llm_twin.training.rewards import answer_log_probabilities

    model = PeftModel.from_pretrained(load_model(base), adapter).eval()
    pairs = sorted(((sample.instruction, sample.output) for sample in held), key=lambda pair: len(pair[1]))
    scored = answer_log_probabilities(model, load_tokenizer(base), pairs, max_length)
    return -sum(total for total, _ in scored) / sum(count for _, count in scored)
