import gzip
import hashlib
import json

import polars as pl
import pytest

from data_builders.genomes.fasta import read_fasta
from data_builders.groups.parquet import read_groups
from data_builders.labels.files import read_label_set
from data_builders.labels.label_set import Join, read_labels
from file_server import FileServer, Served
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
        (["--table", "t", "--annotation", "a"], "wanted a --genome or --transcripts before it"),
        (["--transcripts", "t", "--aliases", "a"], "--aliases a: wanted a --genome before it"),
        (
            ["--genome", "g", "--species", "x", "--species", "y"],
            "--species y: got x for it already",
        ),
        (["--level", "2"], "--level 2: wanted a --homology before it"),
        (["--homology", "h", "--genome", "g", "--query", "x", "--query", "y"], "got x for it"),
        (["--shard", "1"], "build: --shard: got '1', wanted I/N, such as 0/4"),
        (["--shard", "-1/2"], "build: --shard: got '-1/2', wanted I/N"),
        (["--shard=a/2"], "build: --shard: got 'a/2', wanted I/N"),
        (["--max-length", "x"], "build: --max-length: got 'x', wanted a whole number"),
        (["--merge", "all"], "build: --merge: got 'all', wanted one of 'across', 'within'"),
        (["--genom", "g"], "build: --genom: no such option; did you mean --genome"),
        (["--genome"], "build: --genome: got --output, wanted a value"),
        (["g.fa"], "build: Got unexpected extra argument(s) (g.fa)"),
    ],
)
def test_a_wrong_line_is_explained(words, message, tmp_path, capsys):
    assert run("build", *words, "--output", tmp_path / "out") == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("isoclr build: ") and message in error


def test_embed_gives_every_transcript_a_row(genome, groups_folder, model_folder, tmp_path):
    out = tmp_path / "embeddings.parquet"
    assert run("embed", "--model", model_folder, *genome, "--output", out) == 0
    table = pl.read_parquet(out)
    assert table.columns == ["transcript_id", "gene_id", "species", "embedding"]
    assert table["embedding"].dtype == pl.Array(pl.Float32, 10)
    words = ["embed", "--model", model_folder, "--groups", groups_folder]
    assert run(*words, "--output", out) == 2  # what is there is of other transcripts
    assert pl.read_parquet(out).equals(table)
    assert run(*words, "--output", tmp_path / "both.parquet") == 0
    both = pl.read_parquet(tmp_path / "both.parquet")
    joined = both.join(table, on="transcript_id", suffix="_alone")
    assert len(joined) == len(table) < len(both)
    difference = joined["embedding"].to_numpy() - joined["embedding_alone"].to_numpy()
    assert abs(difference).max() <= 1e-5


def test_embed_of_sequences_alone_has_a_cds_where_one_is_guessed(model_folder, tmp_path, capsys):
    fasta, out = tmp_path / "transcripts.fa", tmp_path / "embeddings.parquet"
    coding = "ACG" + "ATG" + "GCC" * 40 + "TAA" + "ACGTACG" * 9
    fasta.write_text(f">coding\n{coding}\n>other\nACGTACGTACGT\n")
    words = ["embed", "--model", model_folder, "--transcripts", fasta, "--output", out]
    assert run(*words) == 0
    wanted = f"{out}: embeddings of 10 numbers; 2 transcripts, 0 with a CDS, 0 of known exons\n"
    assert capsys.readouterr().out == wanted
    bare = pl.read_parquet(out)
    assert bare["transcript_id"].to_list() == bare["gene_id"].to_list() == ["coding", "other"]
    assert run(*words, "--guess-cds", 126, "--overwrite") == 0
    assert "1 with a CDS" in (printed := capsys.readouterr().out)
    assert "  adjusted 1: CDS guessed: the longest reading frame" in printed
    changed = pl.read_parquet(out)["embedding"].to_numpy() != bare["embedding"].to_numpy()
    assert changed.any(axis=1).tolist() == [True, False]


