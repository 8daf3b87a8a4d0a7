"""Step: the challenger's adapter in; which other model is in service out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def find_champion(author: dict, adapter: dsl.Input[dsl.Model]) -> str:
    """Ask the registry which other adapter than `adapter` is the author's champion; return its digest, or `none`."""
    from pathlib import Path

    from llm_twin.evaluation.champion import name_champion
    from llm_twin.settings import HomeSettings, RegistrySettings

    return name_champion(RegistrySettings().resolve(HomeSettings().root), author["id"], Path(adapter.path))
