from pathlib import Path

import pytest
from pydantic import ValidationError

from data_builders.records import InputError
from isoclr.evaluation.settings import (
    DEFAULTS,
    FineTunedSettings,
    FitSettings,
    Settings,
    read_settings,
)

RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "finetune" / "isoclr.yaml"


def test_the_recipe_has_the_papers_dropout_and_names_every_setting():
    settings = read_settings(RECIPE)
    assert settings.from_scratch == FitSettings()
    assert settings.fine_tuned == FineTunedSettings(**FitSettings(learning_rate=3e-5).model_dump())
    assert settings.fine_tuned.dropout == 0.3
    assert all(f"  {name}:" in RECIPE.read_text() for name in FitSettings.model_fields)


def test_settings_that_a_file_leaves_out_are_the_defaults(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("fine_tuned: {patience: 2}")
    assert read_settings(path) == Settings(fine_tuned=FineTunedSettings(patience=2))
    assert read_settings(path).fine_tuned.learning_rate == DEFAULTS.fine_tuned.learning_rate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frozen: {}", "s.yaml: frozen: unknown key; known: from_scratch, fine_tuned, saluki_like"),
        (
            "fine_tuned: {dropuot: 0.1}",
            "s.yaml: fine_tuned.dropuot: unknown key; did you mean dropout?",
        ),
        (
            "fine_tuned: {dropout: 1.0}",
            "s.yaml: fine_tuned.dropout: got 1.0, wanted a number below 1",
        ),
        ("from_scratch: {patience: 0}", "from_scratch.patience: got 0, wanted at least 1"),
        ("from_scratch: {learning_rate: fast}", "learning_rate: got 'fast', wanted float"),
        ("from_scratch: 1", "s.yaml: from_scratch: got 1, wanted keys and values"),
        ("[1]", "s.yaml: got list, wanted keys and values"),
        ("a: [", "s.yaml: not YAML"),
    ],
)
def test_bad_settings_are_named(tmp_path, text, message):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_settings(path)


def test_settings_of_the_wrong_type():
    with pytest.raises(ValidationError, match="batch_size"):
        FitSettings(batch_size=True)


def test_defaults_change_a_trained_encoder_gently():
    assert DEFAULTS.fine_tuned.dropout == 0
    assert DEFAULTS.fine_tuned.learning_rate < DEFAULTS.from_scratch.learning_rate / 10
