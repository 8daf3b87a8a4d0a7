"""Every pipeline compiles, says what the recipe says, and keeps kfp's limits; the recipes' page is up to date."""

import ast
import json
from pathlib import Path

import pytest
import yaml

import components
from llm_twin.cli.run import Where, run
from llm_twin.errors import InputError, RecipeError
from llm_twin.recipe_training import NodePool
from llm_twin.recipes import AuthorRecipe, load_recipe, parse_recipe
from pipelines.catalogue import (
    NAMES,
    build_pipeline,
    default_pipeline,
    describe_recipes,
    find_recipe,
    pipeline_arguments,
    stages_of_steps,
)
from pipelines.kubeflow import compile_pipeline
from pipelines.options import BuildOptions

ROOT = Path(__file__).parents[3]
GPU_STEPS = {
    "prepare-base", "train-sft", "write-rejected", "train-dpo", "merge-adapter", "quantize-model", "evaluate-twin",
    "ask-twin",
}  # fmt: skip


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    pool = NodePool(node_selector={"pool": "gpu"}, shared_memory="8Gi", queue="authors")
    specs = {}
    for name in NAMES:
        compile_pipeline(build_pipeline(name, BuildOptions(pool=pool, code_from_image=True)), folder / f"{name}.yaml")
        text = (folder / f"{name}.yaml").read_text()
        assert len(text) < 1_000_000, "a workflow's limit is 1.5 MiB in etcd"
        specs[name] = list(yaml.safe_load_all(text))
    return specs


def test_a_pipeline_takes_the_sections_of_a_recipe(compiled) -> None:
    recipe = load_recipe(find_recipe("sample"))
    pipeline = build_pipeline("twin", BuildOptions(code_from_image=True))
    arguments = pipeline_arguments(recipe, pipeline)
    assert len(arguments) <= 10
    assert set(arguments) == set(compiled["twin"][0]["root"]["inputDefinitions"]["parameters"])
    assert all(len(json.dumps(value)) < 10_000 for value in arguments.values())
    assert "null" not in json.dumps(arguments), "kfp takes no nulls"


def test_another_champion_alone_makes_the_steps_that_compare_with_it_run_again(compiled) -> None:
    tasks = compiled["evaluation"][0]["root"]["dag"]["tasks"]
    assert "enableCache" not in tasks["find-champion"]["cachingOptions"], "who is champion is always asked"
    for step in ("evaluate-twin", "register-models"):
        key = tasks[step]["inputs"]["parameters"]["champion_digest"]["taskOutputParameter"]
        assert key["producerTask"] == "find-champion" and tasks[step]["cachingOptions"]["enableCache"]


