"""The commands of RNA–protein pairs: what they write, and that wrong input is one line."""

import json

import pytest

from data_builders.interactions.dataset import read_interactions
from isoclr.cli import main

PAIRS = "".join(f"p{i} r{j} {int(i == j)}\n" for i in range(4) for j in range(4))


def files(folder):
    """Four RNAs and four proteins, unlike each other; as published sets are named."""
    rnas = ("ACGU" * 5, "GGCA" * 5, "UUAC" * 5, "CCGA" * 5)
    proteins = ("MKLVWWHERPFYC", "GGSSDDEEKKRRH", "PPQQNNTTYYWWV", "AAILMFVCHHDDE")
    for side, sequences in (("rna", rnas), ("protein", proteins)):
        text = "".join(f">{side[0]}{i}\n{s}\n" for i, s in enumerate(sequences))
        (folder / f"toy_{side}_seq.fa").write_text(text)
    (folder / "toy_pairs.txt").write_text(PAIRS)
    words = [f"--{name}" for name in ("pairs", "rnas", "proteins")]
    names = ("toy_pairs.txt", "toy_rna_seq.fa", "toy_protein_seq.fa")
    return [part for w, n in zip(words, names, strict=True) for part in (w, str(folder / n))]


def test_build(tmp_path, capsys):
    output = tmp_path / "set"
    assert main(["build-interactions", *files(tmp_path), "--output", str(output)]) == 0
    assert len(read_interactions(output)) == 16
    assert "16 pairs read, 16 left" in capsys.readouterr().out
    assert main(["build-interactions", *files(tmp_path), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "wanted none, or --overwrite" in error


def test_rules_of_rnainteract_are_options(tmp_path, capsys):
    """None of these molecules has a family, which those rules need."""
    words = ["build-interactions", "--rnainteract", *files(tmp_path)]
    assert main([*words, "--output", str(tmp_path / "set")]) == 2
    wanted = "RNA without a family: so it is with all that were left, 4 pairs"
    assert wanted in capsys.readouterr().err


def test_simulate_and_evaluate(tmp_path, capsys):
    simulated, results = tmp_path / "simulated", tmp_path / "results"
    words = ["--rnas", "24", "--proteins", "16", "--motifs", "3"]
    assert main(["interactions", "simulate", "--output", str(simulated), *words]) == 0
    words = ["--splits", "random", "--folds", "2", "--seeds", "2", "--trees", "3"]
    words = ["interactions", "evaluate", str(simulated), "--output", str(results), *words]
    assert main(words) == 0
    assert "look-up table" in capsys.readouterr().out
    content = json.loads((results / "simulated_random_redrawn.json").read_text())
    assert {run["predictor"] for run in content["runs"]} >= {"k-mer forest", "degree"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "sets: got no set"),
        (["nowhere"], "nowhere/rnas.parquet: got 'No such file or directory'"),
        (["--sets", "nowhere"], "got no file NAME_pairs.*"),
        (["--sets", ".", "--scores", "x"], "--scores: got 'x', wanted NAME=FILE"),
        (["--sets", ".", "--splits", "cluster"], "split: got 'cluster', wanted one of random"),
        (["--sets", ".", "--folds", "1"], "folds: got 1, wanted at least 2"),
    ],
)
def test_refuses(tmp_path, capsys, monkeypatch, words, message):
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["interactions", "evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
