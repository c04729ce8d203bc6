"""The demo of RNA–protein pairs: steps that a user can type, and a summary of what they made."""

from pathlib import Path

from results import results_of

from isoclr import demo
from isoclr.cli import application, main
from isoclr.demo_interactions import interaction_commands, interaction_summary
from isoclr.training.curves import RunLog


def parsed(words):
    """The command that takes a command line."""
    context = application().make_context("isoclr", list(words))
    name, command, rest = context.command.resolve_command(context, list(words))
    return command.make_context(name, rest, parent=context)


def test_every_step_is_a_line_that_its_program_takes():
    commands = [command for _, command in interaction_commands(Path("out"))]
    assert [c[1] for c in commands if c[0] == "isoclr"] == [
        *("interactions", "interactions", "train", "interact")
    ]
    for command in commands:
        if command[0] == "isoclr":
            assert parsed(command[1:]).info_name == command[1]


def test_the_option_runs_its_steps_and_says_its_summary(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(demo, "_run", lambda title, command: ran.append(command))
    monkeypatch.setattr("isoclr.demo_interactions.interaction_summary", lambda *_: "the end")
    folder = str(tmp_path / "demo")
    assert main(["demo", "--interactions", "--homologs", "--output", folder]) == 2
    assert "got --homologs too" in capsys.readouterr().err and not ran
    assert main(["demo", "--interactions", "--output", folder]) == 0
    assert ran == [command for _, command in interaction_commands(Path(folder))]
    assert capsys.readouterr().out.endswith("the end\n")


def test_the_summary_says_what_the_files_say(tmp_path):
    (tmp_path / "controls").mkdir()
    names = ("auroc", "auprc", "mcc", "f1", "precision", "recall", "accuracy")
    runs = [dict.fromkeys(names, value) for value in (0.5, 0.75)]
    path = tmp_path / "controls" / "simulated_both-new_given.json"
    results_of("binary", {"look-up table": runs}).to_json(path)
    (tmp_path / "model").mkdir()
    log = RunLog(tmp_path / "model" / "log.jsonl", 0)
    log.write(step=1, loss=0.7)
    for step, score in enumerate((0.5, 0.92, 0.9), 2):
        log.write(step=step, held_out_auroc=score)
    text = interaction_summary(tmp_path, 59.6)
    assert "== Done in 60 s" in text
    assert f"{'look-up table':<22} 0.625 ± " in text
    assert "has 0.920 on its validation pairs" in text
