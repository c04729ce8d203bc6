import gzip
import json

import polars as pl
import pytest

from isoclr.cli import main
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = IsoCLRConfig(filters=[4, 6], blocks=[1, 1], dilations=[1, 2], pooling="stages")
    IsoCLRModel(config).save_pretrained(folder)
    IsoCLRTokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def genome(clade):
    return ["--genome", str(clade.genomes[0]), "--annotation", str(clade.annotations[0])]


def run(*words):
    return main([str(word) for word in words])


def test_build_writes_groups_and_says_what_it_read(genome, tmp_path, capsys):
    assert run("build", *genome, "--species", "alpha", "--output", tmp_path / "groups") == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "groups" / "report.json").read_text())
    n = report["dataset"]["transcripts"]
    assert f"alpha: {n} of {n} transcripts" in out
    assert f"{report['dataset']['groups']} isoform groups, {n} transcripts" in out
    assert report["dataset"]["species"] == {"alpha": n}


def test_embed_gives_every_transcript_a_row(genome, groups_folder, model_folder, tmp_path):
    out = tmp_path / "embeddings.parquet"
    assert run("embed", "--model", model_folder, *genome, "--output", out) == 0
    table = pl.read_parquet(out)
    assert table.columns == ["transcript_id", "gene_id", "species", "embedding"]
    assert table["embedding"].dtype == pl.Array(pl.Float32, 10)
    assert run("embed", "--model", model_folder, "--groups", groups_folder, "--output", out) == 0
    both = pl.read_parquet(out)
    joined = both.join(table, on="transcript_id", suffix="_alone")
    assert len(joined) == len(table) < len(both)
    difference = joined["embedding"].to_numpy() - joined["embedding_alone"].to_numpy()
    assert abs(difference).max() <= 1e-5


def test_probe_writes_scores_and_figure(clade, groups_folder, model_folder, tmp_path, capsys):
    words = ["--labels", clade.half_life, "--label", "half_life", "--groups", groups_folder]
    assert run("probe", "--model", model_folder, *words, "--output", tmp_path) == 0
    scores = json.loads((tmp_path / "probe.json").read_text())["scores"]
    expected = ["IsoCLR", "random weights", "k-mers 1-6", "structure", "codons + structure"]
    assert list(scores) == expected
    assert (tmp_path / "probe.png").stat().st_size > 10_000
    assert "IsoCLR" in capsys.readouterr().out


def test_simulate_writes_a_clade(tmp_path, capsys):
    assert run("simulate", "--species", 1, "--genes", 10, "--output", tmp_path) == 0
    assert (tmp_path / "alpha_simulata.gtf.gz").exists()
    assert "10 groups" in capsys.readouterr().out


@pytest.fixture
def other_names(clade, tmp_path):
    """The annotation with chromosomes that the genome does not have."""
    path = tmp_path / "other.gtf"
    with gzip.open(clade.annotations[0], "rt") as lines:
        path.write_text("".join("scaffold_" + line for line in lines if line[0] != "#"))
    return path


def test_bad_input_is_one_line_and_status_2(clade, other_names, groups_folder, tmp_path, capsys):
    genome, annotation = clade.genomes[0], clade.annotations[0]
    empty = tmp_path / "empty.fa"
    empty.touch()
    output = ["--output", tmp_path / "out"]
    of_species = ["--species", "alpha", *output]
    cases = {
        "nowhere.fa": ["--genome", "nowhere.fa", "--annotation", annotation, *of_species],
        "nowhere.gtf": ["--genome", genome, "--annotation", "nowhere.gtf", *of_species],
        "other.gtf": ["--genome", genome, "--annotation", other_names, *of_species],
        "empty.fa": ["--genome", empty, "--annotation", annotation, *of_species],
        "no transcript to write": [
            *("--genome", genome, "--annotation", annotation, "--max-length", 3, *of_species)
        ],
        "wanted a --species": ["--genome", genome, "--annotation", annotation, *output],
        "wanted an --annotation": ["--genome", genome, *of_species],
        "no source": output,
    }
    for message, words in cases.items():
        assert run("build", *words) == 2, message
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("isoclr build: ") and message in error
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_one_line_and_status_2(groups_folder, tmp_path, capsys):
    words = ["--groups", groups_folder, "--output", tmp_path / "out.parquet"]
    for name in ("nowhere", "/not/here"):
        assert run("embed", "--model", name, *words) == 2
        error = capsys.readouterr().err.strip()
        assert error == f"isoclr embed: {name}: no such folder, wanted a model that train.py wrote"
    assert run("embed", "--model", tmp_path, *words) == 2
    assert "no config.json in it" in capsys.readouterr().err
