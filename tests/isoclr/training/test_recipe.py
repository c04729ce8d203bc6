import pytest
import yaml

from data_builders.records import InputError
from isoclr.objectives import read_recipe
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.objectives.sequences import DataSource
from isoclr.training.recipe import duration

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
    assert recipe == IsoformRecipe(data="groups", output="out", steps=10)
    assert (recipe.batch_size, recipe.learning_rate, recipe.mask_fraction) == (768, 0.005, 0.15)
    assert recipe.encoder_config().filters == [64, 128, 128, 256]


def test_the_command_line_overrides_the_file(recipe_file):
    path = recipe_file(MINIMAL + "model: {preset: small}\n")
    words = ["--steps", "20", "--learning-rate=1", "--model.norm", "layer", "--count_weights=false"]
    recipe = read_recipe(path, words)
    assert (recipe.steps, recipe.learning_rate, recipe.count_weights) == (20, 1.0, False)
    assert recipe.model == {"preset": "small", "norm": "layer"}
    assert recipe.encoder_config().norm == "layer"


def test_a_saved_recipe_reads_back(recipe_file, tmp_path):
    recipe = read_recipe(recipe_file(MINIMAL + "micro_batch_tokens: 4096\n"))
    recipe.save(tmp_path / "saved.yaml")
    assert read_recipe(tmp_path / "saved.yaml") == recipe
    saved = yaml.safe_load((tmp_path / "saved.yaml").read_text())
    assert set(saved) == set(IsoformRecipe.model_fields)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (MINIMAL + "batchsize: 3\n", [], "batchsize: unknown key; did you mean batch_size?"),
        (MINIMAL, ["--lerning_rate", "1"], "lerning_rate: unknown key; did you mean learning_rate"),
        (MINIMAL, ["--model.kernelsize", "3"], "kernelsize: unknown key; did you mean kernel_size"),
        (MINIMAL, ["--steps", "many"], "steps: got 'many', wanted steps or '10 epochs', above 0"),
        (MINIMAL, ["--steps", "true"], "steps: got True, wanted steps or"),
        (MINIMAL, ["--steps", "0"], "steps: got 0, wanted steps"),
        (MINIMAL, ["--steps", "10 %"], "steps: got '10 %', wanted steps"),
        (MINIMAL, ["--warmup_steps", "-1"], "warmup_steps: got -1, wanted steps"),
        (MINIMAL, ["--batch_size", "0"], "batch_size: got 0, wanted at least 1"),
        (MINIMAL, ["--workers", "-1"], "workers: got -1, wanted at least 0"),
        (MINIMAL, ["--mask_fraction", "1"], "mask_fraction: got 1, wanted 0 <= it < 1"),
        (MINIMAL, ["--mask_fraction", "[0.3, 0.1]"], "mask_fraction: got [0.3, 0.1]"),
        (MINIMAL, ["--mask_fraction", "[a, b]"], "mask_fraction: got ['a', 'b']"),
        (MINIMAL, ["--mark_mask_fraction", "2"], "mark_mask_fraction: got 2"),
        (MINIMAL, ["--schedule", "step"], "schedule: got 'step', wanted one of cosine, inv"),
        (MINIMAL, ["--precision", "half"], "precision: got 'half', wanted one of float32, bf"),
        (MINIMAL, ["--data", "[]"], "data: got [], wanted a path or a list of them"),
        (
            MINIMAL,
            ["--data", "[{path: a, wait: 2}]"],
            "data.0.wait: unknown key; did you",
        ),
        (
            MINIMAL,
            ["--data", "[{path: a, weight: 0}]"],
            "data.0.weight: got 0, wanted a",
        ),
        (MINIMAL, ["--token_cache", "c", "--streaming", "true"], "token_cache: got one beside"),
        (MINIMAL, ["--model.norm", "group"], "model.norm: got 'group'"),
        (MINIMAL, ["--pairs", "{wieght: 1}"], "pairs.wieght: unknown key; "),
        (MINIMAL, ["--pairs.graf", "true"], "pairs.graf: unknown key; did you mean graft?"),
        (MINIMAL, ["--pairs", "3"], "pairs: got 3, wanted keys and values"),
        (MINIMAL, ["--data.path", "a"], "--data.path: data holds 'groups', not keys"),
        (MINIMAL, ["--objective", "isofroms"], "unknown; did you mean isoforms?"),
        (MINIMAL, ["--objective", "[1]"], "objective: got [1], unknown"),
        (MINIMAL, ["--learning_rate", "-1"], "learning_rate: got -1, wanted a number above 0"),
        (MINIMAL, ["--learning_rate", ".inf"], "learning_rate: got inf, wanted a finite number"),
        (MINIMAL, ["--weight_decay", "-1e-5"], "weight_decay: got -1e-05, wanted at least 0"),
        (MINIMAL, ["--seed", "x: ["], "--seed: not YAML"),
        (MINIMAL, ["--probe", "{lable: a}"], "probe.lable: unknown key; did you mean label"),
        (MINIMAL, ["--probe", "{label: a}"], "missing probe.labels"),
        (MINIMAL, ["--output", "''"], "output: got '', wanted text"),
        (MINIMAL, ["--output", r'"a\0b"'], r"output: got 'a\x00b', wanted text without control"),
        (MINIMAL, ["--steps"], "--steps: wanted a value"),
        (MINIMAL + "steps: 11\n", [], "line 4: got the key steps twice, wanted it once"),
        (MINIMAL + "1: 2\n", [], "1: unknown key"),
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


def test_durations_are_steps_epochs_or_shares(recipe_file):
    words = ["--steps", "40 epochs", "--warmup_steps", "2.5 epochs", "--cooldown_steps", "10 %"]
    recipe = read_recipe(recipe_file(MINIMAL), words)
    names = ("steps", "warmup_steps", "cooldown_steps")
    assert [duration(recipe, name, steps_per_epoch=30) for name in names] == [1200, 75, 120]
    assert duration(read_recipe(recipe_file(MINIMAL)), "steps", 30) == 10


def test_data_is_one_path_or_several_with_weights(recipe_file):
    words = ["--data", "[a, {path: b, config: c, weight: 0.5}]"]
    recipe = read_recipe(recipe_file(MINIMAL), words)
    assert recipe.data == [
        DataSource(path="a"),
        DataSource(path="b", config="c", weight=0.5),
    ]
    assert read_recipe(recipe_file(MINIMAL)).data == [DataSource(path="groups")]


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: no such recipe"):
        read_recipe(tmp_path / "nowhere.yaml")


def test_the_recipes_that_come_with_it_are_valid(request):
    recipes = sorted((request.config.rootpath / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        read_recipe(path)
