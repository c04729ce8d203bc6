import hashlib
import json
import shutil
from collections import Counter

import datasets
import pyarrow.parquet as pq
import pytest

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups import grouping
from data_builders.groups.build import FastaSource, GenomeSource, TableSource, build, group_sources
from data_builders.groups.grouping import Grouping
from data_builders.groups.parquet import read_groups
from data_builders.homology.homologous_genes import read_homology
from data_builders.homology.report import report_homology
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError
from data_builders.text import Tally

GTF = 'gene_id "g"; transcript_id "{}"; gene_name "ABC";'
LINES = [
    ("exon", 1, 4, "t1"),
    ("exon", 7, 12, "t1"),
    ("CDS", 1, 4, "t1"),
    ("CDS", 7, 8, "t1"),
    ("exon", 1, 12, "t2"),
    ("exon", 1, 4, "t3"),
    ("exon", 3, 9, "t3"),
]


@pytest.fixture
def inputs(tmp_path):
    texts = {
        "g.fa": ">1\nATGCGGCCTAAC\n",
        "g.gtf": "".join(
            f"1\tx\t{feature}\t{start}\t{end}\t.\t+\t0\t{GTF.format(name)}\n"
            for feature, start, end, name in LINES
        ),
        "t.fa": ">m1\nACGTT\n>m2\nACGTTACGTT\n",
        "t.tsv": "transcript_id\tgene_id\tspecies\tsequence\nc1\tc\tcow\tACG\nc2\tc\tcow\tACG\n",
        "h.tsv": "group_id\tspecies\tgene_id\nH\thuman\tABC\nH\tmouse\tm1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def sources(folder):
    return [
        GenomeSource(folder / "g.fa", folder / "g.gtf", "human"),
        FastaSource(folder / "t.fa", "mouse"),
        TableSource(folder / "t.tsv"),
    ]


def test_build_writes_groups_and_a_report_that_adds_up(inputs):
    output = inputs / "out"
    report = build(sources(inputs), output, Grouping(max_length=9 + 1), homology=inputs / "h.tsv")
    found = {g.group_id: [t.transcript_id for t in g.transcripts] for g in read_groups(output)}
    assert found == {"H": ["t1", "m1"], "mouse:m2": ["m2"], "cow:c": ["c1"]}
    t1 = next(g.transcripts[0] for g in read_groups(output) if g.group_id == "H")
    assert (t1.sequence, t1.cds_start, t1.cds_end) == ("ATGCCCTAAC", 0, 9)
    assert t1.exon_junctions == (4,)

    assert report == json.loads((output / "report.json").read_text())
    assert report["shard"] is None
    genome, fasta, table = report["sources"]
    assert (genome["read"], genome["kept"]) == (3, 2)
    assert genome["skipped"] == {"exons overlap": 1}
    assert genome["adjusted"] == {"CDS extended by the stop codon after it": 1}
    digest = hashlib.sha256((inputs / "g.fa").read_bytes()).hexdigest()
    assert genome["files"]["genome"] == {"name": "g.fa", "sha256": digest}
    assert set(genome["files"]) == {"genome", "annotation"}
    assert (fasta["read"], table["read"]) == (2, 2)
    assert report["grouping"] == {
        "max_length": 10,
        "select": None,
        "read": 6,
        "kept": 4,
        "skipped": {"duplicate in its group": 1, "longer than 10 nt": 1},
        "adjusted": {},
        "selected": {},
    }
    assert report["warnings"] == [
        "cow: no table of homology has this species; they have 10090, 9606"
    ]
    assert report["homology"]["matches"] == [
        {"table": "h.tsv", "species": species, "taxon": taxon, "genes": genes}
        | {"matched": matched, "in_table": in_table}
        for species, taxon, genes, matched, in_table in (
            ("cow", "9913", 1, 0, 0),
            ("human", "9606", 1, 1, 1),
            ("mouse", "10090", 2, 1, 1),
        )
    ]
    assert report["homology"]["read"] == 2
    partition = report_homology(read_homology(inputs / "h.tsv"))
    assert report["homology"]["partition"] == partition and partition["groups"] == 1
    assert report["dataset"] == {
        "groups": 3,
        "transcripts": 4,
        "genes": 4,
        "nucleotides": 28,
        "species": {"cow": 1, "human": 1, "mouse": 2},
        "with_cds": 1,
        "with_exon_structure": 1,
        "exon_junctions": 1,
        "transcripts_per_group": {"1": 2, "2": 1},
    }
    for name in ("report.png", "homology.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")


def test_same_inputs_give_the_same_bytes(inputs):
    for name in ("one", "two"):
        build(sources(inputs), inputs / name)
    first, second = (
        {p.relative_to(inputs / name): p.read_bytes() for p in (inputs / name).rglob("*.[jp]*")}
        for name in ("one", "two")
    )
    assert len(first) == 3
    assert first == second


def test_a_dataset_is_replaced_only_when_asked(inputs):
    build(sources(inputs)[:1], inputs / "out")
    with pytest.raises(InputError, match="out: got a dataset already"):
        build(sources(inputs)[1:], inputs / "out")
    assert next(read_groups(inputs / "out")).group_id == "human:g"
    build(sources(inputs)[1:], inputs / "out", overwrite=True)
    assert next(read_groups(inputs / "out")).group_id == "mouse:m1"


def test_structure_of_a_transcript_fasta(inputs):
    (inputs / "s.fa").write_text(">t1\nATGCCCTAAC\n")
    source = FastaSource(inputs / "s.fa", "human", inputs / "g.gtf")
    report = build([source], inputs / "out")
    (group,) = read_groups(inputs / "out")
    assert group.transcripts[0].exon_junctions == (4,)
    skipped = {"exons overlap": 1, "not in the transcript FASTA": 1}
    assert report["sources"][0]["skipped"] == skipped
    assert (report["sources"][0]["read"], report["sources"][0]["kept"]) == (3, 1)


def test_unusable_inputs(inputs):
    with pytest.raises(InputError, match="out: got no source"):
        build([], inputs / "out")
    with pytest.raises(InputError, match=r"no\.tsv: got no such file"):
        build([*sources(inputs), TableSource(inputs / "no.tsv")], inputs / "out")
    with pytest.raises(InputError, match=r"no\.tsv: got no such file"):
        build(sources(inputs), inputs / "out", homology=inputs / "no.tsv")
    with pytest.raises(InputError, match="got no transcript to write, .*: 6 longer than 1 nt"):
        build(sources(inputs), inputs / "out", Grouping(max_length=1))
    assert not (inputs / "out").exists()


def test_aliases_of_chromosomes(inputs, no_figure):
    (inputs / "other.fa").write_text((inputs / "g.fa").read_text().replace(">1", ">NC_1.1"))
    (inputs / "aliases.txt").write_text("1\tNC_1.1\n")
    source = GenomeSource(inputs / "other.fa", inputs / "g.gtf", "human", inputs / "aliases.txt")
    report = build([source], inputs / "out")
    assert report["sources"][0]["kept"] == 2
    assert report["sources"][0]["adjusted"]["chromosome found by its alias"] == 1
    assert set(report["sources"][0]["files"]) == {"genome", "annotation", "aliases"}
    with pytest.raises(InputError, match="other.fa: got no chromosome of"):
        build([GenomeSource(inputs / "other.fa", inputs / "g.gtf", "human")], inputs / "new")


def test_strict_makes_every_skip_an_error(inputs, no_figure):
    genome, fasta, table = sources(inputs)
    (inputs / "s.fa").write_text(">t9\nACG\n>t1\nATGCCCTAAC\n")
    no_overlap = (inputs / "g.gtf").read_text().replace("t3", "t4").splitlines(keepends=True)[:-2]
    (inputs / "fine.gtf").write_text("".join(no_overlap))
    structured = FastaSource(inputs / "s.fa", "human", inputs / "fine.gtf")
    for source, error in (
        (genome, r"g\.gtf:6: transcript 't3': exons overlap"),
        (structured, "s.fa: 't9': not in the annotation"),
        (table, "cow c2: duplicate in its group"),
    ):
        report = build([source], inputs / "out", overwrite=True)
        skipped = Counter(report["sources"][0]["skipped"]) + Counter(report["grouping"]["skipped"])
        assert skipped.total() > 0
        before = (inputs / "out" / "report.json").read_bytes()
        with pytest.raises(InputError, match=error):
            build([source], inputs / "out", overwrite=True, strict=True)
        assert (inputs / "out" / "report.json").read_bytes() == before
    with pytest.raises(InputError, match="mouse m2: longer than 5 nt"):
        build([fasta], inputs / "out", Grouping(max_length=5), overwrite=True, strict=True)
    assert build([fasta], inputs / "out", overwrite=True, strict=True)["dataset"]["groups"] == 2


def test_an_interrupted_replacement_is_finished_first(inputs, no_figure):
    output = inputs / "out"
    build(sources(inputs)[1:2], output)
    new = build(sources(inputs)[:1], inputs / "new")
    (output / "data").rename(output / ".old")  # and here the machine went down
    (inputs / "new").rename(output / ".complete")
    with pytest.raises(InputError, match="got a dataset that an interrupted build did not move"):
        next(read_groups(output))
    with pytest.raises(InputError, match="out: got a dataset already"):
        build(sources(inputs)[2:], output)
    assert next(read_groups(output)).group_id == "human:g"
    assert json.loads((output / "report.json").read_text()) == new
    assert sorted(path.name for path in output.iterdir()) == ["data", "report.json", "report.png"]


def test_memory_does_not_hold_all_transcripts(inputs, no_figure, monkeypatch):
    whole = build(sources(inputs), inputs / "one", homology=inputs / "h.tsv")
    monkeypatch.setattr(grouping, "_BYTES_IN_MEMORY", 300)
    assert build(sources(inputs), inputs / "two", homology=inputs / "h.tsv") == whole
    assert list(read_groups(inputs / "one")) == list(read_groups(inputs / "two"))


# --- Homology


@pytest.fixture
def orthodb(inputs):
    """Levels 1 and 2, of which 2 joins human g with mouse m2, known by other names there."""
    (inputs / "og.tab").write_text(
        "7at1\t9606_0:a1\n8at2\t9606_0:a1\n8at2\t10090_0:b2\n9at1\t10090_0:b2\n"
    )
    names = [("9606_0:a1", "ABC"), ("10090_0:b2", "m2")]
    lines = (f"{gene}\t0\t{name}\t\t\t\t\t\n" for gene, name in names)
    (inputs / "genes.tab").write_text("".join(lines))
    return HomologyTable(inputs / "og.tab", level="2", genes=inputs / "genes.tab")


def grouped(folder):
    return {g.group_id: [t.transcript_id for t in g.transcripts] for g in read_groups(folder)}


def test_a_table_that_leaves_something_unsaid(inputs, orthodb, no_figure):
    report = build(sources(inputs)[:2], inputs / "out", homology=orthodb)
    wanted = {"8at2": ["t1", "t2", "m2"], "mouse:m1": ["m1"]}
    assert grouped(inputs / "out") == wanted
    files = report["homology"]["files"]
    assert list(files) == ["homology", "homology, genes"]
    assert files["homology"]["level"] == "2" and files["homology"]["name"] == "og.tab"
    digest = hashlib.sha256((inputs / "genes.tab").read_bytes()).hexdigest()
    assert files["homology, genes"] == {"name": "genes.tab", "sha256": digest}
    (inputs / "genes.tab").unlink()
    with pytest.raises(InputError, match=r"genes\.tab: got no such file"):
        build(sources(inputs)[:2], inputs / "new", homology=orthodb)


def test_several_tables_are_joined(inputs, orthodb, no_figure):
    (inputs / "more.tsv").write_text("group_id\tspecies\tgene_id\nK\tmouse\tm1\nK\tcow\tc\n")
    tables = [inputs / "h.tsv", inputs / "more.tsv"]
    report = build(sources(inputs), inputs / "out", homology=tables)
    ((name, members),) = [pair for pair in grouped(inputs / "out").items() if len(pair[1]) > 1]
    assert (name, members) == ("10090:m1", ["t1", "t2", "m1", "c1"])
    files = report["homology"]["files"]
    assert {role: file["name"] for role, file in files.items()} == {
        "homology 1": "h.tsv",
        "homology 2": "more.tsv",
    }
    assert report["homology"]["read"] == 4
    with pytest.raises(InputError, match="homology: got no table"):
        build(sources(inputs), inputs / "new", homology=[])


def test_no_figure_of_homology_stays_without_homology(inputs):
    build(sources(inputs), inputs / "out", homology=inputs / "h.tsv")
    build(sources(inputs), inputs / "out", overwrite=True)
    assert not (inputs / "out" / "homology.png").exists()


def test_groups_without_a_dataset_are_those_of_build(inputs, no_figure):
    table = inputs / "h.tsv"
    report = build(sources(inputs), inputs / "out", homology=table)
    tally = Tally()
    groups, symbols = group_sources(sources(inputs), read_homology(table), tally)
    assert not symbols
    assert list(groups) == list(read_groups(inputs / "out"))
    assert symbols == {("human", "g"): "ABC"}
    assert tally.read == sum(source["read"] for source in report["sources"])
    without, _ = group_sources(sources(inputs))
    build(sources(inputs), inputs / "genes")
    assert list(without) == list(read_groups(inputs / "genes"))


# --- Shards


def mixed(folder):
    """Four species, one of them of two sources that share a gene."""
    genes = {
        "human.tsv": [("h1", "ABC", "ACG"), ("h2", "DEF", "ACGT")],
        "mouse.tsv": [("m1", "m1", "ACG"), ("m2", "m2", "AC")],
        "more.tsv": [("h3", "ABC", "GGG"), ("h4", "ABC", "ACG"), ("h5", "XYZ", "AAAAAAAA")],
        "rat.tsv": [("r1", "r1", "ACG"), ("r2", "r2", "ACC"), ("r3", "r2", "ACCC")],
        "fly.tsv": [("f1", "f1", "ACG")],
    }
    homology = [("H", "human", "ABC"), ("H", "human", "DEF"), ("H", "mouse", "m1")]
    homology += [("R", "rat", "r1"), ("R", "rat", "r2"), ("M", "mouse", "m2"), ("M", "fly", "f1")]
    (folder / "groups.tsv").write_text(
        "group_id\tspecies\tgene_id\n" + "".join("\t".join(row) + "\n" for row in homology)
    )
    for name, rows in genes.items():
        lines = ["transcript_id\tgene_id\tsequence", *("\t".join(row) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n")
    species = ["human", "mouse", "human", "rat", "fly"]
    return [TableSource(folder / name, each) for name, each in zip(genes, species, strict=True)]


def rows(folder):
    return {repr(row) for row in pq.read_table(folder / "data").to_pylist()}


MODES = {
    "genes": ("across", None),
    "within": ("within", "groups.tsv"),
    "across": ("across", "groups.tsv"),
}


@pytest.mark.parametrize("shards", [1, 2, 3, 11])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("named", [True, False])
def test_shards_make_the_dataset(inputs, no_figure, mode, shards, named):
    found = mixed(inputs) if named else [*mixed(inputs), TableSource(inputs / "t.tsv")]
    merge, homology = MODES[mode]
    how = Grouping(merge=merge, max_length=7, rows_per_file=2)
    homology = homology and inputs / homology
    whole = build(found, inputs / "whole", how, homology=homology)
    merged, reports = inputs / "merged", []
    for number in range(shards):
        folder = inputs / f"shard{number}"
        reports.append(build(found, folder, how, homology=homology, shard=(number, shards)))
        assert not (folder / "report.json").exists()
        shutil.copytree(folder, merged, dirs_exist_ok=True)
    assert rows(merged) == rows(inputs / "whole")
    assert len(list(read_groups(merged))) == whole["dataset"]["groups"]
    names = sorted(path.stem for path in (merged / "reports").iterdir())
    assert names == sorted(f"{i:05d}-of-{shards:05d}" for i in range(shards) for _ in range(2))

    assert [report["shard"] for report in reports] == [
        {"number": number, "of": shards} for number in range(shards)
    ]
    for count in ("read", "kept"):
        assert sum(r["grouping"][count] for r in reports) == whole["grouping"][count]
    skipped = sum((Counter(r["grouping"]["skipped"]) for r in reports), Counter())
    assert skipped == whole["grouping"]["skipped"]
    assert len(skipped) == 2
    for count in ("groups", "transcripts", "genes", "nucleotides", "exon_junctions"):
        assert sum(r["dataset"][count] for r in reports) == whole["dataset"][count]
    dealt_by_species = named and mode != "across"
    read = [source for report in reports for source in report["sources"]]
    assert len(read) == (len(found) if dealt_by_species else len(found) * shards)


def test_a_shard_needs_only_the_files_of_its_species(inputs, no_figure):
    found = mixed(inputs)
    for path in ("mouse.tsv", "fly.tsv"):
        (inputs / path).unlink()
    report = build(found, inputs / "out", shard=(0, 2))
    assert [source["species"] for source in report["sources"]] == ["human", "human", "rat"]
    with pytest.raises(InputError, match=r"mouse\.tsv: got no such file"):
        build(found, inputs / "out", shard=(1, 2))
    with pytest.raises(InputError, match=r"mouse\.tsv: got no such file"):
        build(found, inputs / "new", shard=(0, 2), homology=inputs / "groups.tsv")


def test_shards_may_share_a_folder(inputs, no_figure):
    found, output = mixed(inputs), inputs / "out"
    for number in (2, 0):
        build(found, output, Grouping(rows_per_file=1), shard=(number, 3))
    missing = r"data: got 6 of 7 files, wanted train-00001-of-00003-part-0000-of-0001\.parquet too"
    with pytest.raises(InputError, match=missing):
        list(read_groups(output))
    with pytest.raises(InputError, match="out: got shard 2/3 already"):
        build(found, output, shard=(2, 3))
    with pytest.raises(
        InputError, match=r"data: got 'train-0000.*', wanted nothing but shards of 4"
    ):
        build(found, output, shard=(0, 4), overwrite=True)
    build(found, output, shard=(1, 3))
    build(found, output, Grouping(rows_per_file=9), shard=(0, 3), overwrite=True)
    assert {g.group_id for g in read_groups(output)} == {
        *("human:ABC", "human:DEF", "human:XYZ", "mouse:m1", "mouse:m2", "rat:r1", "rat:r2"),
        "fly:f1",
    }
    assert sorted(path.name for path in output.iterdir()) == ["data", "reports"]
    build(found, output, overwrite=True)
    assert sorted(path.name for path in output.iterdir()) == ["data", "report.json", "report.png"]
    with pytest.raises(InputError, match="wanted nothing but shards of 3"):
        build(found, output, shard=(0, 3))


def test_a_shard_without_groups_is_a_valid_file(inputs, no_figure):
    for number in range(11):
        build(mixed(inputs), inputs / "out", shard=(number, 11))
    path = inputs / "out" / "data" / "train-00009-of-00011-part-0000-of-0001.parquet"
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).equals(GROUP_SCHEMA)
    opened = datasets.load_dataset(str(inputs / "out"), streaming=True)["train"]
    assert len(list(opened)) == 8


@pytest.mark.parametrize("shard", [(3, 3), (-1, 3), (0, 0), (0, 100_000)])
def test_a_shard_that_does_not_exist(inputs, shard):
    with pytest.raises(InputError, match=f"out: shard: got {shard[0]}/{shard[1]}, wanted i/n"):
        build(sources(inputs), inputs / "out", shard=shard)


@pytest.mark.slow
@pytest.mark.parametrize("merge", ["across", "within"])
def test_shards_of_real_data(real_data, tmp_path, merge):
    names = ("caenorhabditis_elegans", "arabidopsis_thaliana", "drosophila_melanogaster")
    genomes = real_data / "genomes"
    found = [
        GenomeSource(genomes / f"{name}.1pct.fa.gz", genomes / f"{name}.1pct.gff3.gz", name)
        for name in names
    ]
    homology = real_data / "homology" / "homologene_build68.tsv.gz"
    how = Grouping(merge=merge)
    whole = build(found, tmp_path / "whole", how, homology=homology)
    for number in range(4):
        build(found, tmp_path / "parts", how, homology=homology, shard=(number, 4))
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == whole["dataset"]["groups"] > 400


@pytest.mark.parametrize("species", ["", " ", "a\nb", "\x1b[2J"])
def test_a_species_without_a_name_is_refused(inputs, species):
    with pytest.raises(InputError, match="species: got .*, wanted a name"):
        build([FastaSource(inputs / "t.fa", species)], inputs / "out")
    assert not (inputs / "out").exists()


@pytest.mark.parametrize("options", [{"max_length": 0}, {"rows_per_file": -1}])
def test_sizes_below_one_are_refused(options):
    with pytest.raises(InputError, match="wanted at least 1"):
        Grouping(**options)
