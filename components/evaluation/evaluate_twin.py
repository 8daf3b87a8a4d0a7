"""Step: candidates, samples and the index in; scores with intervals and a report out."""

from kfp import dsl

from components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def evaluate_twin(
    author: dict,
    index: str,
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
    """Measure the candidates on held-out samples, and retrieval; write Scores JSON, a report, an MLflow run."""
    from pathlib import Path

    from llm_twin.artifacts import log_figures, note, seal
    from llm_twin.documents import Chunk, read_jsonl
    from llm_twin.evaluation import finish, retrieve, run
    from llm_twin.recipes import EvaluationRecipe
    from llm_twin.settings import HomeSettings, IndexSettings, QuantizeSettings, RegistrySettings

    settings, where = EvaluationRecipe.model_validate(recipe), IndexSettings()
    key = where.api_key.get_secret_value() if where.api_key else None
    adapters = {"sft": Path(sft.path), "dpo": Path(dpo.path)}
    models = run.Models(Path(base.path), adapters, Path(quantized.path), QuantizeSettings().python)
    passages = list(read_jsonl(chunks.path, Chunk))
    folder = Path(samples.path)
    with retrieve.open_retrieval(where.url, key, author["id"], settings) as asked:
        found = run.evaluate_models(author["id"], index, models, folder, passages, asked, settings)
    finish.write_results(found, recipe, RegistrySettings().resolve(HomeSettings().root), scores.path, report.path)
    log_figures(metrics, found.headline())
    seal(scores)
    note(scores, "evaluate-twin", found.summary())
