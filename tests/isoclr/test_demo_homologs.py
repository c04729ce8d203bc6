"""The demo of homologs: steps that a user can type, and a summary of what they made."""

import json
from pathlib import Path

from results import results_of

from isoclr import demo
from isoclr.cli import application, main
from isoclr.demo_homologs import homolog_commands, homolog_summary
from isoclr.shipped import recipes
from isoclr.training.curves import RunLog


def parsed(words):
    """The command that takes a command line."""
    context = application().make_context("isoclr", list(words))
    name, command, rest = context.command.resolve_command(context, list(words))
    return command.make_context(name, rest, parent=context)


def test_every_step_is_a_line_that_its_program_takes():
    commands = [command for _, command in homolog_commands(Path("out"))]
    assert [c[1] for c in commands if c[0] == "isoclr"] == [
        *("simulate", "build-homologs", "train", "information", "labels", "probe-coding")
    ]
    for command in commands:
        if command[0] == "isoclr":
            assert parsed(command[1:]).info_name == command[1]
    assert "homologs/demo" in recipes()


def test_the_option_runs_its_steps_and_says_its_summary(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(demo, "_run", lambda title, command: ran.append(command))
    monkeypatch.setattr("isoclr.demo_homologs.homolog_summary", lambda output, seconds: "the end")
    assert main(["demo", "--homologs", "--output", str(tmp_path / "demo")]) == 0
    assert ran == [command for _, command in homolog_commands(tmp_path / "demo")]
    assert capsys.readouterr().out.endswith("the end\n")


def test_the_summary_says_what_the_files_say(tmp_path):
    (tmp_path / "families").mkdir()
    report = {"families": 600, "sequences": 4800}
    (tmp_path / "families" / "report.json").write_text(json.dumps(report))
    (tmp_path / "model").mkdir()
    held_out = {"held_out_bound": 1.25, "held_out_log_n": 4.09, "held_out_permuted": -2.0}
    RunLog(tmp_path / "model" / "log.jsonl", 0).write(step=9, held_out_accuracy=0.5, **held_out)
    (tmp_path / "probe").mkdir()
    runs = [
        {"balanced_accuracy": a, "accuracy": a, "f1_macro": a, "auroc_macro": a}
        for a in (0.5, 0.75)
    ]
    results_of("multiclass", {"model": runs}).to_json(tmp_path / "probe" / "probe.json")
    text = homolog_summary(tmp_path, 59.6)
    assert "== Done in 60 s" in text and "4800 proteins in 600 families" in text
    assert "After 9 steps the bound on held-out families is 1.25 nats, of at most 4.09" in text
    assert "with permuted partners it is -2.00. The partner ranks first for 50%." in text
    assert f"{'model':<36} 0.625 ± " in text