def test_embed_of_a_label_set_is_in_its_order_and_goes_per_position(
    clade, groups_folder, model_folder, tmp_path
):
    labels, out = tmp_path / "labels.parquet", tmp_path / "embeddings.parquet"
    words = [clade.half_life, "--label", "half_life", "--groups", groups_folder]
    assert run("labels", "half-life-human", *words, "--output", labels) == 0
    words = ["embed", "--model", model_folder, "--table", labels, "--output", out]
    assert run(*words, "--per-position") == 0
    labelled, table = read_label_set(labels).transcripts, pl.read_parquet(out)
    assert table.columns == ["transcript_id", "gene_id", "species", "embeddings"]
    assert table["transcript_id"].to_list() == [t.transcript_id for t in labelled]
    assert table["embeddings"].list.len().to_list() == [-(-len(t.sequence) // 8) for t in labelled]


def test_embed_takes_the_shipped_model_where_none_is_named(
    genome, model_folder, tmp_path, monkeypatch, capsys
):
    words = ["embed", *genome, "--output", tmp_path / "embeddings.parquet"]
    monkeypatch.setattr("isoclr.shipped.shipped_model", lambda name: tmp_path / name)
    assert run(*words) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("isoclr embed: isoclr-small: got an installation without")
    (tmp_path / "isoclr-small").symlink_to(model_folder)
    assert run(*words) == 0
    assert "embeddings of 10 numbers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "wanted --genome, --transcripts, --table, --species or --groups"),
        (["--groups", "a", "--table", "t"], "--groups a: wanted no sources beside it"),
        (["--table", "t", "--config", "c"], "--config c: wanted --groups with it"),
    ],
)
def test_embed_wants_one_way_in(words, message, model_folder, tmp_path, capsys):
    out = tmp_path / "out.parquet"
    assert run("embed", "--model", model_folder, *words, "--output", out) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"isoclr embed: {message}"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def registry(clade, tmp_path, monkeypatch):
    """A table of genomes that are served on loopback; all that it takes to build by name."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FileServer() as server:
        for paths in zip(clade.species, clade.genomes, clade.annotations, strict=True):
            sums = ""
            for path in paths[1:]:
                data = path.read_bytes()
                server.files[f"/{paths[0]}/{path.name}"] = Served(data)
                sums += f"{hashlib.md5(data).hexdigest()}  {path.name}\n"
            server.files[f"/{paths[0]}/MD5SUMS"] = Served(sums.encode())
        table = tmp_path / "registry.yaml"
        table.write_text(
            f"""
            providers:
              toy:
                genome: "{server.url}/{{species}}/{{species}}.fa.gz"
                annotation: "{server.url}/{{species}}/{{species}}.gtf.gz"
                checksums: MD5SUMS
            genomes:
            """
            + "".join(
                f"  - {{species: {name}, provider: toy, assembly: A1, releases: 1-}}\n{' ' * 12}"
                for name in clade.species
            )
        )
        yield ["--registry", table, "--cache", tmp_path / "cache", "--release", 3]


def test_build_of_genomes_by_name(clade, registry, groups_folder, tmp_path, capsys):
    named = ["--species", ",".join(clade.species), *registry]
    assert run("build", *named, "--homology", clade.homology, "--output", tmp_path / "out") == 0
    assert list(read_groups(tmp_path / "out")) == list(read_groups(groups_folder))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [(s["species"], s["provider"], s["release"]) for s in report["sources"]] == [
        (name, "toy", "3") for name in clade.species
    ]


def test_a_shard_of_genomes_by_name_downloads_its_own(clade, registry, tmp_path):
    named = ["--species", ",".join(clade.species), *registry]
    assert run("build", *named, "--shard", "1/2", "--output", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "cache" / "toy" / "3").iterdir()] == [
        clade.species[1]
    ]


def test_a_genome_by_name_beside_files(clade, registry, genome, model_folder, tmp_path):
    one, other = clade.species
    words = ["--species", other, *registry, *genome, "--species", one]
    assert run("build", *words, "--output", tmp_path / "groups") == 0
    counts = json.loads((tmp_path / "groups" / "report.json").read_text())["dataset"]["species"]
    assert set(counts) == {one, other}
    out = tmp_path / "embeddings.parquet"
    words = ["--species", other, *registry, "--output", out]
    assert run("embed", "--model", model_folder, *words) == 0
    assert len(pl.read_parquet(out)) == counts[other]


def test_homology_of_two_tables_and_their_options(clade, genome, tmp_path, capsys):
    one, other = clade.species
    genes = sorted({line.split("\t")[2] for line in clade.homology.read_text().splitlines()[1:]})
    orthodb, names = tmp_path / "og.tab", tmp_path / "genes.tab"
    orthodb.write_text(f"1at7\talpha:x\n2at8\talpha:x\n2at8\talpha:{genes[1]}\n")
    names.write_text(f"alpha:x\t0\t{genes[0]}\t\t\t\t\t\n")
    toga = tmp_path / "orthology.tsv"
    toga.write_text(
        "t_gene\tt_transcript\tq_gene\tq_transcript\torthology_class\n"
        f"{genes[1]}\tt\t{genes[2]}\tq\tone2one\n"
    )
    words = ["build", *genome, "--species", "alpha", "--homology", orthodb, "--level", 8]
    words += ["--homology-genes", names, "--homology", toga, "--reference", "alpha"]
    words += ["--query", "alpha", "--output", tmp_path / "out"]
    assert run(*words) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    files = report["homology"]["files"]
    assert list(files) == ["homology 1", "homology 1, genes", "homology 2"]
    assert (files["homology 1"]["level"], files["homology 2"]["query"]) == ("8", "alpha")
    joined = [{t.gene_id for t in group.transcripts} for group in read_groups(tmp_path / "out")]
    assert max(joined, key=len) == set(genes[:3])


@pytest.mark.slow
def test_probe_writes_scores_and_figures(clade, groups_folder, model_folder, tmp_path, capsys):
    words = ["--labels", clade.half_life, "--label", "half_life", "--groups", groups_folder]
    words += ["--kmers", "1-2,3-3", "--split", "k-mer", "--few-labels", 15]
    theirs = tmp_path / "theirs.parquet"
    embed = ["embed", "--model", model_folder, "--groups", groups_folder, "--output", theirs]
    assert run(*embed) == 0
    words += ["--embeddings", f"theirs={theirs}"]
    assert run("probe", "--model", model_folder, *words, "--output", tmp_path) == 0
    content = json.loads((tmp_path / "probe.json").read_text())
    summary = content["summary"]
    # The same encoder; in other batches it differs in the last digits.
    assert summary["theirs"]["pearson"] == pytest.approx(
        summary[model_folder.name]["pearson"], abs=1e-4
    )
    models = [model_folder.name, "theirs", "random weights"]
    controls = ["k-mers 1-2", "k-mers 3-3", "structure", "codons", "codons + structure"]
    controls += ["codons + structure + sites", "codons + structure + k-mers 1-4", "boosting"]
    assert list(summary) == [*models, *controls]
    for name in ("probe", "few_labels"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    (few,) = content["few_labels"]
    assert few["train_rows"] == 15 and list(few["summary"]) == list(summary)
    printed = capsys.readouterr().out
    assert model_folder.name in printed and "by labels to learn from" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--few-labels", "8,x"], "--few-labels: got '8,x', wanted whole numbers, such as 85,171"),
        (["--embeddings", "a.parquet"], "--embeddings: got 'a.parquet', wanted NAME=FILE, such"),
        (["--embeddings", "a=b", "--embeddings", "a=c"], "--embeddings: got the name 'a' twice"),
        (["--task", "stability"], "task: got 'stability', wanted one of half-life-human, "),
        (["--kmers", "6-1"], "--kmers: got '6-1', wanted lengths up to 9, such as 1-6,3-7"),
        (["--kmers", "3"], "--kmers: got '3', wanted lengths up to 9"),
        (
            ["--split", "letter"],
            "--split: got 'letter', wanted one of 'homology', 'random', 'chromosome', 'k-mer'",
        ),
    ],
)
def test_a_wrong_line_to_probe_is_explained(words, message, capsys):
    assert run("probe", "--model", "m", "--labels", "l", "--output", "o", *words) == 2
    assert message in capsys.readouterr().err


# --- Label sets


@pytest.fixture
def go(clade, tmp_path):
    """Sets of genes, annotations and an ontology of two terms, on genes of the first species."""
    rows = [line.split("\t") for line in clade.homology.read_text().splitlines()[1:]]
    genes = [gene for _, species, gene in rows if species == clade.species[0]][:12]
    gmt, gaf, obo = (tmp_path / name for name in ("sets.gmt", "genes.gaf", "go.obo"))
    gmt.write_text("\t".join(["SOME", "-", *genes[:9]]) + "\nRARE\t-\t" + genes[10] + "\n")
    gaf.write_text(
        "".join(
            f"X\t{gene}\tS{i}\t\tGO:000000{1 + i % 2}\tr\tIDA\t\tF\t\t\tprotein\ttaxon:9606\td\tX\n"
            for i, gene in enumerate(genes)
        )
    )
    obo.write_text(
        "".join(
            f"[Term]\nid: GO:000000{n}\nnamespace: molecular_function\n{above}\n"
            for n, above in ((1, ""), (2, "is_a: GO:0000001\n"))
        )
    )
    return gmt, gaf, obo


def test_half_life_joined_with_groups_is_probed(
    clade, groups_folder, model_folder, tmp_path, capsys
):
    out = tmp_path / "labels.parquet"
    words = [clade.half_life, "--label", "half_life", "--groups", groups_folder]
    assert run("labels", "half-life-human", *words, "--output", out) == 0
    labels = read_label_set(out)
    wanted = read_labels(
        clade.half_life, "half_life", join=Join(isoform_groups=read_groups(groups_folder))
    )
    assert labels.transcripts == wanted.transcripts
    assert (labels.targets == wanted.targets).all() and labels.groups == wanted.groups
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{out}: half_life of {len(labels.transcripts)} transcripts, regression"
    assert {line.strip() for line in printed[1:]} == {
        *(f"{outcome}: {n}" for outcome, n in labels.report.items()),
        *(f"matched of {species}: {n}" for species, n in labels.matched.items()),
    }
    words = ["--labels", out, "--kmers", "1-2", "--output", tmp_path]
    assert run("probe", "--model", model_folder, *words) == 0
    probed = json.loads((tmp_path / "probe.json").read_text())
    assert probed["rows"] == len(labels.transcripts)
    assert probed["groups"] == len(set(labels.groups))


def test_labels_of_sources_go_by_symbol_and_homology(clade, genome, tmp_path):
    rows = [line.split("\t") for line in clade.homology.read_text().splitlines()[1:]]
    group_of = {gene: group for group, species, gene in rows if species == clade.species[0]}
    gene, *others = group_of
    annotation = tmp_path / "named.gtf"
    with gzip.open(clade.annotations[0], "rt") as lines:
        text = lines.read()
    annotation.write_text(
        text.replace(f'gene_id "{gene}";', f'gene_id "{gene}"; gene_name "SYMBOL";')
    )
    table = tmp_path / "labels.tsv"
    table.write_text("gene\tx\nSYMBOL\t1.5\n" + "".join(f"{other}\t2\n" for other in others))
    words = ["--label", "x", "--species", clade.species[0], "--homology", clade.homology]
    words += ["--genome", clade.genomes[0], "--annotation", annotation]
    assert run("labels", "table", table, *words, "--output", tmp_path / "x.parquet") == 0
    labels = read_label_set(tmp_path / "x.parquet")
    assert {t.gene_id: x for t, x in zip(labels.transcripts, labels.targets, strict=True)} == {
        gene: 1.5,
        **dict.fromkeys(others, 2),
    }
    assert labels.groups == tuple(group_of[t.gene_id] for t in labels.transcripts)


def test_gene_ontology_by_sets_and_by_annotations(clade, go, genome, tmp_path, capsys):
    gmt, gaf, obo = go
    out = tmp_path / "go.parquet"
    words = ["--min-genes", 5, *genome, "--species", "human", "--output", out]
    assert run("labels", "go-mf", gmt, *words) == 0
    labels = read_label_set(out)
    assert (labels.classes, labels.report["matched"]) == (("SOME",), 10)
    assert "go of 10 transcripts, multilabel, 1 classes" in capsys.readouterr().out
    assert run("labels", "go-mf", gaf, "--obo", obo, *words) == 0
    labels = read_label_set(out)
    assert labels.targets.sum(axis=0).tolist() == [12, 6]
    assert labels.report["annotations used"] == 12


def test_localisation_and_ribosome_load(clade, groups_folder, tmp_path):
    transcripts = [t for group in read_groups(groups_folder) for t in group.transcripts]
    table = tmp_path / "places.tsv"
    rows = (f"{t.transcript_id}\t{t.species}\t{i % 2}\n" for i, t in enumerate(transcripts))
    table.write_text("transcript_id\tspecies\tnucleus\n" + "".join(rows))
    out = tmp_path / "labels.parquet"
    words = ["--groups", groups_folder, "--output", out]
    assert run("labels", "localisation", table, *words) == 0
    labels = read_label_set(out)
    assert labels.transcripts == tuple(transcripts) and labels.classes == ("nucleus",)
    assert labels.targets[:, 0].tolist() == [i % 2 == 1 for i in range(len(transcripts))]
    library = tmp_path / "library.tsv"
    library.write_text("utr\trl\n" + "".join(f"{b}{c}{b}\t1.5\n" for b in "ACGT" for c in "ACGT"))
    assert run("labels", "ribosome-load", library, "--output", out) == 0
    assert len(read_label_set(out).transcripts) == 16


def test_labels_that_cannot_be_made_are_one_line(go, genome, groups_folder, tmp_path, capsys):
    gmt, gaf, obo = go
    groups = ["--groups", groups_folder]
    cases = {
        "sets.gmt: got no transcripts to label, wanted isoform groups or a": ["go-mf", gmt],
        "task: got 'go', wanted one of half-life-human, ": ["go", gmt, *groups],
        "--kind binary: wanted none, go-mf has its own": ["go-mf", gmt, "--kind", "binary"],
        "table: wanted --label, and no option of Gene Ontology": ["table", gmt],
        "half-life-human: got the option obo, wanted column": [
            "half-life-human",
            gmt,
            "--obo",
            obo,
        ],
        "species 'x': wanted none, a GAF names": [
            "go-mf",
            gaf,
            "--obo",
            obo,
            "--species",
            "x",
            *groups,
        ],
        "--species x,y: wanted one": ["localisation", gmt, "--species", "x,y"],
        "wanted no sources and no homology": ["half-life-human", gmt, *groups, *genome],
        "--unmatched x: wanted sources and": ["go-mf", gmt, *groups, "--unmatched", "x"],
        "got no usable row": ["go-mf", gmt, *groups],
        "nowhere.tsv": ["table", "nowhere.tsv", "--label", "x"],
    }
    for message, words in cases.items():
        assert run("labels", *words, "--output", tmp_path / "out.parquet") == 2, message
        (error,) = capsys.readouterr().err.strip().splitlines()
        assert error.startswith("isoclr labels: ") and message in error
    assert not (tmp_path / "out.parquet").exists()


def test_retrieve_writes_ranks_and_prints_the_table(groups_folder, model_folder, tmp_path, capsys):
    words = ["retrieve", "--model", model_folder, "--groups", groups_folder]
    words += ["--output", tmp_path / "out"]
    assert run(*words, "--queries", 4, "--candidates", 40, "--seed", 3) == 0
    about = json.loads((tmp_path / "out" / "retrieve.json").read_text())
    assert (about["seed"], about["transcripts"]) == (3, 40)
    assert set(about["queries"].values()) <= {0, 1, 2, 3, 4}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"retrieve.{kind}" for kind in ("json", "png", "tsv")
    ]
    assert capsys.readouterr().out.startswith("40 transcripts; pairs: 4 splice")
    assert run(*words, "--queries", 0) == 2
    assert "isoclr retrieve: queries: got 0, wanted at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_go_separates_and_probes_terms(groups_folder, clade, model_folder, tmp_path, capsys):
    rows = [line.split("\t") for line in clade.homology.read_text().splitlines()[1:]]
    genes = [gene for _, species, gene in rows if species == clade.species[0]]
    gmt, labels = tmp_path / "sets.gmt", tmp_path / "go.parquet"
    sets = {"EVEN": genes[::2], "ODD": genes[1::2]}
    gmt.write_text("".join("\t".join([name, "-", *found]) + "\n" for name, found in sets.items()))
    species = ["--species", clade.species[0]]
    assert run("labels", "go-mf", gmt, *species, "--groups", groups_folder, "--output", labels) == 0
    words = ["go", "--model", model_folder, "--labels", labels, "--output", tmp_path / "out"]
    assert run(*words, "--max-share", 0.7, "--terms", 2, "--seeds", 2) == 0
    assert json.loads((tmp_path / "out" / "go.json").read_text())["terms"] == ["EVEN", "ODD"]
    assert len(json.loads((tmp_path / "out" / "probe.json").read_text())["seeds"]) == 2
    out = capsys.readouterr().out
    assert "genes with one of 2 terms" in out and "silhouette" in out and "auroc" in out.lower()
    for wrong in (1, 11):
        assert run(*words, "--seeds", wrong) == 2
        assert f"--seeds: got {wrong}, wanted 2 to 10" in capsys.readouterr().err


@pytest.fixture
def supervised(clade, groups_folder, model_folder, tmp_path):
    """What finetune and low-data have in common, with settings that end soon."""
    settings = tmp_path / "settings.yaml"
    quick = "{evaluations: 1, evaluate_every: 1}"
    settings.write_text(f"from_scratch: {quick}\nfine_tuned: {quick}\n")
    words = ["--model", model_folder, "--labels", clade.half_life, "--label", "half_life"]
    words += ["--groups", groups_folder, "--settings", settings, "--seeds", 2]
    return [*words, "--max-length", 600, "--output", tmp_path / "out"]


def test_finetune_writes_scores_figure_and_model(supervised, tmp_path, capsys):
    assert run("finetune", *supervised, "--from-scratch") == 0
    content = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert list(content["summary"]) == ["from scratch", "frozen", "fine-tuned"]
    about = content["about"]
    assert (about["max_length"], about["settings"]["fine_tuned"]["evaluations"]) == (600, 1)
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {"finetune.json", "finetune.png", "model"}
    assert "fine-tuned" in capsys.readouterr().out


def test_low_data_goes_on_with_methods_and_fractions(supervised, tmp_path, capsys):
    words = ["low-data", *supervised, "--fractions", "0.5,1"]
    assert run(*words, "--methods", "probe") == 0
    assert run(*words, "--methods", "structure,probe") == 0
    runs = json.loads((tmp_path / "out" / "low_data.json").read_text())["runs"]
    assert [(r["predictor"], r["labels"]) for r in runs] == [
        (name, fraction)
        for name in ("linear probe", "ridge, structure")
        for fraction in (0.5, 1.0)
        for _ in range(2)
    ]
    assert (tmp_path / "out" / "low_data.png").stat().st_size > 10_000
    assert "linear probe" in capsys.readouterr().out
    for message, wrong in {
        "--seeds: got 1, wanted 2 to 10": ["--seeds", 1],
        "--max-length: got 0": ["--max-length", 0],
        "method: got 'magic'": ["--methods", "magic"],
        "labels to learn from: got 2.0": ["--fractions", 2],
        "nowhere.yaml": ["--settings", "nowhere.yaml"],
        "split: got 'homology' in it, wanted 'random'": ["--split", "random"],
    }.items():
        assert run(*words, *wrong) == 2, message
        (error,) = capsys.readouterr().err.strip().splitlines()[-1:]
        assert error.startswith("isoclr low-data: ") and message in error


def test_explain_a_probe_or_a_similarity(clade, groups_folder, model_folder, tmp_path, capsys):
    labels, out = tmp_path / "half_life.parquet", tmp_path / "out"
    words = [clade.half_life, "--label", "half_life", "--groups", groups_folder]
    assert run("labels", "half-life-human", *words, "--output", labels) == 0
    one, other = (t.transcript_id for t in read_label_set(labels).transcripts[:2])
    words = ["explain", "--model", model_folder, "--transcript", one, "--output", out]
    capsys.readouterr()
    assert run(*words, "--labels", labels, "--window", "10:13") == 0
    about = json.loads((out / "explain.json").read_text())
    assert (about["score"], about["mutated_positions"]) == ("linear probe of half_life", 3)
    assert capsys.readouterr().out.startswith(f"{one}: linear probe of half_life ")
    genome = [*("--genome", clade.genomes[0]), *("--annotation", clade.annotations[0])]
    assert run(*words, *genome, "--similar-to", other, "--window", "0:9", "--stride", 3) == 0
    about = json.loads((out / "explain.json").read_text())
    assert (about["score"], about["mutated_positions"]) == (f"similarity to {other}", 3)
    assert sorted(path.name for path in out.iterdir()) == [
        f"explain.{kind}" for kind in ("json", "png", "tsv")
    ]


def test_what_cannot_be_explained_is_one_line(groups_folder, model_folder, tmp_path, capsys):
    words = ["explain", "--model", model_folder, "--transcript", "x", "--output", tmp_path / "out"]
    cases = {
        "wanted --genome, --transcripts, --table, --species or --groups": [],
        "transcript 'x': got none among": ["--groups", groups_folder],
        "wanted no sources": ["--groups", groups_folder, "--table", "t.tsv"],
        "nowhere.parquet": ["--labels", "nowhere.parquet"],
    }
    for message, more in cases.items():
        assert run(*words, *more) == 2, message
        (error,) = capsys.readouterr().err.strip().splitlines()
        assert error.startswith("isoclr explain: ") and message in error
    for window in ("5", "a:b", "-1:3"):
        assert run(*words, f"--window={window}") == 2
        assert f"got '{window}', wanted START:END, such as 0:300" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
        "species.yaml: got no species 'x'": of_species[:1] + ["x", *output],
        "--cache: wanted a --species before all sources": ["--cache", "c", *output],
        "nowhere.tsv": [
            *("--genome", genome, "--annotation", annotation, "--homology", "nowhere.tsv"),
            *of_species,
        ],
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
        wanted = "wanted a model that train.py wrote, or one of isoclr-small, "
        assert error.startswith(f"isoclr embed: {name}: no such folder, {wanted}")
    assert run("embed", "--model", tmp_path, *words) == 2
    assert "no config.json in it" in capsys.readouterr().err
