"""A set of pairs goes to the Hub, and opens there with load_dataset, whole and streamed."""

import json

import pytest

from data_builders.interactions.dataset import write_interactions
from data_builders.records import InputError
from data_builders.simulate.interactions import simulate_interactions
from isoclr.hub.interactions import is_interactions, push_interactions
from loopback_hub import run_client

PUSH = "import sys; from isoclr.cli import main; sys.exit(main(['push', *sys.argv[1:]]))"
LOAD = """
import json, sys
sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)
from datasets import load_dataset
found = {}
for name in ("pairs", "rnas", "proteins"):
    whole = load_dataset(sys.argv[1], name, split="train")
    streamed = list(load_dataset(sys.argv[1], name, split="train", streaming=True))
    assert streamed == list(whole)
    found[name] = [len(whole), whole[0]]
json.dump(found, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_interactions(simulate_interactions(24, 24, seed=0), folder)
    return folder


def test_there_and_back(hub, folder, tmp_path):
    simulated = simulate_interactions(24, 24, seed=0)
    (folder / "notes.txt").write_text("nobody's business")
    done = run_client(hub, PUSH, folder, "tester/pairs")
    assert "tester/pairs" in done.stdout
    run_client(hub, LOAD, "tester/pairs", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name: count for name, (count, _) in found.items()} == {
        "pairs": len(simulated),
        "rnas": 24,
        "proteins": 24,
    }
    first = simulated.rnas[0]
    assert found["rnas"][1]["sequence"] == first.sequence
    assert found["pairs"][1] == {
        "rna_id": simulated.rnas[simulated.rna[0]].id,
        "protein_id": simulated.proteins[simulated.protein[0]].id,
        "label": int(simulated.label[0]),
        "source": "simulated",
    }


def test_refuses_before_it_uploads(folder, tmp_path):
    assert is_interactions(folder)
    assert not is_interactions(tmp_path)
    with pytest.raises(InputError, match=r"rnas.parquet: got 'No such file"):
        push_interactions(tmp_path, "tester/none")
