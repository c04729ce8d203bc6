import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from data_builders.groups.parquet import read_groups
from data_builders.records import InputError, Transcript
from isoclr.evaluation import embed
from isoclr.evaluation.embed import (
    embed_to_file,
    embed_transcripts,
    guess_cds,
    read_dataset,
)
from isoclr.pretrained import load_model
from loopback_hub import run_client
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer

LENGTHS = (50, 900, 3, 400, 400, 65, 700, 8, 8, 1)
FORMS = pytest.mark.parametrize("per_position", [False, True], ids=["pooled", "per position"])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return IsoCLRModel(IsoCLRConfig(filters=[4, 6], blocks=[1, 1], dilations=[1, 2])).eval()


def transcripts(*lengths):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), n)) for n in lengths]
    return [Transcript(f"t{i}", f"g{i}", "s", sequence) for i, sequence in enumerate(sequences)]


def to_file(path, model, rows, **options):
    """Four parts, of 1, 1, 4 and 4 transcripts."""
    options = {"tokens_per_part": 900, "tokens_per_batch": 1024, "progress": False} | options
    embed_to_file(path, model, IsoCLRTokenizer(), rows, **options)


def test_embeddings_come_in_the_callers_order_at_any_budget(model):
    rows = transcripts(50, 900, 3, 400, 65)
    tokenizer = IsoCLRTokenizer()
    one_by_one = [
        model(**tokenizer(row.sequence, return_tensors="pt")).pooler_output[0].detach().numpy()
        for row in rows
    ]
    for budget in (1, 1024, 1 << 16):
        found = embed_transcripts(model, tokenizer, rows, tokens_per_batch=budget, progress=False)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-5)


def test_a_transcript_that_cannot_be_read_is_named(model):
    bad = Transcript("ENST0", "g", "s", "ACGT", 0, 4)
    with pytest.raises(InputError, match=r"ENST0: got CDS \(0, 4\)"):
        embed_transcripts(model, IsoCLRTokenizer(), [bad], progress=False)


# --- Files


def test_the_file_holds_ids_and_vectors_in_order_and_the_models_name(model_folder, tmp_path):
    model, tokenizer = load_model(model_folder)
    rows, path = transcripts(*LENGTHS), tmp_path / "new" / "e.parquet"
    to_file(path, model, rows)
    assert pq.read_schema(path).metadata[b"model"] == model_folder.name.encode()
    table = pl.read_parquet(path)
    for name in ("transcript_id", "gene_id", "species"):
        assert table[name].to_list() == [getattr(row, name) for row in rows]
    wanted = embed_transcripts(model, tokenizer, rows, progress=False)
    assert table["embedding"].dtype == pl.Array(pl.Float32, model.config.pooled_size)
    np.testing.assert_allclose(table["embedding"].to_numpy(), wanted, rtol=0, atol=1e-5)
    assert [path.name for path in path.parent.iterdir()] == ["e.parquet"]


