from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from data_builders.labels.source import LabelSource
from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.heads import weights_digest
from isoclr.evaluation.probe import ProbeOptions, probe_models
from isoclr.evaluation.readings import read_also
from isoclr.evaluation.start import start_features, start_rows
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer
from toys import tiny

WINDOW = 24
NAMED = f"3-mers by frame, {WINDOW} nt"


@pytest.fixture(scope="module")
def transcripts():
    rng = np.random.default_rng(0)
    made = []
    for number, length in enumerate((60, 26, 3, 2, 0, 40)):
        utr = "".join(rng.choice(list("ACGT"), length))
        base = Transcript(
            transcript_id=f"t{number}",
            gene_id=f"g{number}",
            species="homo_sapiens",
            sequence=utr + "ATGGCCTAA",
            cds_start=length,
            cds_end=length + 9,
            exon_junctions=(),
        )
        made.append(base)
    return [*made, replace(made[0], transcript_id="bare", cds_start=-1, cds_end=-1)]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)  # random weights of controls are those of seed 0
    return IsoCLRModel(tiny(pooling="regions", layout_size=10, content_size=6)).eval()


def test_a_model_sees_the_same_words_as_the_control(encoder, transcripts):
    reading = read_also(encoder, start_window=WINDOW)
    found = embed_transcripts(reading, IsoCLRTokenizer(), transcripts, progress=False)
    controls = start_features(transcripts, WINDOW)
    np.testing.assert_allclose(found[:, 74 : 74 + 384], controls[NAMED], atol=1e-6)
    one_hot = controls[f"one-hot of {WINDOW} nt"].reshape(len(transcripts), WINDOW, 4)
    utr = transcripts[0].sequence[:60]
    assert "".join("ACGT"[i] for i in one_hot[0].argmax(1))[::-1] == utr[-WINDOW:]
    assert one_hot[2].sum() == 3 and not one_hot[4].any()
    # Without a CDS the start codon is taken to be right behind the transcript.
    bare = transcripts[-1].sequence
    assert "".join("ACGT"[i] for i in one_hot[-1].argmax(1))[::-1] == bare[-WINDOW:]
    assert not controls[NAMED][4].any()


def test_a_head_of_the_plain_encoder_is_not_taken_for_one_of_this(encoder):
    assert weights_digest(read_also(encoder, start_window=WINDOW)) != weights_digest(encoder)
    assert weights_digest(read_also(encoder, start_window=0)) == weights_digest(encoder)


def test_rows_of_a_model_random_weights_and_controls(encoder, transcripts, tmp_path):
    encoder.save_pretrained(tmp_path)
    IsoCLRTokenizer().save_pretrained(tmp_path)
    features, predictors = start_rows({"mine": tmp_path}, transcripts, WINDOW)
    read = f"{WINDOW} nt from the start"
    assert list(features)[:2] == [f"mine, {read}", f"random weights, {read}"]
    mine, random = (features[f"{name}, {read}"] for name in ("mine", "random weights"))
    assert mine.shape == random.shape and not np.array_equal(mine, random)
    np.testing.assert_allclose(mine[:, 74 : 74 + 384], random[:, 74 : 74 + 384], atol=1e-6)
    assert list(predictors) == [f"boosting on {NAMED}"]


def test_what_cannot_be_read_is_refused(encoder):
    with pytest.raises(InputError, match="start_window: got 25, wanted a multiple of 24"):
        read_also(encoder, start_window=25)
    with pytest.raises(InputError, match="with pooling='last'"):
        read_also(IsoCLRModel(tiny()), start_window=WINDOW)


def test_a_probe_has_the_rows_and_refuses_models_that_cannot(encoder, tmp_path, monkeypatch):
    encoder.save_pretrained(tmp_path / "mine")
    IsoCLRModel(tiny()).save_pretrained(tmp_path / "last")
    for name in ("mine", "last"):
        IsoCLRTokenizer().save_pretrained(tmp_path / name)
    rng = np.random.default_rng(2)
    utrs = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(40)]
    pl.DataFrame({"utr": utrs, "rl": rng.normal(size=40)}).write_csv(tmp_path / "library.csv")
    source = LabelSource(path=tmp_path / "library.csv", task="ribosome-load")
    seen = {}

    def look(features, *_, predictors, **__):
        seen.update(features | predictors)
        raise InputError("enough")

    monkeypatch.setattr("isoclr.evaluation.probe.probe", look)
    options = ProbeOptions(kmers=((1, 2),), start_window=WINDOW)
    with pytest.raises(InputError, match="enough"):
        probe_models([tmp_path / "mine"], source, tmp_path / "out", options)
    read = f"{WINDOW} nt from the start"
    assert {f"mine, {read}", f"random weights, {read}", NAMED, f"boosting on {NAMED}"} <= set(seen)
    plain, read = seen["mine"], seen[f"mine, {read}"]
    width = read.shape[1] - plain.shape[1]
    np.testing.assert_allclose(np.delete(read, np.s_[74 : 74 + width], axis=1), plain, atol=1e-6)
    with pytest.raises(InputError, match="start_window: got 24 with pooling='last'"):
        probe_models([tmp_path / "last"], source, tmp_path / "out", options)
