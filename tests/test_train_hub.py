"""train.py with data from the Hub, streamed or not, and a model that goes there."""

import json

import pytest
import yaml

from data_builders.groups.build import GenomeSource, build
from data_builders.groups.grouping import Grouping
from loopback_hub import run_client

SESSION = """
import sys
from pathlib import Path
root, groups, recipe, out = sys.argv[1:]
sys.path.insert(0, root)
import train
from isoclr.hub.dataset import push_dataset
push_dataset([groups], "tester/groups")
for name, words in {
    "streamed": ["--streaming", "true", "--workers", "1", "--push_to_hub", "tester/model"],
    "again": ["--streaming", "true"],
    "mapped": [],
}.items():
    train.main([recipe, "--output", f"{out}/{name}", *words])
"""


@pytest.mark.slow
def test_streamed_from_the_hub_and_shared_there(request, hub, clade, tmp_path):
    groups = tmp_path / "clade"  # the name of its configuration
    sources = zip(clade.genomes, clade.annotations, clade.species, strict=True)
    sources = [GenomeSource(*source) for source in sources]
    build(sources, groups, Grouping(rows_per_file=5), homology=clade.homology)
    recipe = {
        "data": [{"path": "tester/groups", "config": "clade"}],
        "output": "",
        "model": {"filters": [8, 8], "blocks": [1, 1], "dilations": [1, 2]}
        | {"projector_sizes": [8, 8, 4]},
        "steps": 4,
        "batch_size": 8,
        "held_out_groups": 3,
        "micro_batch_tokens": 4096,
        "checkpoint_every": 2,
        "tracker": None,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    root = request.config.rootpath
    done = run_client(hub, SESSION, root, groups, tmp_path / "recipe.yaml", tmp_path)
    assert f"{hub.url}/tester/model" in done.stdout
    assert "in 4 row groups; one of" in done.stderr
    files = hub.repositories["model", "tester/model"].at("main").files
    assert {"model.safetensors", "README.md", "recipe.yaml", "curves.png"} <= set(files)
    assert b"tester/groups" in files["README.md"].data
    logs = {
        name: [json.loads(line) for line in (tmp_path / name / "log.jsonl").open()]
        for name in ("streamed", "again", "mapped")
    }
    assert logs["streamed"] == logs["again"]  # a worker process or none: the same order
    assert [len(log) for log in logs.values()] == [4, 4, 4]
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("streamed", "again")]
    assert weights[0] == weights[1]


STREAM = """
import json, sys
from data_builders.records import InputError
from isoclr.hub.dataset import push_dataset
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.objectives.isoforms.sources import build_batches
from modeling_isoclr import IsoCLRTokenizer
folder, *tried = sys.argv[1:]
push_dataset(folder, "tester/default")
push_dataset([folder], "tester/named")
for data in map(json.loads, tried):
    recipe = {"data": data, "output": "x", "steps": 1, "held_out_groups": 2, "batch_size": 4}
    recipe = IsoformRecipe.model_validate({**recipe, "streaming": True})
    try:
        source = build_batches(recipe, IsoCLRTokenizer(), 0, 1).source
        located = source.locate(0)
        found = [located.groups.group_id(row) for row in located.rows]
        print(json.dumps([found, source.fingerprint]))
    except InputError as error:
        print(json.dumps(str(error)))
"""


@pytest.mark.slow
def test_each_configuration_of_a_hub_dataset_streams(hub, clade, tmp_path):
    folder = tmp_path / "clade"
    sources = zip(clade.genomes, clade.annotations, clade.species, strict=True)
    build([GenomeSource(*source) for source in sources], folder, Grouping(rows_per_file=5))
    tried = [
        [str(folder)],
        ["tester/default"],
        [{"path": "tester/default", "config": "default"}],
        [{"path": "tester/named", "config": "clade"}],
        ["tester/named"],
        [{"path": "tester/named", "config": "other"}],
        ["tester/default", "tester/default"],
        ["tester/absent"],
    ]
    done = run_client(hub, STREAM, folder, *map(json.dumps, tried))
    local, plain, default, named, *errors = map(json.loads, done.stdout.splitlines())
    assert local[0] == plain[0] == default[0] == named[0] and len(local[0]) > 1
    checksums = {found[1][0][1] for found in (local, plain, default, named)}
    assert len(checksums) == 1  # the same content, wherever it lies
    unnamed, other, twice, absent = errors
    assert "of the configuration 'default' on the Hub, wanted one of clade" in unnamed
    assert "of the configuration 'other' on the Hub, wanted one of clade" in other
    assert "data: got the groups of tester/default again in tester/default" in twice
    assert absent.startswith("tester/absent")