def test_per_position_there_is_a_vector_for_each_stretch_and_the_rest(model, tmp_path):
    rows, tokenizer = transcripts(*LENGTHS), IsoCLRTokenizer()
    to_file(tmp_path / "e.parquet", model, rows, per_position=True)
    table = pl.read_parquet(tmp_path / "e.parquet")
    assert table["embeddings"].dtype == pl.List(pl.Array(pl.Float32, 6))
    assert table["embeddings"].list.len().to_list() == [-(-n // 8) for n in LENGTHS]
    for row, found in zip(rows, table["embeddings"], strict=True):
        alone = model(**tokenizer(row.sequence, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(found.to_numpy(), alone.detach(), rtol=0, atol=1e-5)


def test_a_vector_stands_for_the_nucleotides_that_are_documented(tmp_path):
    torch.manual_seed(0)
    sizes = {"filters": [16, 16], "blocks": [1, 1], "dilations": [1, 1], "kernel_size": 1}
    model = IsoCLRModel(IsoCLRConfig(**sizes, norm="layer")).eval()  # sees no neighbours
    (row,) = transcripts(36)
    changed = [
        replace(row, sequence=row.sequence[:at] + base + row.sequence[at + 1 :])
        for at in range(36)
        for base in "ACGT"
    ]
    to_file(tmp_path / "e.parquet", model, [row, *changed], per_position=True)
    original, *vectors = pl.read_parquet(tmp_path / "e.parquet")["embeddings"].to_list()
    differ = (np.array(vectors) != np.array(original)).any(axis=2).reshape(36, 4, 5).any(axis=1)
    positions, windows = np.nonzero(differ)
    assert (windows == positions // 8).all() and set(windows) == set(range(5))


# --- Resuming


class Cut(Exception):
    """The end of a run."""


def cut_off(monkeypatch, after):
    """Let `after` files be written, and half of the next one."""
    write, written = embed._write, []

    def cut(path, tables, metadata):
        if len(written) == after:
            path.with_name(f"{path.name}.partial").write_bytes(b"PAR1half")
            raise Cut
        written.append(path)
        write(path, tables, metadata)

    monkeypatch.setattr(embed, "_write", cut)


@FORMS
@pytest.mark.parametrize("after", range(5))  # parts; the fifth file is the whole
def test_a_run_cut_off_goes_on_and_ends_in_the_same_bytes(
    model, per_position, after, tmp_path, monkeypatch
):
    rows = transcripts(*LENGTHS)
    to_file(tmp_path / "whole.parquet", model, rows, per_position=per_position)
    path = tmp_path / "cut.parquet"
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_off(patch, after)
        to_file(path, model, rows, per_position=per_position)
    assert not path.exists()
    encoded = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda batch: (encoded.append(len(batch)), forward(batch))[1]
    )
    to_file(path, model, rows, per_position=per_position)
    assert sum(encoded) == [10, 9, 8, 4, 0][after]  # what the parts before it hold is not made anew
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.parquet", "cut.parquet"}


@FORMS
def test_parts_of_something_else_are_refused(model, per_position, tmp_path, monkeypatch):
    rows = transcripts(*LENGTHS)
    path = tmp_path / "e.parquet"
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_off(patch, 2)
        to_file(path, model, rows, per_position=per_position)
    options = {"per_position": per_position}
    other_model = IsoCLRModel(model.config).eval()
    marked = [replace(rows[0], cds_start=3, cds_end=9), *rows[1:]]
    renamed = [*rows[:-1], replace(rows[-1], gene_id="other")]
    for what, *arguments in (
        ("model", other_model, rows, options),
        ("transcripts", model, marked, options),
        ("transcripts", model, renamed, options),
        ("transcripts", model, rows[:-1], options),
        ("options", model, rows, {"per_position": not per_position}),
        ("options", model, rows, {**options, "tokens_per_batch": 512}),
        ("model and transcripts", other_model, marked, options),
    ):
        message = (
            rf"00000.parquet: got embeddings that differ in {what}, wanted .*: remove .*\.parts"
        )
        with pytest.raises(InputError, match=message):
            to_file(path, *arguments[:2], **arguments[2])
    (tmp_path / "e.parquet.parts" / "00001.parquet").write_text("mine")
    with pytest.raises(InputError, match=r"00001.parquet: got no embeddings"):
        to_file(path, model, rows, **options)


def test_a_complete_file_is_replaced_by_its_own_run_alone(model, tmp_path, monkeypatch):
    rows, path = transcripts(*LENGTHS), tmp_path / "e.parquet"
    to_file(path, model, rows)
    whole = path.read_bytes()
    with pytest.raises(InputError, match="e.parquet: got embeddings that differ in transcripts"):
        to_file(path, model, rows[:-1])
    with monkeypatch.context() as patch:  # nothing is embedded again
        patch.setattr(model, "forward", None)
        to_file(path, model, rows)
    (tmp_path / "e.parquet.parts").mkdir()
    to_file(path, model, rows)
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]
    to_file(path, model, rows[:-1], overwrite=True)
    assert path.read_bytes() != whole
    path.write_text("mine")
    with pytest.raises(InputError, match="e.parquet: got no embeddings, wanted another --output"):
        to_file(path, model, rows)


TO_KILL = """
import sys
from data_builders.tables import read_transcript_table
from isoclr.evaluation.embed import embed_to_file
from isoclr.pretrained import load_model
model, tokenizer = load_model(sys.argv[1])
rows = list(read_transcript_table(sys.argv[2]))
embed_to_file(sys.argv[3], model, tokenizer, rows, tokens_per_part=1000)
"""


@pytest.mark.slow
def test_a_killed_process_is_gone_on_from_and_ends_in_the_same_bytes(model_folder, tmp_path):
    table, path = tmp_path / "rows.parquet", tmp_path / "killed.parquet"
    rows = transcripts(*[999] * 100)
    names = ("transcript_id", "gene_id", "species", "sequence")
    pl.DataFrame({name: [getattr(row, name) for row in rows] for name in names}).write_parquet(
        table
    )
    process = subprocess.Popen([sys.executable, "-c", TO_KILL, model_folder, table, path])
    parts = tmp_path / "killed.parquet.parts"
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 20:
        time.sleep(0.001)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert not path.exists() and 20 <= len(list(parts.glob("*.parquet"))) < 100
    model, tokenizer = load_model(model_folder)
    for run in (path, tmp_path / "whole.parquet"):
        embed_to_file(run, model, tokenizer, rows, tokens_per_part=1000, progress=False)
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes() and not parts.exists()


# --- Inputs


def test_a_cds_is_guessed_where_there_is_none():
    reading_frame = "ATG" + "GCC" * 10 + "TAA"
    without = Transcript("a", "g", "s", "CC" + reading_frame + "ATGTAA")
    coding = replace(without, cds_start=2, cds_end=5)
    empty = Transcript("c", "g", "s", "CCCC")
    found, guessed = guess_cds([without, coding, empty], 36)
    assert found == [replace(without, cds_start=2, cds_end=38), coding, empty] and guessed == 1
    assert guess_cds([without, coding, empty], 37) == ([without, coding, empty], 0)
    for length in (5, 0, -3):
        with pytest.raises(InputError, match=f"guess_cds: got {length} nt, wanted at least 6"):
            guess_cds([without], length)


def test_a_dataset_is_a_folder_or_on_the_hub(groups_folder, tmp_path):
    assert list(read_dataset(groups_folder)) == list(read_groups(groups_folder))
    for dataset, config, message in (
        (tmp_path, None, "no data/train-*.parquet in it, wanted isoform groups"),
        ("nowhere", None, "nowhere: no such folder, wanted isoform groups"),
        (groups_folder, "worm", "got the configuration 'worm' of a folder, wanted none"),
    ):
        with pytest.raises(InputError, match=message.replace("*", r"\*")):
            list(read_dataset(dataset, config))


FROM_THE_HUB = """
import shutil, sys
from isoclr.cli import main
from isoclr.hub.dataset import push_dataset
groups, model = sys.argv[1:]
for name in ("one", "other"):
    shutil.copytree(groups, f"both/{name}")
push_dataset("both", "tester/both")
embed = ["embed", "--model", model, "--output"]
assert main([*embed, "here.parquet", "--groups", groups]) == 0
assert main([*embed, "hub.parquet", "--groups", "tester/both", "--config", "one"]) == 0
assert open("here.parquet", "rb").read() == open("hub.parquet", "rb").read()
for words in (["tester/both"], ["tester/nothing"], ["tester/both", "--config", "third"]):
    assert main([*embed, "none.parquet", "--groups", *words]) == 2
"""


@pytest.mark.slow
def test_a_dataset_of_the_hub_is_embedded_as_the_folder_it_came_from(
    hub, groups_folder, model_folder
):
    done = run_client(hub, FROM_THE_HUB, groups_folder, model_folder)
    errors = [line for line in done.stderr.splitlines() if line.startswith("isoclr embed")]
    assert [line.split(": ")[1] for line in errors] == [
        "tester/both",
        "tester/nothing",
        "tester/both",
    ]


# --- Models


@pytest.mark.parametrize("unlike", [None, torch.ones(3)])
def test_a_model_without_weights_or_of_another_shape_is_refused(model_folder, tmp_path, unlike):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["isoclr.encoder.stem.bias"]
    if unlike is not None:
        weights["isoclr.encoder.stem.bias"] = unlike
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"got no weights that fit encoder\.stem\.bias, wanted"):
        load_model(folder)


def test_without_the_shipped_model_a_name_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("isoclr.shipped.shipped_model", lambda name: tmp_path / name)
    with pytest.raises(InputError, match="isoclr-small: got an installation without .* a --model"):
        load_model()


@pytest.mark.slow
def test_the_shipped_model_embeds_offline(tmp_path):
    rng = np.random.default_rng(0)
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = [codon for codon in codons if codon not in ("TAA", "TAG", "TGA")]
    fasta = ""
    for number, (before, inside, after) in enumerate([(120, 300, 700), (40, 90, 1500)]):
        utrs = ["".join(rng.choice(list("ACGT"), n)) for n in (before, after)]
        coding = "ATG" + "".join(rng.choice(sense, inside)) + "TGA"
        fasta += f">ENST{number}\n{utrs[0]}{coding}{utrs[1]}\n"
    (tmp_path / "transcripts.fa").write_text(fasta)
    command = [sys.executable, "-c", "import sys; from isoclr.cli import main; sys.exit(main())"]
    command += [
        "embed",
        "--transcripts",
        "transcripts.fa",
        "--guess-cds",
        "250",
        "--output",
        "e.parquet",
    ]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 transcripts, 2 with a CDS" in done.stdout
    table = pl.read_parquet(tmp_path / "e.parquet")
    assert table["transcript_id"].to_list() == ["ENST0", "ENST1"]
    first, second = table["embedding"].to_numpy()
    assert len(first) >= 64 and np.isfinite([first, second]).all() and (first != second).any()


def test_nucleotides_are_no_proteins(tmp_path):
    config = IsoCLRConfig(
        filters=[4], blocks=[1], dilations=[1], alphabet="protein", pooling="last", n_tracks=20
    )
    model, tokenizer = IsoCLRModel(config).eval(), IsoCLRTokenizer(alphabet="protein")
    rna = [Transcript("t", "g", "human", "ACGTACGTAC" * 6)]
    for call in (
        lambda: embed_transcripts(model, tokenizer, rna, progress=False),
        lambda: embed_to_file(tmp_path / "e.parquet", model, tokenizer, rna, progress=False),
    ):
        with pytest.raises(InputError, match="t: got nucleotides, .*, wanted proteins"):
            call()
    protein = [Transcript("p", "g", "human", "MKVLAWRRSTNQ" * 5)]
    assert embed_transcripts(model, tokenizer, protein, progress=False).shape == (1, 4)
