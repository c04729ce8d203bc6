import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
import typer

from data_builders.storage import one_writer, one_writer_of_file
from isoclr import cli
from isoclr.cli import COMMANDS, application, main
from isoclr.cli.command import command_of
from isoclr.cli.printed import Printed

Option = typer.Option


def contexts():
    """Name and context-free command of every command and kind of command."""
    group = application()
    context = group.make_context("isoclr", ["build"])
    for names in COMMANDS.values():
        for name in names:
            command = group.get_command(context, name)
            kinds = getattr(command, "commands", None)
            if kinds is None:
                yield name, command
            else:
                yield from ((f"{name} {kind}", found) for kind, found in kinds.items())


EVERY = dict(contexts())


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_help_and_an_example_that_it_takes(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert EVERY[name].help.split("\n")[0][:30] in printed
    assert "<bool>" not in printed  # a flag takes no value
    lines = "\n".join(EVERY[name].examples).replace("\\\n", " ").splitlines()
    assert lines and "Examples: " in printed
    for line in lines:
        words = shlex.split(line.partition(" > ")[0].partition(" | ")[0])
        assert words[0] == "isoclr" and " ".join(words[1:]).startswith(name), line
        EVERY[name].make_context(name, words[1 + len(name.split()) :])


@pytest.mark.parametrize("name", EVERY)
def test_every_option_has_help(name):
    for param in EVERY[name].params:
        assert param.help, f"{name}: {param.name}"


WRITERS = {
    name: option.metavar
    for name, command in EVERY.items()
    for option in command.params
    if option.name == "output"
}
ENDINGS = {
    "report": ".html",
    "expression simulate": ".h5ad",
    "select": ".gtf",
}  # those of the others: .parquet
BUILDS = ("build", "build-homologs", "build-interactions")  # lock it themselves: test_staging.py


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in BUILDS])
def test_a_command_writes_into_no_output_that_another_writes(name, tmp_path, capsys):
    is_folder = WRITERS[name] == "DIR"
    held = "held" if is_folder else f"held{ENDINGS.get(name, '.parquet')}"
    output = tmp_path / held
    lines = "\n".join(EVERY[name].examples).replace("\\\n", " ").splitlines()
    line = next((line for line in lines if "--output" in line), lines[0])
    words = [*shlex.split(line.partition(" > ")[0])[1:], "--output", str(output)]
    hold = one_writer if is_folder else one_writer_of_file
    with hold(output, "a test"):
        assert main(words) == 2
        what = "a demo" if "demo" in name else f"'isoclr {name}'"
        message = f"{held}: got {what} of this process in it, wanted one at a time"
        assert message in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == [
            held if is_folder else f".{held}.lock"
        ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [n for n, metavar in WRITERS.items() if metavar == "FILE"])
def test_an_ending_that_no_command_writes_is_refused_first(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(EVERY[name].examples).replace("\\\n", " ").splitlines()
    words = [*shlex.split(lines[0].partition(" > ")[0])[1:], "--output", "a.xyz"]
    assert main(words) == 2
    assert "a.xyz: got the ending '.xyz', wanted ." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


WITHOUT_JSON = {
    "train": "its log is JSON: log.jsonl",
    "app": "it serves a page",
    "docs": "it prints a guide as it is",
    "demo": "it runs other commands, whose words these are",
    "expression demo": "it runs other commands, whose words these are",
}


@pytest.mark.parametrize("name", EVERY)
def test_every_command_that_finds_something_says_it_as_json_too(name):
    has = any("--json" in param.opts for param in EVERY[name].params)
    assert has == (name not in WITHOUT_JSON), WITHOUT_JSON.get(name, "return Printed")


def test_an_empty_value_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["simulate", "--output", ""], ["embed", "--model", " ", "--output", "a.npz"]):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert f"{words[1]}: got an empty text, wanted a value" in error
    assert not list(tmp_path.iterdir())


def run(function, *words):
    command = command_of(function, "toy")
    return command.main(list(words), prog_name="toy", standalone_mode=False)


@dataclass(kw_only=True)
class Places:
    """Places, each with what lies in it."""

    PANEL: ClassVar = "Places"

    place: Annotated[list[str] | None, Option(help="where")] = None
    thing: Annotated[list[str] | None, Option(help="what")] = None
    quick: Annotated[bool, Option("--quick", help="soon")] = False
    order: list = field(init=False, default_factory=list)

    def read_order(self, order):
        self.order = order


def test_options_of_a_group_come_in_the_order_of_the_command_line():
    seen = {}

    def toy(places: Places, rest: Annotated[list[str], typer.Argument(help="more")]) -> None:
        """Look."""
        seen.update(vars(places), rest=rest)

    run(toy, "--place", "a", "--thing=x", "r", "--quick", "--place", "b", "s", "--thing", "y")
    assert seen["order"] == [
        ("place", "a"),
        ("thing", "x"),
        ("quick", True),
        ("place", "b"),
        ("thing", "y"),
    ]
    assert (seen["place"], seen["thing"], seen["rest"]) == (["a", "b"], ["x", "y"], ["r", "s"])


@dataclass
class Found:
    """Something found."""

    score: float
    where: Path


def toy_of_json() -> Printed:
    """Find something."""
    print("trained by the way")
    found = Found(float("nan"), Path("a/b"))
    data = {"found": found, "of": (1, {2}), "array": np.arange(3) / 2, "n": np.int64(7)}
    return Printed(text="found it", data=data, status=1)


