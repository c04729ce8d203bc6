"""Families from the Hub: training reads them there, and the model's card names them."""

import json

import pytest
import yaml
from toy_families import TINY, simulated

from loopback_hub import run_client

SESSION = """
import sys
root, families, recipe, out = sys.argv[1:]
sys.path.insert(0, root)
import train
from huggingface_hub import HfApi
from data_builders.records import InputError
api = HfApi()
api.create_repo("tester/families", repo_type="dataset")
api.upload_folder(repo_id="tester/families", repo_type="dataset", folder_path=families)
train.main([recipe, "--output", f"{out}/hub", "--data", "tester/families"])
train.main([recipe, "--output", f"{out}/local", "--data", families])
api.create_repo("tester/others", repo_type="dataset")
api.upload_file(
    repo_id="tester/others", repo_type="dataset", path_in_repo="data/train.csv",
    path_or_fileobj=b"a,b\\n1,2\\n",
)
for wrong in ("tester/others", "tester/nothing"):
    try:
        train.main([recipe, "--output", f"{out}/wrong", "--data", wrong])
    except InputError as error:
        print("REFUSED", error)
"""


@pytest.mark.slow
def test_families_on_the_hub_are_trained_on_as_those_of_a_folder(request, hub, tmp_path):
    families = simulated(tmp_path / "families", families=24, sites=40, model="poisson")
    recipe = {
        "objective": "homologs",
        "data": "",
        "output": "",
        "model": TINY | {"projector_sizes": [8, 8, 4]},
        "steps": 2,
        "batch_size": 8,
        "held_out_families": 4,
        "tracker": None,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    root = request.config.rootpath
    done = run_client(hub, SESSION, root, families, tmp_path / "recipe.yaml", tmp_path)
    refused = [line for line in done.stdout.splitlines() if line.startswith("REFUSED")]
    assert len(refused) == 2, done.stdout + done.stderr
    assert "tester/others" in refused[0] and "group_id" in refused[0]
    assert "tester/nothing" in refused[1]
    logs = {
        name: [json.loads(line) for line in (tmp_path / name / "log.jsonl").open()]
        for name in ("hub", "local")
    }
    assert logs["hub"] == logs["local"] and len(logs["hub"]) == 2
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("hub", "local")]
    assert weights[0] == weights[1]
    assert "tester/families" in (tmp_path / "hub" / "README.md").read_text()
