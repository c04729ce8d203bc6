"""What a run says of the machine that it is on."""

import pytest

from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.training.environment import note_on_device


@pytest.mark.parametrize(
    ("compiled", "device", "said"),
    [(True, "cpu", True), (False, "cpu", False), (True, "cuda", False)],
)
def test_a_recipe_for_gpus_on_a_cpu_is_told(compiled, device, said):
    recipe = IsoformRecipe(data="groups", output="model", steps=1, compile=compiled)
    note = note_on_device(recipe, device)
    assert bool(note) == said and (not said or "--compile false" in note)
