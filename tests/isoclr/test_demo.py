import json
from pathlib import Path

import pytest

from data_builders.records import InputError
from isoclr import demo
from isoclr.cli import application
from isoclr.training.curves import RunLog

OUTPUT = Path("out")
TITLE = "Embeddings of one genome's transcripts, by the shipped model"


@pytest.fixture(params=[True, False], ids=["shipped", "not shipped"])
def shipped(request, tmp_path, monkeypatch):
    folder = tmp_path / "isoclr-small"
    monkeypatch.setattr(demo, "shipped_model", lambda: folder)
    if request.param:
        folder.mkdir()
    return request.param


def parsed(words):
    """The options of a command line in their order, as its command understands it."""
    context = application().make_context("isoclr", list(words))
    name, command, rest = context.command.resolve_command(context, list(words))
    return command.make_context(name, rest, parent=context)


def test_every_step_is_a_line_that_its_program_takes(shipped):
    for _, command in demo.demo_commands(OUTPUT):
        if command[0] == "isoclr":
            assert parsed(command[1:]).info_name == command[1]
        else:
            assert command[0] == "python"


def test_the_last_step_embeds_with_the_shipped_model_where_there_is_one(shipped):
    title, command = demo.demo_commands(OUTPUT)[-1]
    assert (title == TITLE) == shipped
    if shipped:
        options = parsed(command[1:]).params
        assert options["model"] == "isoclr-small" and options["species"] == ["alpha_simulata"]
        assert len(options["genome"]) == len(options["annotation"]) == 1


def test_the_summary_says_what_the_shipped_model_made(shipped, groups_folder, probe_file, tmp_path):
    (tmp_path / "groups").symlink_to(groups_folder)
    (tmp_path / "probe").symlink_to(probe_file.parent)
    (tmp_path / "model").mkdir()
    held_out = {"held_out_loss": 2.5, "shuffled_loss": 6.25, "held_out_accuracy": 0.125}
    RunLog(tmp_path / "model" / "log.jsonl", 0).write(step=7, held_out_pairs=64, **held_out)
    text = demo.summary(tmp_path, 61.4)
    n = json.loads((groups_folder / "report.json").read_text())["dataset"]["transcripts"]
    assert "== Done in 61 s" in text and f"{n} transcripts in" in text
    assert "After 7 steps the partner ranks first for 12% of the 64 held-out pairs" in text
    assert f"{'k-mers':<31} 0.560 ± " in text
    made = f"{tmp_path}/shipped.parquet     of one species, by isoclr-small"
    absent = "isoclr-small is not in this installation: nothing embedded by it"
    assert (made in text, absent in text) == (shipped, not shipped)


def test_what_no_demo_made_is_not_replaced(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(InputError, match="not empty, and no demo made it"):
        demo.run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
