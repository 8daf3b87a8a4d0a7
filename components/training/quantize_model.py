"""Step: a merged model and the author's training text in, a GPTQ model out."""

from kfp import dsl

from components.images import QUANTIZE_IMAGE


@dsl.component(base_image=QUANTIZE_IMAGE, install_kfp_package=False)
def quantize_model(
    merged: dsl.Input[dsl.Model], samples: dsl.Input[dsl.Dataset], recipe: dict, code: str,
    quantized: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics],
):  # fmt: skip
    """Quantize in the quantization environment, which is called as a process."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.settings import QuantizeSettings
    from llm_twin.training import quantize

    sizes = quantize.quantize_model(
        Path(merged.path), Path(samples.path), TrainingRecipe.model_validate(recipe),
        Path(quantized.path), QuantizeSettings().python,
    )  # fmt: skip
    log_figures(metrics, sizes)
    seal(quantized)
    share = f"quantized layers at {sizes['size_ratio']:.0%} of their size"
    note(quantized, "quantize-model", f"GPTQ {recipe['quantize_bits']} bit, {share}")
