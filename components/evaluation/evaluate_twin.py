"""Step: candidates, samples and the index in; scores with intervals and a report out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def evaluate_twin(
    author: dict,
    index: str,
    champion_digest: str,
    chunks: dsl.Input[dsl.Dataset],
    base: dsl.Input[dsl.Model],
    sft: dsl.Input[dsl.Model],
    dpo: dsl.Input[dsl.Model],
    merged: dsl.Input[dsl.Model],
    quantized: dsl.Input[dsl.Model],
    samples: dsl.Input[dsl.Dataset],
    recipe: dict,
    code: str,
    scores: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
):
    """Measure the candidates and the champion on held-out samples; write Scores JSON, a report, an MLflow run."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.documents import Author, Chunk, read_jsonl
    from llm_twin.evaluation import champion, finish, retrieve, run
    from llm_twin.recipes import EvaluationRecipe
    from llm_twin.serving import checks
    from llm_twin.settings import HomeSettings, IndexSettings, LlmSettings, QuantizeSettings, RegistrySettings

    settings, where, access = EvaluationRecipe.model_validate(recipe), IndexSettings(), LlmSettings()
    who, home = Author.model_validate(author), HomeSettings().root
    tracking, python = RegistrySettings().resolve(home), QuantizeSettings().python
    adapters = champion.with_champion(
        {"sft": Path(sft.path), "dpo": Path(dpo.path)}, tracking, who.id, Path(base.path), home / "cache" / "models"
    )
    models = run.Models(Path(base.path), adapters.folders, Path(quantized.path), python, adapters.notes)
    jury = finish.open_jury(settings.judge, access.base_url, access.key, home / "cache" / "llm")
    passages = list(read_jsonl(chunks.path, Chunk))
    with retrieve.open_retrieval(where.url, where.key, who.id, settings) as asked:
        twin = checks.make_twin(who, asked, settings)
        found = run.evaluate_models(who.id, index, models, Path(samples.path), passages, asked, settings, twin, jury)
    finish.write_results(found, recipe, tracking, scores.path, report.path)
    log_figures(metrics, found.headline())
    seal(scores)
    note(scores, "evaluate-twin", found.summary())
