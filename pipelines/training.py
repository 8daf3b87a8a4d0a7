"""Training: a base model, SFT, DPO, merge, GPTQ."""

from typing import Any, NamedTuple

from kfp import dsl

from components.training.merge_adapter import merge_adapter
from components.training.prepare_base import prepare_base
from components.training.quantize_model import quantize_model
from components.training.select_samples import select_samples
from components.training.train_dpo import train_dpo
from components.training.train_sft import train_sft
from components.training.write_rejected import write_rejected
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `training`."""
    Outputs = NamedTuple(
        "Outputs",
        [(name, dsl.Model) for name in ("base", "sft", "dpo", "merged", "quantized")],
    )

    @dsl.pipeline(name="training", description="Base model, LoRA SFT, DPO, merge, GPTQ 4-bit.")
    def training(samples: dsl.Input[dsl.Dataset], recipe: dict) -> Outputs:
        selected = options.place(select_samples(samples=samples)).outputs["selected"]
        base_task = prepare_base(recipe=recipe, code=options.code_of(prepare_base))
        base = options.place(base_task, gpu=True).outputs["base"]
        sft_task = train_sft(base=base, samples=selected, recipe=recipe, code=options.code_of(train_sft))
        sft = options.place(sft_task, gpu=True).outputs["adapter"]
        pairs_task = write_rejected(
            base=base, adapter=sft, samples=selected, recipe=recipe, code=options.code_of(write_rejected)
        )
        pairs = options.place(pairs_task, gpu=True).outputs["pairs"]
        dpo_task = train_dpo(base=base, adapter=sft, samples=pairs, recipe=recipe, code=options.code_of(train_dpo))
        dpo = options.place(dpo_task, gpu=True).outputs["preferred"]
        merge_task = merge_adapter(base=base, adapter=dpo, code=options.code_of(merge_adapter))
        merged = options.place(merge_task, gpu=True).outputs["merged"]
        quantize_task = quantize_model(
            merged=merged, samples=selected, recipe=recipe, code=options.code_of(quantize_model)
        )
        quantized = options.place(quantize_task, gpu=True).outputs["quantized"]
        return Outputs(base=base, sft=sft, dpo=dpo, merged=merged, quantized=quantized)

    return training
