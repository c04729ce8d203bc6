"""A damaged or nonsensical recipe is read, or refused in one line; never a traceback."""

import random

import pytest

from data_builders.records import InputError
from isoclr.objectives import OBJECTIVES, objective_class, read_recipe
from mutations import DAMAGE

MINIMAL = "data: a\noutput: b\nsteps: 3\n"
VALUES = ("null", "true", "-1", "0", "1.5", "1e400", ".inf", ".nan", "[]", "{}", "[[]]", "''")
VALUES += ("{a: {b: [1]}}", "2020-01-01", "x", "10 epochs", "-5 %", "9" * 20 + " epochs", "[1, 2]")
VALUES += ("[a, b]", "{path: a}", "[{path: 3}]", "{splice: -1}", "{graft: 1}", "{preset: nope}")
VALUES += ("{filters: 3}", "{filters: [a]}", "{filters: []}", "{kernel_size: x}", "{dropout: 2}")
VALUES += ("{auto_map: 3}", "{id2label: 3}", "{dtype: x}", "{num_labels: -1}", "😀", "'\\0'")


def read(path, words=()):
    """Whether a recipe was read; what is refused must be one line that names the place."""
    try:
        read_recipe(path, words)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        assert str(error).startswith((str(path), "command line: ")), error
        return False
    return True


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_any_value_of_any_key_is_read_or_refused(objective, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"objective: {objective}\n{MINIMAL}")
    keys = [key for key in objective_class(objective).recipe_class.model_fields if key != "data"]
    refused = sum(not read(path, [f"--{key}", value]) for key in keys for value in VALUES)
    assert refused > len(keys) * len(VALUES) / 2
    assert read(path)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_recipes_are_read_or_refused(request, damage, tmp_path):
    rng, path = random.Random(0), tmp_path / "damaged.yaml"
    recipes = sorted((request.config.rootpath / "recipes").glob("*.yaml"))
    for _ in range(25):
        content = rng.choice(recipes).read_bytes()
        for _ in range(rng.choice((1, 1, 3))):
            content = damage(content, rng)
        path.write_bytes(content)
        read(path)
