"""`twin export`: a twin's merged model in the form that another engine wants."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Form(StrEnum):
    """What to write."""

    gguf = "gguf"
    gptq = "gptq"
    int8 = "int8"


class GgufPrecision(StrEnum):
    """How a GGUF file holds its matrices."""

    f16 = "f16"
    q8_0 = "q8_0"
    q4_0 = "q4_0"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    out: Path = typer.Argument(help="File (gguf) or folder (gptq, int8) to write."),
    to: Form = typer.Option(Form.gguf, help="gguf: llama.cpp, CPUs, edge; gptq: TGI, vLLM; int8: bitsandbytes."),
    author: str = typer.Option("", help="Whose twin; not needed where this home holds one only."),
    model: Path | None = typer.Option(None, help="A merged model's folder, instead of the author's newest."),
    precision: GgufPrecision = typer.Option(GgufPrecision.q8_0, help="Of a GGUF file's matrices."),
    bits: int = typer.Option(4, help="Of GPTQ: 3, 4 or 8."),
    group_size: int = typer.Option(64, help="Of GPTQ: weights that share a scale; -1: a whole row."),
    samples: Path | None = typer.Option(None, help="GPTQ: the samples folder that calibrates; default: the author's."),
) -> None:
    """Write a twin's merged model as GGUF, as GPTQ of 3, 4 or 8 bit, or in 8 bit.

    Examples: `twin export twin.gguf`, `twin export twin-3bit --to gptq --bits 3`, `twin export twin-int8 --to int8`.
    """
    from llm_twin.errors import InputError

    if model is not None and to is Form.gptq and samples is None and not author:
        raise InputError(
            "GPTQ calibrates on the author's text, and no samples are named",
            "add --samples with the folder that build_datasets wrote, or --author for those of a twin in this home",
        )
    if model is None or (samples is None and to is Form.gptq):
        known = _find_twin(author)
        model, samples = model or Path(known.merged), samples or (Path(known.samples) if known.samples else None)
    if not (model / "config.json").is_file():
        raise InputError(f"{model} holds no model", "give --model the folder of a merged model, or `twin run` first")
    if to is Form.gguf:
        from llm_twin.training.gguf_export import export_gguf

        figures = export_gguf(model, out, precision.value)
    elif to is Form.int8:
        from llm_twin.training.int8 import export_int8

        figures = export_int8(model, out)
    else:
        figures = _export_gptq(model, samples, out, bits, group_size)
    print(f"wrote {out}")
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):>24}  {value:,.4g}")


def _find_twin(author: str):  # type: ignore[no-untyped-def]  # TwinFile is heavy to import
    from llm_twin.errors import InputError
    from llm_twin.local.home import open_home
    from llm_twin.serving.twins import read_twin_file, read_twin_files
    from llm_twin.settings import HomeSettings

    folder = open_home(HomeSettings().root).twins
    if author:
        return read_twin_file(folder / f"{author}.json")
    found = read_twin_files(folder)
    if len(found) > 1:
        raise InputError(f"this home holds {len(found)} twins", f"--author {' or '.join(t.author.id for t in found)}")
    return found[0]


def _export_gptq(model: Path, samples: Path | None, out: Path, bits: int, group_size: int) -> dict[str, float]:
    from llm_twin.errors import InputError
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.settings import QuantizeSettings
    from llm_twin.training.quantize import quantize_model
    from pipelines.launch import find_quantize_python

    if bits not in (3, 4, 8):
        raise InputError(f"GPTQ of {bits} bit is not offered", "--bits 3, 4 or 8")
    if samples is None:
        raise InputError("no samples to calibrate on", "give --samples the folder that build_datasets wrote")
    find_quantize_python()
    recipe = TrainingRecipe(quantize_bits=bits, quantize_group_size=group_size)  # type: ignore[arg-type]
    return quantize_model(model, samples, recipe, out, QuantizeSettings().python)
