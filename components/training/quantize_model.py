"""Step: the merged model in, a GPTQ model out, made by the quantization environment's interpreter."""

from kfp import dsl

from components.images import QUANTIZE_IMAGE


@dsl.component(base_image=QUANTIZE_IMAGE, install_kfp_package=False)
def quantize_model(
    merged: dsl.Input[dsl.Model],
    samples: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
    quantized: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Quantize with GPTQ, calibrated on the author's own training text."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.recipes import TrainingRecipe
    from llm_twin.settings import QuantizeSettings
    from llm_twin.training.quantize import quantize_model

    settings = TrainingRecipe.model_validate(recipe)
    figures = quantize_model(
        Path(merged.path), Path(samples.path), settings, Path(quantized.path), QuantizeSettings().python
    )
    for name, value in figures.items():
        metrics.log_metric(name, round(value, 6))
    seal(quantized)
    note(quantized, "quantize-model", f"GPTQ, {settings.quantize_bits} bits, groups of {settings.quantize_group_size}")
