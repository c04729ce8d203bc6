import json
import re
import shutil

import pytest

from data_builders.records import InputError
from isoclr.cli import main
from isoclr.hub.commands import read_commands
from isoclr.reproduce import (
    Comparison,
    _compare,
    _compare_text,
    _folder,
    reproduce,
)
from isoclr.shipped import shipped_folder

# The cheapest command that writes JSON and a figure.
SIMULATED = "simulate --output {output}/genomes --species 2 --genes 12 --seed 1"
BUILT = (
    "build --genome {output}/genomes/alpha_simulata.fa.gz "
    "--annotation {output}/genomes/alpha_simulata.gtf.gz --species alpha --output {output}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of results that were made by its commands, and beside them what was made."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "results").mkdir()
    commands = {"fast": [SIMULATED, BUILT], "cpu_minutes": 0.1}
    (folder / "results" / "commands.yaml").write_text(json.dumps({"groups": commands}))
    reproduce(folder, folder, folder / "made")
    (folder / "results" / "groups").mkdir()
    for name in ("report.json", "report.png"):
        shutil.copy(folder / "made" / "groups" / name, folder / "results" / "groups")
    return folder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "model")


def test_what_is_made_again_is_the_same(model, tmp_path, capsys):
    words = ["--model", model, "--data", model, "--output", tmp_path]
    assert main(["reproduce", *map(str, words)]) == 0
    printed = capsys.readouterr()
    (header, *lines) = printed.out.splitlines()
    assert header.split()[:3] == ["file", "same", "differ"]
    assert {line.split()[0] for line in lines} == {"groups/report.json", "groups/report.png"}
    assert all(line.split()[2] == "0" for line in lines)
    assert int(lines[0].split()[1]) > 20
    said = printed.err.splitlines()
    assert said[0].endswith(
        ": 1 result, about 0.1 CPU minutes: groups (2 commands, 0.1 CPU minutes)"
    )
    assert said[1].startswith("isoclr simulate --output ")
    assert [line for line in said if re.fullmatch(r"groups: \d+ numbers compared, 0 differ", line)]


def test_what_differs_is_named_by_its_place(copy, capsys):
    path = copy / "results" / "groups" / "report.json"
    report = json.loads(path.read_text())
    report["dataset"]["groups"] += 1
    report["mean"] = 0.12345
    path.write_text(json.dumps(report))
    words = ["--model", copy, "--data", copy, "--output", copy / "made"]
    assert main(["reproduce", *map(str, words)]) == 1
    assert "groups/report.json: dataset / groups: " in capsys.readouterr().out
    (found, _) = reproduce(copy, copy, copy / "made")
    groups, mean = sorted(found.differ)
    assert groups[0] == "dataset / groups" and int(groups[1]) == int(groups[2]) + 1
    assert mean == ("mean", "there", "not made")


def test_rows_that_are_not_made_are_said_and_no_difference(copy):
    results = copy / "results" / "groups"
    commands = {"fast": [SIMULATED, BUILT], "not_made": ["mean"], "slow_rows": ["report.md"]}
    (copy / "results" / "commands.yaml").write_text(json.dumps({"groups": commands}))
    report = json.loads((results / "report.json").read_text()) | {"mean": 0.12345}
    (results / "report.json").write_text(json.dumps(report))
    (results / "report.md").write_text("1")
    shutil.copy(
        shipped_folder("model_cards") / "isoclr-base" / "curves.png", results / "report.png"
    )
    found = reproduce(copy, copy, copy / "made")
    assert not any(each.differ for each in found)
    assert [each.missing for each in found] == [
        ["mean"],
        ["report.md"],
        ["the figure, with these rows"],
    ]
    found = reproduce(copy, copy, copy / "made", slow=True)
    assert [each.differ for each in found] == [[], [("the file", "there", "not made")], []]


def test_numbers_that_print_alike_are_the_same():
    found = Comparison("x")
    old = {"a": [0.12341, {"b": 2.0}], "seconds": 1.0, "c": [1, 2]}
    new = {"a": [0.12344, {"b": 2.0}], "seconds": 9.0, "c": [1, 3]}
    _compare(old, new, (), found, frozenset())
    assert (found.same, found.differ, found.missing) == (3, [("c / 1", "2", "3")], [])


def test_rows_of_lists_are_told_apart_by_their_texts():
    found = Comparison("x")
    old = [{"task": "a", "of": "ours", "r": 0.5}, {"task": "a", "of": "control", "r": 0.4}]
    new = [{"task": "a", "of": "untrained", "r": 0.1}, {"task": "a", "of": "ours", "r": 0.5004}]
    _compare(old, new, (), found, frozenset({"control"}))
    assert (found.same, found.missing) == (3, ["control"])
    assert found.differ == [("a / untrained", "not there", "made")]


def test_tables_in_text_are_compared_by_their_cells():
    old = "| set | of | r |\n| a | ours | 0.50 ± 0.1 |\n| a | control | 0.4 |\n| b | ours | 0.3 |"
    new = "set  of    r\na    ours  0.51 ± 0.1\nb    ours  0.3"
    found = Comparison("x")
    _compare_text(old, new, found, frozenset({"control"}))
    assert (found.same, found.missing) == (1, ["control"])
    assert found.differ == [("a ours", "0.50 ± 0.1", "0.51 ± 0.1")]
    found = Comparison("x")
    _compare_text(old, new, found, frozenset())
    assert found.differ[1:] == [("a control", "a control 0.4", "no such line")]


def test_commands_that_were_run_to_their_end_are_not_run_again(copy):
    (copy / "made" / "groups" / "report.json").unlink()
    (first, *_) = reproduce(copy, copy, copy / "made")
    assert first.differ == [("the file", "there", "not made")]


def test_wrong_commands_are_one_line(copy, tmp_path):
    path = copy / "results" / "commands.yaml"
    with pytest.raises(InputError, match="got no 'other', wanted one of groups"):
        reproduce(copy, copy, tmp_path, only=["other"])
    with pytest.raises(InputError, match="no such folder, wanted the data"):
        reproduce(copy, copy / "nowhere", tmp_path)
    path.write_text(json.dumps({"groups": {"fast": [], "slow": ["no-such-command"]}}))
    with pytest.raises(InputError, match="failed: isoclr no-such-command: "):
        reproduce(copy, copy, tmp_path / "again", slow=True)
    for content, message in (
        ("[1]", "got list, wanted keys and values"),
        ("groups: {fast: 3}", "wanted lines of isoclr, or"),
        ("groups: [3]", "wanted lines of isoclr, or"),
        ("groups: {slow: [a]}", "wanted lines of isoclr, or"),
        ("groups: {fast: [a], quick: [a]}", "wanted lines of isoclr, or"),
        ("groups: {fast: [a], cpu_minutes: few}", "wanted lines of isoclr, or"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            reproduce(copy, copy, tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="commands.yaml: no such file, wanted the commands"):
        reproduce(copy, copy, tmp_path)


CARDS = sorted(shipped_folder("model_cards").glob("*/results/commands.yaml"))


@pytest.mark.parametrize("path", CARDS, ids=[path.parents[1].name for path in CARDS])
def test_the_commands_of_shipped_cards_name_their_results(path):
    for name, commands in read_commands(path).items():
        assert any(_folder(path.parents[1], name).glob("*.json"))
        assert all("{output}" in line for line in commands.fast)
