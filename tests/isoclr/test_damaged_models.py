"""Damaged model folders: each ends a command in one line that names the folder or the file."""

import json
import re
import shutil
import struct

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from isoclr.cli import main
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer_config.json"
NAN = float("nan")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model folder without fault, and a table to embed."""
    folder = tmp_path_factory.mktemp("whole")
    config = IsoCLRConfig(filters=[4, 6], blocks=[1, 1], dilations=[1, 2], pooling="regions")
    IsoCLRModel(config).save_pretrained(folder / "model")
    IsoCLRTokenizer().save_pretrained(folder / "model")
    table = {"transcript_id": ["t"], "gene_id": ["g"], "sequence": ["ACGT" * 20]}
    pl.DataFrame(table).write_parquet(folder / "table.parquet")
    return folder


def write(name, content):
    """A damage: this content in a file."""

    def damage(folder):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)

    return damage


def remove(*names):
    def damage(folder):
        for name in names:
            (folder / name).unlink()

    return damage


def folder_for_file(name):
    def damage(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def keys(name, **changes):
    """A damage: these keys changed, or gone where None is written as `...`."""

    def damage(folder):
        values = json.loads((folder / name).read_text())
        for key, value in changes.items():
            values[key] = value
            if value is ...:
                del values[key]
        (folder / name).write_text(json.dumps(values))

    return damage


def tensors(change):
    def damage(folder):
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS, metadata={"format": "pt"})

    return damage


def cut(part):
    def damage(folder):
        data = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(data[: int(len(data) * part)])

    return damage


def header(change):
    """A damage: the header of the weights replaced by what `change` makes of it."""

    def damage(folder):
        data = (folder / WEIGHTS).read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        text = change(data[8 : 8 + size].decode())
        (folder / WEIGHTS).write_bytes(
            struct.pack("<Q", len(text)) + text.encode() + data[8 + size :]
        )

    return damage


def set_value(name, value):
    return tensors(lambda found: found[name].__setitem__(0, value))


def transposed(found):
    weight = found["pooling.content.weight"]
    found["pooling.content.weight"] = np.ascontiguousarray(weight.T)


STEM = "encoder.stem.weight"
DAMAGES = {
    # weights
    "no weights": (remove(WEIGHTS), "model.safetensors"),
    "empty weights": (write(WEIGHTS, b""), "cannot be loaded"),
    "weights cut in the header": (cut(0.001), "cannot be loaded"),
    "weights cut in the middle": (cut(0.5), "cannot be loaded"),
    "weights cut at the end": (cut(0.99), "cannot be loaded"),
    "weights of zeros": (write(WEIGHTS, bytes(4096)), "cannot be loaded"),
    "weights of text": (
        write(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n" * 9),
        "cannot",
    ),
    "weights of HTML": (write(WEIGHTS, "<!DOCTYPE html><html>404</html>"), "cannot be loaded"),
    "a header without end": (write(WEIGHTS, b"\xff" * 64), "cannot be loaded"),
    "a header that is no JSON": (header(lambda text: text.replace(":", ";")), "cannot be loaded"),
    "a header that is a list": (header(lambda text: "[]" + " " * (len(text) - 2)), "cannot be"),
    "an unknown dtype": (header(lambda text: text.replace('"F32"', '"X32"')), "cannot be loaded"),
    "offsets beyond the end": (
        header(lambda text: re.sub(r"\[(\d+),(\d+)\]", r"[\1,9\2]", text)),
        "cannot be loaded",
    ),
    "no tensors": (tensors(dict.clear), "no weights that fit embeddings.table, .* and 38 more"),
    "a tensor less": (tensors(lambda found: found.pop(STEM)), "no weights that fit encoder.stem"),
    "a buffer less": (tensors(lambda found: found.pop("embeddings.table")), "fit embeddings.table"),
    "a tensor under another name": (
        tensors(lambda found: found.update(x=found.pop(STEM))),
        "no weights that fit encoder.stem.weight",
    ),
    "a tensor of another shape": (transposed, "no weights that fit pooling.content.weight"),
    "NaN": (set_value("encoder.stem.bias", NAN), "encoder.stem.bias: got NaN"),
    "infinity": (set_value("pooling.content.bias", np.inf), "pooling.content.bias: got NaN or inf"),
    "NaN in a buffer": (set_value("embeddings.table", NAN), "embeddings.table: got NaN"),
    "weights in pickle form": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        "model.safetensors",
    ),
    "a folder for the weights": (folder_for_file(WEIGHTS), "model"),
    # configuration
    "no configuration": (remove(CONFIG), "no config.json in it"),
    "an empty configuration": (write(CONFIG, ""), "config.json: not JSON"),
    "a configuration cut off": (write(CONFIG, '{"model_type": "iso'), "config.json: not JSON"),
    "a configuration of bytes": (write(CONFIG, b"\x80\x81"), "config.json: not JSON"),
    "a list for a configuration": (write(CONFIG, "[]"), "config.json: no model_type in it"),
    "a number for a configuration": (write(CONFIG, "7"), "config.json: no model_type in it"),
    "null for a configuration": (write(CONFIG, "null"), "config.json: no model_type in it"),
    "a deep configuration": (write(CONFIG, "[" * 100_000), "config.json: not JSON"),
    "a folder for the configuration": (folder_for_file(CONFIG), "config.json"),
    "no model_type": (keys(CONFIG, model_type=...), "config.json: no model_type"),
    "another model_type": (keys(CONFIG, model_type="bert"), "got 'bert', wanted 'isoclr'"),
    "a model_type that is a list": (keys(CONFIG, model_type=["isoclr"]), r"model_type: got \['iso"),
    "a key less": (keys(CONFIG, norm_eps=...), "config.json: no norm_eps in it"),
    "a misspelt key": (keys(CONFIG, poling="regions", pooling=...), "config.json: no pooling"),
    "more stages than weights": (
        keys(CONFIG, filters=[4, 6, 8], blocks=[1, 1, 1], dilations=[1, 2, 4]),
        "no weights that fit encoder.stages.2",
    ),
    "stages of two lengths": (keys(CONFIG, blocks=[1]), "filters, blocks, dilations: got"),
    "filters that are text": (keys(CONFIG, filters="4 6"), "filters: got '4 6', wanted a list"),
    "filters that are a number": (keys(CONFIG, filters=4), "filters: got 4, wanted a list"),
    "filters that are fractions": (keys(CONFIG, filters=[4.5, 6]), "filters: got .4.5, 6."),
    "filters that are mappings": (keys(CONFIG, filters={"4": 6}), "filters: got {'4': 6}"),
    "filters of null": (keys(CONFIG, filters=None), "filters: got None"),
    "endless filters": (keys(CONFIG, filters=[10**12, 6]), "cannot be loaded|no weights that fit"),
    "a kernel of -1": (keys(CONFIG, kernel_size=-1), "kernel_size: got -1"),
    "a kernel of true": (keys(CONFIG, kernel_size=True), "kernel_size: got True"),
    "a norm that is none": (keys(CONFIG, norm="group"), "norm: got 'group'"),
    "a norm that is a list": (keys(CONFIG, norm=["layer"]), r"norm: got \['layer'\]"),
    "a dropout of text": (keys(CONFIG, dropout="none"), "dropout: got 'none', wanted a number"),
    "a dropout of 2": (keys(CONFIG, dropout=2), "dropout: got 2, wanted >= 0 and < 1"),
    "an epsilon of NaN": (keys(CONFIG, norm_eps=NAN), "norm_eps: got nan, wanted a number"),
    "an epsilon of 0": (keys(CONFIG, norm_eps=0), "norm_eps: got 0, wanted > 0"),
    "an unknown value of text": (keys(CONFIG, unknown_value="N"), "unknown_value: got 'N'"),
    "another alphabet": (keys(CONFIG, alphabet="dna"), "alphabet: got 'dna'"),
    "the alphabet of proteins": (
        keys(CONFIG, alphabet="protein", pooling="last", n_tracks=20, unknown_value=0.05),
        "no weights that fit",
    ),
    "projector sizes of null": (keys(CONFIG, projector_sizes=None), "projector_sizes: got None"),
    # tokenizer
    "an empty tokenizer": (write(TOKENIZER, ""), "cannot be loaded"),
    "a tokenizer cut off": (write(TOKENIZER, '{"pad_token": '), "cannot be loaded"),
    "a list for a tokenizer": (write(TOKENIZER, "[]"), "cannot be loaded"),
    "a tokenizer of bytes": (write(TOKENIZER, b"\x80\x81"), "cannot be loaded"),
    "another tokenizer": (keys(TOKENIZER, tokenizer_class="BertTokenizer"), "model"),
    "a tokenizer of proteins": (keys(TOKENIZER, alphabet="protein"), "got a tokenizer of protein"),
    "another padding token": (keys(TOKENIZER, pad_token="N"), "pad_token: got 'N'"),
    "letters read by nobody": (keys(TOKENIZER, unknown_letters="?"), "unknown_letters: got '?'"),
    "a misspelt option": (keys(TOKENIZER, unknown_letter="N"), "unknown keyword 'unknown_letter'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_ends_in_one_line(whole, tmp_path, capsys, name):
    damage, message = DAMAGES[name]
    folder = tmp_path / "model"
    shutil.copytree(whole / "model", folder)
    (tensors(damage) if damage is transposed else damage)(folder)
    out = tmp_path / "embeddings.parquet"
    words = ["embed", "--table", whole / "table.parquet", "--species", "x", "--output", out]
    assert main([str(word) for word in (*words, "--model", folder)]) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if "Loading weights" not in line]
    assert re.search(message, line), line
    assert "Traceback" not in err and not out.exists()
    assert str(folder) in line or folder.name in line


@pytest.mark.parametrize("name", DAMAGES)
def test_the_card_of_a_damaged_model_is_written_or_refused_in_one_line(
    whole, tmp_path, capsys, name
):
    damage, _ = DAMAGES[name]
    folder = tmp_path / "model"
    shutil.copytree(whole / "model", folder)
    (tensors(damage) if damage is transposed else damage)(folder)
    status = main(["card", str(folder)])
    lines = capsys.readouterr().err.splitlines()
    assert (status, len(lines)) in ((0, 0), (2, 1)), lines
    assert (folder / "README.md").exists() == (status == 0)


def test_the_folder_is_whole_without_damage(whole, tmp_path, capsys):
    out = tmp_path / "embeddings.parquet"
    words = ["embed", "--table", whole / "table.parquet", "--species", "x", "--output", out]
    assert main([str(word) for word in (*words, "--model", whole / "model")]) == 0
    (embedding,) = pl.read_parquet(out)["embedding"].to_list()
    assert np.isfinite(embedding).all()
