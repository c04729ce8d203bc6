import dataclasses

import pytest
import yaml

from data_builders.records import InputError
from isoclr.training.recipe import Recipe, read_recipe

MINIMAL = "data: groups\noutput: out\nsteps: 10\n"


@pytest.fixture
def recipe_file(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_the_papers(recipe_file):
    recipe = read_recipe(recipe_file(MINIMAL))
    assert recipe == Recipe(data="groups", output="out", steps=10)
    assert (recipe.batch_size, recipe.learning_rate, recipe.mask_fraction) == (768, 0.005, 0.15)
    assert recipe.model_config().filters == [64, 128, 128, 256]


def test_the_command_line_overrides_the_file(recipe_file):
    path = recipe_file(MINIMAL + "model: {preset: small}\n")
    words = ["--steps", "20", "--learning-rate=1", "--model.norm", "layer", "--count_weights=false"]
    recipe = read_recipe(path, words)
    assert (recipe.steps, recipe.learning_rate, recipe.count_weights) == (20, 1.0, False)
    assert recipe.model == {"preset": "small", "norm": "layer"}
    assert recipe.model_config().norm == "layer"


def test_a_saved_recipe_reads_back(recipe_file, tmp_path):
    recipe = read_recipe(recipe_file(MINIMAL + "micro_batch_tokens: 4096\n"))
    recipe.save(tmp_path / "saved.yaml")
    assert read_recipe(tmp_path / "saved.yaml") == recipe
    assert set(yaml.safe_load((tmp_path / "saved.yaml").read_text())) == {
        field.name for field in dataclasses.fields(Recipe)
    }


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (MINIMAL + "batchsize: 3\n", [], "batchsize: unknown key; did you mean batch_size?"),
        (MINIMAL, ["--lerning_rate", "1"], "lerning_rate: unknown key; did you mean learning_rate"),
        (MINIMAL, ["--model.kernelsize", "3"], "kernelsize: unknown key; did you mean kernel_size"),
        (MINIMAL, ["--steps", "many"], "steps: got 'many', wanted int"),
        (MINIMAL, ["--steps", "true"], "steps: got True, wanted int"),
        (MINIMAL, ["--steps", "0"], "steps: got 0, wanted at least 1"),
        (MINIMAL, ["--mask_fraction", "1"], "mask_fraction: got 1.0"),
        (MINIMAL, ["--model.norm", "group"], "model.norm: got 'group'"),
        (MINIMAL, ["--steps"], "--steps: wanted a value"),
        (MINIMAL, ["steps", "3"], "got 'steps', wanted --key value"),
        ("data: groups\n", [], "missing output, steps"),
        ("- a list\n", [], "got list, wanted keys and values"),
        ("a: [\n", [], "not YAML"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(recipe_file, text, words, message):
    with pytest.raises(InputError) as error:
        read_recipe(recipe_file(text), words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: no such recipe"):
        read_recipe(tmp_path / "nowhere.yaml")


def test_the_recipes_that_come_with_it_are_valid(request):
    recipes = sorted((request.config.rootpath / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        read_recipe(path)
