"""Hostile files, each with what it must end in: `ends.tsv` has a regular expression for each.

`-` stands for a file that is read. Attacks that a file cannot hold (servers, links, bombs, kills)
are in the tests of what they attack; docs/RELIABILITY.md lists them.
"""

import csv
import json
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from data_builders.genomes.registry import read_registry
from data_builders.groups.build import GenomeSource, TableSource, build
from data_builders.groups.report import read_report
from data_builders.interactions.build import BuildOptions, InteractionFiles, read_set
from data_builders.records import InputError
from group_tables import group_table, random_groups, write_groups_table
from isoclr.hub.card import write_card
from isoclr.hub.dataset_card import render_dataset_card
from isoclr.objectives import read_recipe
from isoclr.objectives.isoforms.token_cache import build_token_cache, open_token_cache
from isoclr.pretrained import load_pretrained
from isoclr.training.checkpoints import newest_checkpoint, save_checkpoint
from isoclr.training.curves import read_log
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny

HERE = Path(__file__).parent
INPUTS = HERE.parent / "data_builders" / "malformed"
ENDS = {
    row["file"]: row["ends"]
    for row in csv.DictReader((HERE / "ends.tsv").open(), delimiter="\t", quoting=csv.QUOTE_NONE)
}
SECONDS = 20  # hundreds of times what a case takes


def laid(file, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(file, folder / name))


def checkpoint_state(file, folder):
    """Damage of the newest checkpoint, which is told, and passed over for the one before."""
    tensors = {"a": torch.zeros(2)}
    for step in (1, 2):
        save_checkpoint(folder, step, tensors, tensors, {"recipe": {}}, keep=2)
    laid(file, folder / "step-00000002", "state.json")
    told = []
    assert newest_checkpoint(folder, told.append).name == "step-00000001"
    (line,) = told
    raise InputError(line)


def log(file, folder):
    assert len(read_log(laid(file, folder, "log.jsonl"))) == 1


def cache_manifest(file, folder):
    source = write_groups_table(group_table(*random_groups(3)), folder / "groups", shards=1)
    build_token_cache(source, folder / "cache", IsoCLRTokenizer())
    laid(file, folder / "cache", "manifest.json")
    open_token_cache(source, folder / "cache", IsoCLRTokenizer())


def registry(file, folder):
    read_registry(laid(file, folder, "registry.yaml"))


def recipe(file, folder):
    read_recipe(laid(file, folder, "recipe.yaml"))


def model_folder(folder):
    torch.manual_seed(0)
    IsoCLRModel(tiny()).save_pretrained(folder)
    return folder


def model_config(file, folder):
    laid(file, model_folder(folder), "config.json")
    write_card(folder)


def model_values(file, folder):
    """Values of a configuration, beside the others of a model whose weights are as they were."""
    path = model_folder(folder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | json.loads(file.read_text())))
    load_pretrained(AutoModel, folder)


def tokenizer(file, folder):
    """Arguments of the tokenizer, which raises what transformers' do."""
    try:
        IsoCLRTokenizer()(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error


def annotation(file, folder):
    build([GenomeSource(INPUTS / "genome.fa", file, "human")], folder)


def homology(file, folder):
    build([TableSource(INPUTS / "ok.tsv")], folder, homology=file)


def pairs(file, folder):
    files = {"pairs": file, "rnas": INPUTS / "rnas.fa", "proteins": INPUTS / "proteins.fa"}
    read_set(
        InteractionFiles(**{name: [path] for name, path in files.items()}),
        BuildOptions(min_score=0.5 if file.stem.startswith("score") else None),
    )


def probe_results(file, folder):
    laid(file, model_folder(folder) / "results" / "x", "probe.json")
    write_card(folder)


def dataset_report(file, folder):
    render_dataset_card("o/n", {"default": read_report(laid(file, folder, "report.json"))})


READERS = (checkpoint_state, log, cache_manifest, registry, recipe, model_config, probe_results)
READERS += (model_values, tokenizer, annotation, homology, pairs, dataset_report)
READERS = {reader.__name__: reader for reader in READERS}


def test_every_file_has_an_end():
    found = {
        path.relative_to(HERE).as_posix() for path in HERE.glob("*/*") if path.suffix != ".pyc"
    }
    assert found == set(ENDS)


@pytest.mark.parametrize("name", ENDS)
def test_an_attack_ends_as_it_must(tmp_path, name):
    began = time.process_time()
    reader = READERS[name.split("/")[0]]
    if ENDS[name] == "-":
        reader(HERE / name, tmp_path / "x")
        return
    with pytest.raises(InputError) as error:
        reader(HERE / name, tmp_path / "x")
    message = str(error.value)
    assert re.search(ENDS[name], message)
    assert "\n" not in message and len(message) < 1500
    assert time.process_time() - began < SECONDS
