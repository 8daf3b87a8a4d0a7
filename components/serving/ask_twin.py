from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def ask_twin(
    author: dict,
    index: str,
    release: str,
    recipe: dict,
    code: str,
    answers: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    base: dsl.Input[dsl.Model] = None,
    adapter: dsl.Input[dsl.Model] = None,
) -> None:
    """Serve the twin, ask the recipe's questions over KServe v2 and OpenAI, write Answer lines."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.documents import Author, write_jsonl
    from llm_twin.recipe_serving import ServingRecipe
    from llm_twin.serving import probe
    from llm_twin.settings import HomeSettings, IndexSettings, RegistrySettings

    home, who = HomeSettings().root, Author.model_validate(author)
    found = probe.probe_twin(
        who, index=index, release=release, base=base.path if base else "",
        adapter=adapter.path if adapter else "",
        recipe=ServingRecipe.model_validate(recipe), vectors_url=IndexSettings().url,
        tracking_uri=RegistrySettings().resolve(home), cache_dir=home / "cache", logs=home / "logs",
    )  # fmt: skip
    write_jsonl(answers.path, found)
    Path(report.path).write_text(probe.render_answers(who, found))
    seal(answers)
    note(answers, "ask-twin", probe.summarise(found))
