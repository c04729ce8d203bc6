import json
import shutil

import pytest

from data_builders.records import InputError
from isoclr.cli import main
from isoclr.reproduce import Comparison, _folder, reproduce, table_of
from isoclr.shipped import shipped_folder
from isoclr.training.yaml_file import read_yaml

# The cheapest command that writes JSON and a figure.
SIMULATED = "simulate --output {output}/genomes --species 2 --genes 12 --seed 1"
BUILT = (
    "build --genome {output}/genomes/alpha_simulata.fa.gz "
    "--annotation {output}/genomes/alpha_simulata.gtf.gz --species alpha --output {output}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of results that were made by its commands, and a row that was not."""
    folder = tmp_path_factory.mktemp("model")
    results = folder / "results"
    results.mkdir()
    commands = {"groups": {"fast": [SIMULATED, BUILT], "slow": ["no-such-command"]}}
    (results / "commands.yaml").write_text(json.dumps(commands))
    reproduce(folder, folder, results)
    for path in results.glob("groups/*"):
        if path.suffix not in (".json", ".png"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "model")


def test_what_is_made_again_is_the_same(model, tmp_path, capsys):
    words = ["--model", model, "--data", model, "--output", tmp_path]
    assert main(["reproduce", *map(str, words)]) == 0
    (header, *lines) = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["file", "same", "differ"]
    assert {line.split()[0] for line in lines} == {"groups/report.json", "groups/report.png"}
    assert all(line.split()[2] == "0" for line in lines)
    assert int(lines[0].split()[1]) > 20


def test_what_differs_is_named_by_its_place(copy, tmp_path):
    path = copy / "results" / "groups" / "report.json"
    report = json.loads(path.read_text())
    report["dataset"]["groups"] += 1
    report["mean"] = 0.12345
    path.write_text(json.dumps(report))
    found = {each.name: each for each in reproduce(copy, copy, tmp_path / "again")}
    (differ,) = found["groups/report.json"].differ
    assert differ[0] == "dataset / groups"
    assert int(differ[1]) == int(differ[2]) + 1
    assert found["groups/report.json"].missing == ["mean"]
    assert "groups/report.json: dataset / groups: " in table_of(list(found.values()))


def test_numbers_that_print_alike_are_the_same():
    from isoclr.reproduce import _compare

    found = Comparison("x")
    old = {"a": [0.12341, {"b": 2.0}], "seconds": 1.0, "c": [1, 2]}
    _compare(old, {"a": [0.12344, {"b": 2.0}], "seconds": 9.0, "c": [1, 3]}, (), found)
    assert (found.same, found.differ, found.missing) == (3, [("c / 1", "2", "3")], [])


def test_commands_that_were_run_to_their_end_are_not_run_again(copy, tmp_path):
    reproduce(copy, copy, tmp_path / "again")
    report = tmp_path / "again" / "groups" / "report.json"
    report.unlink()
    (first, *_) = reproduce(copy, copy, tmp_path / "again")
    assert first.missing == ["the file"]


def test_wrong_commands_are_one_line(copy, tmp_path):
    path = copy / "results" / "commands.yaml"
    with pytest.raises(InputError, match="got no 'other', wanted one of groups"):
        reproduce(copy, copy, tmp_path, only=["other"])
    with pytest.raises(InputError, match="no such folder, wanted the data"):
        reproduce(copy, copy / "nowhere", tmp_path)
    with pytest.raises(InputError, match="failed: isoclr no-such-command: "):
        reproduce(copy, copy, tmp_path / "again", slow=True)
    for content, message in (
        ("[1]", "got list, wanted lines of isoclr"),
        ("groups: {fast: 3}", "wanted lines of isoclr, or"),
        ("groups: [3]", "wanted lines of isoclr, or"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            reproduce(copy, copy, tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="no such lines of isoclr for each result"):
        reproduce(copy, copy, tmp_path)


CARDS = sorted(shipped_folder("model_cards").glob("*/results/commands.yaml"))


@pytest.mark.parametrize("path", CARDS, ids=[path.parents[1].name for path in CARDS])
def test_the_commands_of_shipped_cards_name_their_results(path):
    for name, commands in read_yaml(path, "commands").items():
        assert any(_folder(path.parents[1], name).glob("*.json"))
        assert all("{output}" in line for line in commands["fast"])
