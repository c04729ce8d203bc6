import gzip
import json

import polars as pl
import pytest

from data_builders.fasta import read_fasta
from data_builders.groups import read_groups
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


def test_shards_of_a_build(genome, tmp_path, capsys):
    words = ["build", *genome, "--species", "alpha", "--output"]
    assert run(*words, tmp_path / "whole") == 0
    for number in (0, 1):
        assert run(*words, tmp_path / "parts", "--shard", f"{number}/2") == 0
        assert f"see reports/0000{number}-of-00002.json" in capsys.readouterr().out
    assert list(read_groups(tmp_path / "parts")) == list(read_groups(tmp_path / "whole"))
    assert run(*words, tmp_path / "parts", "--shard", "0/2") == 2
    assert "parts: got shard 0/2 already" in capsys.readouterr().err
    assert run(*words, tmp_path / "parts", "--shard", "2/2") == 2
    assert "parts: shard: got 2/2, wanted i/n" in capsys.readouterr().err


def test_strict_makes_a_skip_an_error(genome, tmp_path, capsys):
    words = ["build", *genome, "--species", "alpha", "--max-length", 800]
    assert run(*words, "--output", tmp_path / "lenient") == 0
    assert ": longer than 800 nt" in capsys.readouterr().out
    assert run(*words, "--output", tmp_path / "strict", "--strict") == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("isoclr build: alpha ") and error.endswith(": longer than 800 nt")
    assert not (tmp_path / "strict").exists()


def test_aliases_belong_to_a_genome(clade, other_names, tmp_path, capsys):
    sequences = [name for name, _ in read_fasta(clade.genomes[0])]
    aliases = tmp_path / "aliases.tsv"
    aliases.write_text("".join(f"{name}\tscaffold_{name}\n" for name in sequences))
    words = ["--genome", clade.genomes[0], "--annotation", other_names, "--species", "alpha"]
    assert run("build", *words, "--aliases", aliases, "--output", tmp_path / "groups") == 0
    assert f"adjusted {len(sequences)}: chromosome found by its alias" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--species", "x"], "--species x: wanted a --genome or --transcripts or --table before"),
        (["--table", "t", "--annotation", "a"], "wanted a --genome or --transcripts before it"),
        (["--transcripts", "t", "--aliases", "a"], "--aliases a: wanted a --genome before it"),
        (["--genome", "g", "--species", "x", "--species", "y"], "this source has x already"),
        (["--shard", "1"], "argument --shard: got '1', wanted I/N"),
        (["--shard", "-1/2"], "argument --shard"),
        (["--shard", "a/2"], "argument --shard: got 'a/2', wanted I/N"),
    ],
)
def test_a_wrong_line_is_explained(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("build", *words, "--output", tmp_path / "out")
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


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
