"""Probes of proteins and coding sequences: what is embedded, what stands beside it."""

import json

import numpy as np
import polars as pl
import pytest
from toy_families import model_folder, simulated

from data_builders.labels.base import BINARY, MULTILABEL
from data_builders.labels.files import write_label_set
from data_builders.labels.label_set import LabelSet
from data_builders.records import InputError, Transcript
from isoclr.cli import main
from isoclr.evaluation.coding import (
    CodingOptions,
    coding_features,
    coding_rows,
    probe_coding,
    protein_features,
    protein_of,
)
from isoclr.pretrained import load_model
from isoclr.tokens import tokenize


def transcript(number, cds, utr="CCCC"):
    start = len(utr)
    return Transcript(f"t{number}", f"g{number}", "human", f"{utr}{cds}GG", start, start + len(cds))


def label_set(transcripts, targets, **told):
    return LabelSet(
        label="of_test",
        targets=targets,
        transcripts=tuple(transcripts),
        groups=tuple(t.gene_id for t in transcripts),
        **told,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained models of proteins and of RNA."""
    folder = tmp_path_factory.mktemp("models")
    protein = simulated(folder / "proteins", families=30, sites=20, model="poisson")
    rna = simulated(folder / "rna", families=30, sites=20)
    return {
        "protein": model_folder(folder / "protein", protein),
        "cds": model_folder(folder / "cds", rna),
    }


def test_a_protein_has_no_stop_at_its_end_and_x_for_one_inside():
    assert protein_of("ATGTGGTAA") == "MW"
    assert protein_of("ATGTAATGGNNNTAG") == "MXWX"
    assert protein_of("ATGTG") == "M"


def test_rows_are_cut_to_their_cds_and_others_counted():
    noncoding = Transcript("n", "n", "human", "ACGT")
    stop = transcript(2, "TAA")
    made = label_set(
        [noncoding, transcript(1, "ATGTGGTAA"), stop],
        np.array([True, False, True]),
        task=BINARY,
    )
    kept, skipped = coding_rows(made)
    assert [t.sequence for t in kept.transcripts] == ["ATGTGGTAA"]
    assert (kept.transcripts[0].cds_start, kept.transcripts[0].cds_end) == (0, 9)
    assert kept.targets.tolist() == [False] and kept.groups == ("g1",)
    assert skipped == {"no CDS": 1, "CDS without a residue": 1}
    with pytest.raises(InputError, match="got no coding transcript of 1, wanted one"):
        coding_rows(label_set([noncoding], np.array([True]), task=BINARY))


def test_features_of_letters_count_words_of_known_amino_acids():
    found = protein_features(["AAC", "AXC", "C"], longest=2)
    composition = found["composition + length"]
    assert composition.shape == (3, 21)
    np.testing.assert_allclose(composition[0, :2], [2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(composition[1, :2], [0.5, 0.5])
    np.testing.assert_allclose(composition[:, 20], np.log1p([3, 3, 1]), rtol=1e-6)
    words = found["composition + length + k-mers 2-2"][:, 21:]
    assert words.shape == (3, 400)
    assert words[0].nonzero()[0].tolist() == [0, 1]  # AA, AC
    assert not words[1:].any()


def test_each_encoder_gets_its_own_alphabet(models):
    cut, _ = coding_rows(label_set([transcript(1, "ATGTGGAAATAA")], np.array([True]), task=BINARY))
    found = coding_features(models, cut.transcripts, 1)
    assert list(found) == [
        *("protein", "cds", "random weights", "random weights, as cds", "composition + length"),
        *("composition + length of the CDS", "codons", "k-mers 1-6 of the CDS"),
    ]
    for name, sequence in (("protein", "MWK"), ("cds", "ATGTGGAAATAA")):
        encoder, tokenizer = load_model(models[name])
        rows = [tokenize(tokenizer, sequence, name=str)]
        np.testing.assert_array_equal(found[name], encoder.embed(rows))
    bases = found["composition + length of the CDS"][0]  # ATGTGGAAATAA
    np.testing.assert_allclose(bases, [6 / 12, 0, 3 / 12, 3 / 12, np.log1p(12)], rtol=1e-6)
    # The toys were never trained: their weights are those of their twins.
    np.testing.assert_array_equal(found["protein"], found["random weights"])
    np.testing.assert_array_equal(found["cds"], found["random weights, as cds"])


@pytest.fixture(scope="module")
def labels_file(tmp_path_factory):
    """Genes rich in lysine, or not; a class of all, which says nothing."""
    rng = np.random.default_rng(0)
    transcripts, targets = [Transcript("n", "n", "human", "ACGT")], [[True, False, True]]
    for number in range(80):
        rich = number % 2 == 0
        codons = rng.choice(
            ["AAA", "TGG", "GCC"], 40, p=[0.6, 0.2, 0.2] if rich else [0.2, 0.4, 0.4]
        )
        transcripts.append(transcript(number, "ATG" + "".join(codons) + "TAA"))
        targets.append([rich, not rich, True])
    told = {"task": MULTILABEL, "classes": ("rich", "poor", "all")}
    path = tmp_path_factory.mktemp("labels") / "labels.parquet"
    write_label_set(label_set(transcripts, np.array(targets), **told), path)
    return path


def test_a_probe_of_proteins_stands_beside_its_controls(models, labels_file, tmp_path, capsys):
    words = ["probe-coding", "--model", str(models["protein"]), "--labels", str(labels_file)]
    words += ["--max-share", "0.6", "--seeds", "2", "--kmers", "2", "--output", str(tmp_path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "skipped 1: no CDS" in out and "random weights" in out
    found = json.loads((tmp_path / "probe.json").read_text())
    assert found["rows"] == 80 and found["classes"] == 2
    assert found["summary"]["composition + length"]["auroc_macro"][0] > 0.95
    assert (tmp_path / "probe.png").exists()
    runs = (tmp_path / "runs.jsonl").read_text()
    assert main(words) == 0  # all is done
    assert (tmp_path / "runs.jsonl").read_text() == runs


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seeds": (1,)}, "got 1 seed, wanted at least two"), ({"kmers": 4}, "got 4, wanted 1 to 3")],
)
def test_odd_options_are_one_error(models, labels_file, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        probe_coding([models["protein"]], labels_file, tmp_path, CodingOptions(**options))


def test_proteins_of_a_file_are_embedded(models, tmp_path, capsys):
    path, output = tmp_path / "p.fa", tmp_path / "p.parquet"
    path.write_text(">a\nMKVLA*\n>b some\nMKUX\n")
    words = ["embed", "--model", str(models["protein"]), "--output", str(output)]
    assert main([*words, "--proteins", str(path)]) == 0
    out = capsys.readouterr().out
    assert "2 proteins" in out and "letter read as X" not in out
    table = pl.read_parquet(output)
    assert table["transcript_id"].to_list() == ["a", "b"]
    encoder, tokenizer = load_model(models["protein"])
    rows = [tokenize(tokenizer, protein, name=str) for protein in ("MKVLA", "MKUX")]
    np.testing.assert_array_equal(np.array(table["embedding"].to_list()), encoder.embed(rows))
    path.write_text(">a\nMK1\n")
    assert main([*words, "--overwrite", "--proteins", str(path)]) == 2
    assert f"{path}:1: sequence of 'a': got '1', wanted letters" in capsys.readouterr().err
    path.write_text(">a\nMKV\n")
    rna = ["embed", "--model", str(models["cds"]), "--output", str(tmp_path / "x.parquet")]
    assert main([*rna, "--proteins", str(path)]) == 2
    assert "got a --model of rna, wanted one of proteins" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--proteins", str(path), "--groups", str(tmp_path)]) == 2
    assert "wanted no sources and no --groups beside it" in capsys.readouterr().err