def test_json_is_alone_on_standard_output(capsys):
    assert run(toy_of_json, "--json") == 1
    printed = capsys.readouterr()
    assert printed.err == "trained by the way\n"
    assert json.loads(printed.out) == {
        "found": {"score": None, "where": "a/b"},
        "of": [1, [2]],
        "array": [0.0, 0.5, 1.0],
        "n": 7,
    }
    assert run(toy_of_json) == 1
    assert capsys.readouterr().out == "trained by the way\nfound it\n"


def test_json_of_commands_and_of_errors(tmp_path, capsys):
    output = tmp_path / "a.tsv"
    words = ["expression", "simulate", "--samples", "6", "--genes", "20", "--tissues", "2"]
    assert main([*words, "--output", str(output), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 6 and found["files"][0] == str(output)
    assert main(["recipes", "laptop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["batch_size"] > 0
    assert main(["recipes", "--keys", "isoforms", "--json"]) == 0
    keys = {key["name"] for key in json.loads(capsys.readouterr().out)["keys"]}
    assert {"steps", "mask_fraction"} <= keys
    assert main(["map", "nowhere.parquet", "--output", str(tmp_path), "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "isoclr nothing: No such command 'nothing'"),
        (["biuld"], "Did you mean 'build'?"),
        (["labels", "half-lif"], "isoclr labels: wanted FILE"),
        (["push", "folder"], "isoclr push: wanted FOLDER and REPO, or --space OWNER/NAME"),
        (["embed"], "isoclr embed: wanted --output FILE"),
        (["go", "--max-share", "x"], "isoclr go: --max-share: got 'x', wanted a number"),
        (["go", "--aspect", "X"], "--aspect: got 'X', wanted one of 'F', 'P', 'C'"),
        (["simulate", "--output", "o", "--seed"], "--seed"),
    ],
)
def test_a_line_that_cannot_be_understood_is_explained_in_one(words, message, capsys):
    assert main(words) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("isoclr ") and message in error


def test_of_an_option_given_twice_the_last_counts(capsys):
    assert main(["recipes", "--keys", "isoforms", "--keys", "homologs"]) == 0
    twice = capsys.readouterr().out
    assert main(["recipes", "--keys", "homologs"]) == 0
    assert capsys.readouterr().out == twice


def test_no_command_is_the_list_of_commands(capsys):
    assert main([]) == 2
    assert "Write isoform groups" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.fa"), 2, "x.fa: No such file or dir"),
        (OSError("disk of straw"), 2, "disk of straw"),
        (KeyboardInterrupt(), 130, "isoclr simulate: interrupted"),
    ],
)
def test_what_goes_wrong_in_a_command_is_one_line(error, status, message, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("data_builders.simulate.clade.simulate_clade", fail)
    assert main(["simulate", "--output", "o"]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("isoclr simulate: ") and message in line


def test_an_interrupt_while_a_class_is_made_is_one_too(monkeypatch, capsys):
    class Interrupting:
        def __set_name__(self, owner, name):
            raise KeyboardInterrupt

    def make_class(*_, **__):
        type("Made", (), {"field": Interrupting()})

    monkeypatch.setattr("data_builders.simulate.clade.simulate_clade", make_class)
    assert main(["simulate", "--output", "o"]) == 130
    assert capsys.readouterr().err == "isoclr simulate: interrupted\n"


def test_a_reader_that_has_seen_enough_ends_a_command_quietly():
    code = "import sys; from isoclr.cli import main; sys.exit(main(['docs', 'FORMATS']))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_shells_complete_commands_and_options():
    def complete(words, number):
        environment = {"_ISOCLR_COMPLETE": "complete_bash", "COMP_CWORD": str(number)}
        done = subprocess.run(
            [sys.executable, "-m", "isoclr"],
            env=os.environ | environment | {"COMP_WORDS": words},
            capture_output=True,
            text=True,
        )
        return done.stdout.split()

    assert complete("isoclr emb", 1) == ["embed"]
    assert {"--genome", "--groups", "--guess-cds"} <= set(complete("isoclr embed --g", 2))


def test_commands_are_modules_of_their_name():
    for names in cli.COMMANDS.values():
        for name in names:
            assert cli.application().get_command(None, name) is not None


@pytest.mark.parametrize("words", [["--quiet", "recipes"], ["recipes", "--quiet"]])
def test_quiet_is_taken_at_either_side_of_a_command(words, capsys):
    from data_builders import progress

    assert main(words) == 0
    assert "laptop" in capsys.readouterr().out
    assert progress.progress([1], keep=True).disable
    assert main(["recipes"]) == 0
    assert not progress.progress([1], keep=True).disable


@pytest.mark.parametrize("words", [["--verbose", "docs", "none"], ["docs", "none", "--verbose"]])
def test_verbose_says_where_an_error_arose(words, capsys, monkeypatch):
    for name in cli._VERBOSITIES:
        monkeypatch.setenv(name, "before")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    assert main(words) == 2
    *trace, line = capsys.readouterr().err.splitlines()
    assert trace[0].startswith("Traceback") and trace[-1].startswith("data_builders.records.InputE")
    assert line.startswith("isoclr docs: ")
    assert all(os.environ[name] == "info" for name in cli._VERBOSITIES)
    assert main([word for word in words if word != "--verbose"]) == 2
    assert capsys.readouterr().err.splitlines() == [line]