def test_gpu_steps_get_the_pool_and_others_do_not(compiled) -> None:
    spec, platform = compiled["twin"]
    executors = spec["deploymentSpec"]["executors"]
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in executors.items():
        step = label.removeprefix("exec-")
        resources = executor["container"].get("resources", {})
        if step in GPU_STEPS:
            assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu", step
            assert placed[label]["nodeSelector"]["labels"] == {"pool": "gpu"}, step
            assert placed[label]["podMetadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "authors"
        else:
            assert "accelerator" not in resources, step


def test_only_steps_that_ask_the_world_are_never_cached(compiled) -> None:
    def tasks(spec: dict) -> dict:
        found = dict(spec["root"]["dag"]["tasks"])
        for component in spec["components"].values():
            found |= component.get("dag", {}).get("tasks", {})
        return found

    never = {
        name
        for name, task in tasks(compiled["twin"][0]).items()
        if name in stages_of_steps() and not task.get("cachingOptions", {}).get("enableCache")
    }
    assert never == {"collect-documents", "index-chunks", "find-champion"}


def test_the_digest_of_the_code_is_an_argument_of_every_cached_step_on_one_machine(tmp_path) -> None:
    compile_pipeline(build_pipeline("features", BuildOptions()), tmp_path / "features.yaml")
    tasks = yaml.safe_load((tmp_path / "features.yaml").read_text())["root"]["dag"]["tasks"]
    codes = {
        name: task["inputs"]["parameters"]["code"]["runtimeValue"]["constant"]
        for name, task in tasks.items()
        if task["cachingOptions"].get("enableCache")
    }
    assert set(codes) == {"clean-documents", "chunk-documents", "embed-chunks"}
    assert all(len(code) == 32 for code in codes.values())
    assert len(set(codes.values())) == 3, "each step counts the code that it reaches, not all"


def test_components_are_thin() -> None:
    for file in Path(components.__file__).parent.glob("*/*.py"):
        if file.name == "__init__.py" or (file.parent / "Dockerfile").exists():  # an image's folder holds no step
            continue
        tree = ast.parse(file.read_text())
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert [function.name for function in functions] == [file.stem], file
        body = functions[0].end_lineno - functions[0].body[0].lineno + 1
        assert body <= 30, f"{file} has {body} lines of body"
        assert ast.get_docstring(functions[0])
        assert "from __future__" not in file.read_text(), "kfp cannot read the types of artifacts then"


def test_the_page_of_recipe_keys_is_up_to_date() -> None:
    page = ROOT / "docs" / "recipes.md"
    assert page.read_text(encoding="utf-8") == describe_recipes(), "run `python -m pipelines keys > docs/recipes.md`"


def test_without_a_model_to_train_nothing_of_training_is_in_the_way(compiled) -> None:
    recipe = load_recipe(find_recipe("sample"))
    serving = recipe.serving.model_copy(update={"endpoint": "http://llm.example/v1"})
    training = recipe.training.model_copy(update={"base_model": "none"})
    assert default_pipeline(recipe) == "twin"
    assert default_pipeline(recipe.model_copy(update={"training": training, "serving": serving})) == "endpoint"
    steps = {name.removeprefix("exec-") for name in compiled["endpoint"][0]["deploymentSpec"]["executors"]}
    assert steps == {"collect-documents", "clean-documents", "chunk-documents", "embed-chunks", "index-chunks",
                     "ask-twin", "report-drift"}  # fmt: skip
    with pytest.raises(RecipeError, match=r"name the server that answers as serving\.endpoint"):
        parse_recipe({"name": "r", "author": {"id": "a", "name": "A"}, "training": {"base_model": "none"}}, "r.yaml")


def test_the_pipeline_of_many_authors_takes_each_ones_sources(compiled) -> None:
    recipe = load_recipe(find_recipe("sample"))
    other = recipe.model_copy(update={"author": AuthorRecipe(id="jane", name="Jane")})
    pipeline = build_pipeline("authors", BuildOptions(code_from_image=True))
    arguments = pipeline_arguments(recipe, pipeline, [other])
    assert [one["author"]["id"] for one in arguments["authors"]] == ["odalys-fenwick", "jane"]
    assert all(len(one["collection"]["sources"]) == 5 for one in arguments["authors"])
    assert set(arguments) == set(compiled["authors"][0]["root"]["inputDefinitions"]["parameters"])
    (loop,) = (
        task
        for component in compiled["authors"][0]["components"].values()
        for task in component.get("dag", {}).get("tasks", {}).values()
        if "parameterIterator" in task
    )
    assert loop["iteratorPolicy"]["parallelismLimit"] == 4


def test_sync_shards_over_authors_and_over_the_documents_of_each(compiled) -> None:
    recipe = load_recipe(find_recipe("sample"))
    pipeline = build_pipeline("sync", BuildOptions(code_from_image=True))
    assert set(pipeline_arguments(recipe, pipeline)) == {"authors", "features"}  # shards: the pipeline's default
    assert pipeline_arguments(recipe, pipeline, given={"shards": 3})["shards"] == 3
    spec = compiled["sync"][0]
    assert spec["root"]["inputDefinitions"]["parameters"]["shards"]["defaultValue"] == 1
    dags = [component["dag"]["tasks"] for component in spec["components"].values() if "dag" in component]
    loops = [task for tasks in [*dags, spec["root"]["dag"]["tasks"]] for task in tasks.values()]
    loops = [task for task in loops if "parameterIterator" in task]
    inside = [set(spec["components"][loop["componentRef"]["name"]]["dag"]["tasks"]) for loop in loops]
    assert {"sync-shard"} in inside and len(loops) == 2
    (whole,) = (tasks for tasks in dags if "sync-index" in tasks)
    assert set(whole) == {"sync-index"}  # with one shard there is one step
    (sharded,) = (tasks for tasks in dags if "plan-sync" in tasks)
    (loop,) = (name for name in sharded if name.startswith("for-loop"))
    assert set(sharded) == {"plan-sync", loop, "finish-sync"}
    assert loop in sharded["finish-sync"]["dependentTasks"] and sharded[loop]["dependentTasks"] == ["plan-sync"]


def test_shards_are_of_sync_alone() -> None:
    with pytest.raises(InputError, match="'corpus' has no shards"):
        run(recipe="sample", on=Where.here, pipeline="corpus", from_export=None, author="", shards=2)
