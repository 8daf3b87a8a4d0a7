"""Recipes and sources files: what ships is valid, what is wrong is named."""

import pytest

from llm_twin.errors import InputError, RecipeError
from llm_twin.recipes import load_recipe, load_sources, parse_recipe, select_author
from pipelines.catalogue import RECIPES, find_recipe

BASE = {"name": "mine", "author": {"id": "jane", "name": "Jane"}}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path) -> None:
    assert load_recipe(path).name == path.stem


def test_a_misspelt_key_is_named_with_file_and_spelling() -> None:
    with pytest.raises(RecipeError, match=r"my\.yaml: unknown key 'training.lora_rnak' → did you mean 'lora_rank'"):
        parse_recipe({**BASE, "training": {"lora_rnak": 8}}, "my.yaml")


def test_a_misspelt_key_in_a_list_is_named() -> None:
    content = {**BASE, "collection": {"sources": [{"location": "https://jane.example", "typ": "site"}]}}
    with pytest.raises(RecipeError, match=r"collection\.sources\.0\.typ.*did you mean 'type'"):
        parse_recipe(content, "my.yaml")


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(RecipeError, match=r"training\.lora_rank"):
        parse_recipe({**BASE, "training": {"lora_rank": 0}}, "my.yaml")


@pytest.mark.parametrize(
    ("content", "says"), [("- a\n- b\n", "no mapping"), ("a: [", "not YAML"), ("\xff\xfe", "no mapping")]
)
def test_what_is_no_recipe_is_said_so(tmp_path, content: str, says: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=says):
        load_recipe(path)


def test_a_missing_file_and_an_unknown_name_have_remedies(tmp_path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="did you mean 'sample'"):
        find_recipe("smaple")


def test_relative_sources_count_from_the_recipe(tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: mine\nauthor: {id: jane, name: Jane}\ncollection:\n  sources:\n"
        "    - location: exports/medium.zip\n    - location: https://jane.example/feed\n    - location: sample:x.zip\n"
    )
    found = [source.location for source in load_recipe(path).collection.sources]
    assert found == [str(tmp_path / "exports/medium.zip"), "https://jane.example/feed", "sample:x.zip"]


def test_one_sources_file_holds_many_authors(tmp_path) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(
        "authors:\n  - {id: jane, name: Jane, sources: [{location: 'https://jane.example'}]}\n"
        "  - {id: joan, name: Joan, links: ['https://joan.example'], sources: [{location: joan.zip}]}\n"
    )
    jane, joan = load_sources(path)
    chosen = select_author(parse_recipe(BASE, "my.yaml"), joan)
    assert jane.sources[0].location == "https://jane.example"
    assert chosen.author.id == "joan"
    assert chosen.collection.sources[0].location == str(tmp_path / "joan.zip")


def test_a_sources_file_without_sources_is_refused(tmp_path) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text("authors:\n  - {id: jane, name: Jane}\n")
    with pytest.raises(RecipeError, match=r"sources\.yaml: authors\.0\.sources"):
        load_sources(path)
