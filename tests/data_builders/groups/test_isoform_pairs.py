"""The builder gives the rows of `build`, whatever the number of processes."""

import json
import logging
import os
import subprocess
import sys

import datasets
import pytest
from datasets import load_dataset
from datasets.exceptions import DatasetGenerationError

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups.build import FastaSource, GenomeSource, TableSource, build
from data_builders.groups.grouping import Grouping
from data_builders.groups.isoform_pairs import IsoformPairs
from data_builders.groups.parquet import read_groups
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError
from loopback_hub import run_client

TABLE = "transcript_id\tgene_id\tspecies\tsequence\tcds_start\tcds_end\n"


@pytest.fixture(scope="module", autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


pytestmark = pytest.mark.usefixtures("no_figure")


@pytest.fixture(scope="module")
def sources(clade):
    files = zip(clade.genomes, clade.annotations, clade.species, strict=True)
    return [GenomeSource(*source) for source in files]


@pytest.fixture
def inputs(tmp_path):
    """Two species in a FASTA each, a table of both, and homology that joins them."""
    (tmp_path / "a.fa").write_text(">a1\nACGTN\n>a2\nACG\n")
    (tmp_path / "b.fa").write_text(">b1\nTTTT\n>b2\n" + "ACGTACGTAC" * 3 + "\n")
    (tmp_path / "t.tsv").write_text(TABLE + "c1\tc\ta\tATGTAA\t0\t6\nc2\tc\tb\tGGG\t-1\t-1\n")
    (tmp_path / "h.tsv").write_text("group_id\tspecies\tgene_id\nH\ta\ta1\nH\tb\tb1\n")
    return tmp_path


def pairs(inputs, *names, **keywords):
    """A builder of some of the inputs."""
    made = {name: FastaSource(inputs / f"{name}.fa", name) for name in "ab"}
    made["t"] = TableSource(inputs / "t.tsv")
    keywords.setdefault("cache_dir", str(inputs / "cache"))
    return IsoformPairs.from_sources([made[name] for name in names], **keywords)


def ids(rows):
    return {row["group_id"]: row["transcript_id"] for row in rows}


def stream(builder):
    return list(builder.as_streaming_dataset(split="train"))


def rows_of(folder):
    """What `build` wrote, as `datasets` gives rows."""
    tracks = GROUP_SCHEMA.names[1:]
    rows = []
    for group in read_groups(folder):
        row = {track: [getattr(t, track) for t in group.transcripts] for track in tracks}
        junctions = [None if j is None else list(j) for j in row["exon_junctions"]]
        rows.append({"group_id": group.group_id, **row, "exon_junctions": junctions})
    return rows


@pytest.mark.parametrize("merge", ["across", "within"])
def test_rows_are_those_of_build(sources, clade, tmp_path, merge):
    homology, how = {"homology": clade.homology}, Grouping(merge=merge)
    build(sources, tmp_path / "built", how, **homology)
    pooled = wanted = rows_of(tmp_path / "built")
    if merge == "within":  # species after species
        wanted = []
        for source in sources:
            build([source], tmp_path / source.species, how, **homology)
            wanted += rows_of(tmp_path / source.species)
    builder = IsoformPairs.from_sources(
        sources, cache_dir=str(tmp_path / "cache"), merge=merge, **homology
    )
    streamed = builder.as_streaming_dataset(split="train")
    assert streamed.num_shards == (1 if merge == "across" else 2)
    assert list(streamed) == wanted
    builder.download_and_prepare()
    assert builder.as_dataset(split="train").to_list() == wanted
    by_id = {row["group_id"]: row for row in pooled}
    assert len(by_id) == len(wanted) and {row["group_id"]: row for row in wanted} == by_id
    # Not alike by chance: the two ways of merging give other groups.
    assert (len(wanted) > len(clade.species) * 12) == (merge == "within")


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one_in_the_same_order(sources, tmp_path):
    prepared = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        builder = IsoformPairs.from_sources(sources, cache_dir=str(folder / "cache"))
        builder.download_and_prepare(str(folder / "out"), file_format="parquet", num_proc=processes)
        prepared[processes] = load_dataset(
            str(folder / "out"), split="train", cache_dir=str(folder / "cache")
        )
        assert len(list((folder / "out").glob("*.parquet"))) == processes
    assert prepared[1].features == prepared[2].features == builder.info.features
    assert prepared[1].to_list() == prepared[2].to_list() == stream(builder)


def test_features_are_those_of_groups(inputs):
    features = pairs(inputs, "a").info.features
    assert features == datasets.Features.from_arrow_schema(GROUP_SCHEMA)
    assert features["exon_junctions"] == datasets.List(datasets.List(datasets.Value("int32")))
    (row,) = [row for row in stream(pairs(inputs, "t")) if row["species"] == ["a"]]
    assert row == {
        "group_id": "a:c",
        "transcript_id": ["c1"],
        "gene_id": ["c"],
        "species": ["a"],
        "sequence": ["ATGTAA"],
        "cds_start": [0],
        "cds_end": [6],
        "exon_junctions": [None],
    }


def test_shards_are_species_unless_groups_may_cross_them(inputs):
    def shards(*names, **keywords):
        return pairs(inputs, *names, **keywords).as_streaming_dataset(split="train").num_shards

    homology = inputs / "h.tsv"
    assert shards("a", "b") == shards("a", "b", "a") == 2
    assert shards("a", "b", homology=homology, merge="within") == 2
    assert shards("a", "b", homology=homology) == 1
    assert shards("a", "t") == 1  # the table has transcripts of a, too
    assert ids(stream(pairs(inputs, "a", "b", homology=homology)))["H"] == ["a1", "b1"]
    within = ids(stream(pairs(inputs, "a", "b", homology=homology, merge="within")))
    assert (within["H:a"], within["H:b"]) == (["a1"], ["b1"])


def test_what_tables_of_homology_leave_unsaid(inputs):
    (inputs / "og.tab").write_text("1at7\ta:x\n2at8\ta:x\n2at8\tb:b1\n")
    genes = inputs / "genes.tab"
    genes.write_text("a:x\t0\ta2\t\t\t\t\t\n")
    table = HomologyTable(inputs / "og.tab", level="8", genes=genes)
    assert ids(stream(pairs(inputs, "a", "b", homology=table)))["2at8"] == ["a2", "b1"]
    both = ids(stream(pairs(inputs, "a", "b", homology=[table, inputs / "h.tsv"])))
    assert sorted(both.values()) == [["a1", "a2", "b1"], ["b2"]]


def test_a_stream_goes_on_in_another_shard(inputs):
    streamed = pairs(inputs, "a", "b").as_streaming_dataset(split="train")
    rows = iter(streamed)
    head = [next(rows) for _ in range(3)]
    state = streamed.state_dict()
    rest = pairs(inputs, "a", "b").as_streaming_dataset(split="train")
    rest.load_state_dict(state)
    tail = list(rest)
    assert [row["species"] for row in head + tail] == [["a"], ["a"], ["b"], ["b"]]
    assert len(ids(head) | ids(tail)) == 4
    assert tail == list(rows)


def test_the_cache_goes_by_content_not_by_time(inputs):
    fasta = inputs / "a.fa"
    first = pairs(inputs, "a")
    first.download_and_prepare()
    assert ids(first.as_dataset(split="train")) == {"a:a1": ["a1"], "a:a2": ["a2"]}
    assert first.cache_dir.endswith("/1.1.0") and "isoform_pairs" in first.cache_dir

    os.utime(fasta, ns=(1, 1))
    assert pairs(inputs, "a").cache_dir == first.cache_dir

    fasta.write_text(fasta.read_text().replace("a2", "a3"))
    os.utime(fasta, ns=(1, 1))  # as a copy that keeps its time
    second = pairs(inputs, "a")
    assert second.cache_dir != first.cache_dir
    second.download_and_prepare()
    assert ids(second.as_dataset(split="train")) == {"a:a1": ["a1"], "a:a3": ["a3"]}


def test_whatever_decides_the_rows_decides_the_cache(inputs):
    homology = inputs / "h.tsv"

    def builders():
        yield pairs(inputs, "a", "b")
        yield pairs(inputs, "b", "a")
        yield pairs(inputs, "a")
        yield pairs(inputs, "a", "b", max_length=10)
        yield pairs(inputs, "a", "b", homology=homology)
        yield pairs(inputs, "a", "b", homology=homology, merge="within")
        yield pairs(inputs, "a", "b", homology=HomologyTable(homology, species="a"))
        yield pairs(inputs, "a", "b", homology=HomologyTable(homology, genes=homology))
        yield pairs(inputs, "a", "b", homology=[homology, homology])
        yield IsoformPairs.from_sources(
            [FastaSource(inputs / "a.fa", "z")], cache_dir=str(inputs / "cache")
        )

    first, again = ([builder.cache_dir for builder in builders()] for _ in range(2))
    assert len(set(first)) == len(first) and first == again


def test_what_is_left_out_is_logged(inputs, caplog):
    assert len(stream(pairs(inputs, "b", max_length=10))) == 1
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert [record.getMessage() for record in caplog.records] == [
        "all: skipped 1: longer than 10 nt",
    ]


def test_bad_inputs(inputs):
    with pytest.raises(InputError, match="got no source, wanted a genome"):
        IsoformPairs.from_sources([])
    with pytest.raises(InputError, match=r"no\.fa: got 'No such file or directory', wanted"):
        IsoformPairs.from_sources([FastaSource(inputs / "no.fa", "a")])
    (inputs / "a.fa").write_text("ACGT\n")
    builder = pairs(inputs, "a")
    with pytest.raises(InputError, match=r"a\.fa:1:"):
        stream(builder)
    with pytest.raises(DatasetGenerationError) as error:
        builder.download_and_prepare()
    assert isinstance(error.value.__cause__, InputError)


@pytest.mark.slow
def test_it_imports_neither_torch_nor_transformers():
    code = "import sys, data_builders.groups.isoform_pairs\n"
    code += "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_push_to_hub_of_datasets(hub, inputs, tmp_path):
    push = """
import sys
from pathlib import Path
from data_builders.groups.build import FastaSource
from data_builders.groups.isoform_pairs import IsoformPairs
folder = Path(sys.argv[1])
for name in "ab":
    builder = IsoformPairs.from_sources([FastaSource(folder / f"{name}.fa", name)])
    builder.download_and_prepare()
    builder.as_dataset().push_to_hub("tester/by-datasets", name)
"""
    load = """
import json, sys
sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)
from datasets import load_dataset
for name in "ab":
    print(json.dumps(list(load_dataset("tester/by-datasets", name, split="train", streaming=True))))
"""
    run_client(hub, push, inputs)
    found = run_client(hub, load).stdout.splitlines()
    assert [json.loads(line) for line in found] == [stream(pairs(inputs, name)) for name in "ab"]
