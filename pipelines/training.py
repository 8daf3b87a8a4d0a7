"""Training: a base model, SFT, DPO, merge, GPTQ. SFT and DPO run in their own pods, or as TrainJobs on many nodes."""

from typing import Any, NamedTuple

from kfp import dsl

from components.training.merge_adapter import merge_adapter
from components.training.prepare_base import prepare_base
from components.training.quantize_model import quantize_model
from components.training.select_samples import select_samples
from components.training.train_dpo import train_dpo
from components.training.train_on_nodes import train_on_nodes
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
        sft = _train(options, "sft", base=base, samples=selected, recipe=recipe)
        pairs_task = write_rejected(
            base=base, adapter=sft, samples=selected, recipe=recipe, code=options.code_of(write_rejected)
        )
        pairs = options.place(pairs_task, gpu=True).outputs["pairs"]
        dpo = _train(options, "dpo", base=base, adapter=sft, samples=pairs, recipe=recipe)
        merge_task = merge_adapter(base=base, adapter=dpo, code=options.code_of(merge_adapter))
        merged = options.place(merge_task, gpu=True).outputs["merged"]
        quantize_task = quantize_model(
            merged=merged, samples=selected, recipe=recipe, code=options.code_of(quantize_model)
        )
        quantized = options.place(quantize_task, gpu=True).outputs["quantized"]
        return Outputs(base=base, sft=sft, dpo=dpo, merged=merged, quantized=quantized)

    return training


def _train(options: BuildOptions, step: str, **inputs: Any) -> Any:
    """SFT or DPO in a pod of its own or, where the pool names a volume that nodes share, as a TrainJob."""
    if options.pool is None or not options.pool.training_volume:
        component, output = {"sft": (train_sft, "adapter"), "dpo": (train_dpo, "preferred")}[step]
        return options.place(component(code=options.code_of(component), **inputs), gpu=True).outputs[output]
    task = train_on_nodes(
        step=step, pool=options.pool.model_dump(mode="json"), code=options.code_of(train_on_nodes), **inputs
    )
    return options.share_volume(options.place(task)).outputs["trained"]
