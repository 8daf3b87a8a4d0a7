"""Merge an adapter into the full-precision base, as a folder that transformers 4.57, TGI and vLLM load too."""

from __future__ import annotations

from pathlib import Path

from llm_twin.errors import ModelError
from llm_twin.training.export import make_loadable_by_transformers_4, make_readable
from llm_twin.training.folders import whole_folder


def merge_adapter(base: Path, adapter: Path, merged: Path) -> None:
    """Write `base` with `adapter` merged in (never into 4-bit weights) to `merged`, in the base's own dtype.

    An `adapter` folder that holds a whole model (method full) is written as it is. Raises ModelError when the
    adapter does not fit the base.
    """
    from llm_twin.training.base import load_config, load_model, load_tokenizer

    is_adapter = (adapter / "adapter_config.json").is_file()
    if not is_adapter and not (adapter / "config.json").is_file():
        raise ModelError(f"{adapter} holds neither an adapter nor a model", "give the folder that train_sft wrote")
    model = load_model(base if is_adapter else adapter)
    if is_adapter:
        from peft import PeftModel

        try:
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(
                f"the adapter {adapter} does not fit the base {base}: {str(error).splitlines()[0]}",
                "merge it into the base that it was trained on",
            ) from error
    dtype = getattr(load_config(base), "dtype", None)
    with whole_folder(merged) as beside:
        (model.to(dtype) if dtype is not None else model).save_pretrained(beside)
        load_tokenizer(adapter).save_pretrained(beside)
        make_loadable_by_transformers_4(beside)
        make_readable(beside)
