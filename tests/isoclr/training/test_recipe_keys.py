"""Keys of recipes are listed with their meaning, whatever the objective."""

import pytest

from isoclr.cli import main
from isoclr.objectives import OBJECTIVES, objective_class
from isoclr.training.recipe import Options, Recipe
from isoclr.training.recipe_keys import Key, attributes_of, recipe_keys


class Part(Options):
    """A part.

    Attributes:
        size: in nt,
            all of it.
        ends (both): where: 3' and 5'.

    Raises:
        other: nothing.
    """

    size: int
    ends: float | None = None


class Whole(Part):
    """Adds a part.

    Attributes:
        part: of the whole.
    """

    part: Part | None = None


def test_keys_have_the_words_of_their_docstrings():
    size = Key(name="size", type="int", meaning="in nt, all of it.", default=None)
    ends = Key(name="ends", type="float | None", meaning="where: 3' and 5'.", default="None")
    assert attributes_of(Part.__doc__) == {"size": size.meaning, "ends": ends.meaning}
    keys = list(recipe_keys(Whole))
    assert keys[:2] == [size, ends]
    assert [key.name for key in keys[2:]] == ["part", "part.size", "part.ends"]
    assert keys[2].meaning == "of the whole." and keys[2].default == "its keys"


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_every_key_of_every_objective_is_listed_and_explained(objective):
    recipe = objective_class(objective).recipe_class
    keys = {key.name: key for key in recipe_keys(recipe)}
    assert {name for name in keys if "." not in name} == set(recipe.model_fields)
    assert set(Recipe.model_fields) <= set(keys)
    silent = [name for name, key in keys.items() if "." not in name and not key.meaning]
    assert not silent, "say in the docstring what they are"


def test_the_command_prints_them(capsys):
    assert main(["recipes", "--keys", "isoforms"]) == 0
    out = capsys.readouterr().out
    assert "steps: int | str, required\n    duration of the run" in out
    assert main(["recipes", "--keys", "isoform"]) == 2
    assert "objective: got 'isoform', unknown" in capsys.readouterr().err
