import gzip

import numpy as np
import polars as pl
import pytest

from data_builders.homology.homologous_genes import Homology, read_homology
from data_builders.labels.label_set import Join, read_labels
from data_builders.records import InputError, IsoformGroup, Transcript

HOMOLOGY = Homology({("9606", "g3"): "7"}, {("9606", "ABC1"): "12"})


def table(**changes):
    columns = {
        "gene_id": ["g1", "g2", "g3"],
        "gene_symbol": ["ABC1", "XYZ2", "DEF3"],
        "transcript_id": ["t1", "t2", "t3"],
        "cds_start": [2, -1, 0],
        "cds_end": [8, -1, 6],
        "exon_junctions": [[3, 5], None, []],
        "half_life": [1.5, float("nan"), -2.0],
        "sequence": ["CCATGTAAGG", "ACGTN", "ATGTAA"],
    }
    columns |= changes
    return pl.DataFrame({name: values for name, values in columns.items() if values is not None})


def written(folder, frame):
    path = folder / "labels.parquet"
    frame.write_parquet(path)
    return path


def test_table_that_carries_transcripts(tmp_path):
    found = read_labels(
        written(tmp_path, table()), "half_life", join=Join(homology=HOMOLOGY, species="human")
    )
    assert found.label == "half_life"
    assert found.transcripts == (
        Transcript("t1", "g1", "human", "CCATGTAAGG", 2, 8, (3, 5)),
        Transcript("t3", "g3", "human", "ATGTAA", 0, 6, ()),
    )
    assert found.targets.tolist() == [1.5, -2.0]
    assert found.groups == ("12", "7")
    assert found.report == {"matched": 2, "label missing": 1}


def test_row_without_homology_is_its_own_group(tmp_path):
    found = read_labels(
        written(tmp_path, table()),
        "half_life",
        join=Join(homology=Homology({("unknown", "ABC1"): "12"})),
    )
    assert found.groups == ("12", "unknown:g3")
    assert found.report == {"matched": 2, "label missing": 1, "without homology": 1}


def test_unknown_exon_structure_is_kept_apart_from_one_exon(tmp_path):
    path = written(tmp_path, table(half_life=[1, 2, 3]))
    structures = [t.exon_junctions for t in read_labels(path, "half_life").transcripts]
    assert structures == [(3, 5), None, ()]


def test_table_of_regions(tmp_path):
    frame = pl.DataFrame(
        {"species": ["y"], "gene": ["YAL1"], "utr5": ["CC"], "cds": ["ATGTAA"], "utr3": ["GGG"]}
    ).with_columns(log_half_life=pl.lit(2.5))
    found = read_labels(written(tmp_path, frame), "log_half_life")
    assert found.transcripts == (Transcript("YAL1", "YAL1", "y", "CCATGTAAGGG", 2, 8, None),)
    assert found.groups == ("y:YAL1",)


GROUPS = [
    IsoformGroup(
        "h1", (Transcript("t1", "g1", "human", "AC"), Transcript("t2", "g1", "human", "G"))
    ),
    IsoformGroup(
        "h2", (Transcript("t1", "g9", "mouse", "AC"), Transcript("t5", "g9", "mouse", "G"))
    ),
    IsoformGroup("h3", (Transcript("t5", "g8", "mouse", "G"),)),
]
TSV = """species\tgene_id\ttranscript_id\thalf_life
mouse\tg9\tt1\t0.25
human\tg1\tt1\t1e1
human\tg1\tt2\tNA
human\tg1\tt7\t3
mouse\tg9\tt5\t4
human\tg4\tt4\t1
human\tg4\tt4\t2
"""


@pytest.mark.parametrize("name", ["labels.tsv", "labels.tsv.gz"])
def test_join_with_isoform_groups(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(TSV.encode()) if name.endswith("gz") else TSV.encode())
    found = read_labels(path, "half_life", join=Join(isoform_groups=iter(GROUPS)))
    assert found.transcripts == (GROUPS[1].transcripts[0], GROUPS[0].transcripts[0])
    assert found.targets.tolist() == [0.25, 10.0]
    assert found.groups == ("h2", "h1")
    # t5 is in two groups, human t4 has two labels.
    assert found.report == {"matched": 2, "unmatched": 1, "ambiguous": 3, "label missing": 1}
    named = Join(isoform_groups=iter(GROUPS), species="homo sapiens")
    assert read_labels(path, "half_life", join=named).targets.tolist() == [0.25, 10.0]
    other = Join(isoform_groups=iter(GROUPS), species="humam")
    with pytest.raises(InputError, match="species: got the species 'humam', wanted .* human"):
        read_labels(path, "half_life", join=other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"half_life": ["1", "fast", "2"]}, "row 2: half_life: got 'fast', wanted a number"),
        ({"half_life": [[1.0]] * 3}, "column 'half_life': got List(Float64), wanted numbers"),
        ({"sequence": None}, "columns: got gene_id, gene_symbol, transcript_id, cds_start, "),
        ({"gene_id": [None, "g", "h"]}, "row 1 (t1): text: got an empty field, wanted an id"),
        ({"cds_start": ["x", "2", "0"]}, "row 1: cds_start: got 'x', wanted an integer"),
        ({"exon_junctions": ["5,3"] * 3}, "row 1 (t1): exon_junctions: got 5, 3, wanted"),
        (
            {"sequence": ["CCA?GTAAGG", "A", "ATGTAA"]},
            "row 1 (t1): sequence: got ?, wanted nucleotides",
        ),
        ({"cds_end": [8, -1, 7]}, "row 3 (t3): CDS: got 0 to 7 of 6 nt, wanted"),
        (
            {"half_life": [None, float("inf"), float("nan")]},
            "got no usable row: {'label missing': 3}, wanted labelled transcripts",
        ),
    ],
)
def test_bad_table_is_named(tmp_path, changes, message):
    path = written(tmp_path, table(**changes))
    with pytest.raises(InputError) as error:
        read_labels(path, "half_life")
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_unknown_label_names_the_columns_there_are(tmp_path):
    path = written(tmp_path, table())
    with pytest.raises(InputError) as error:
        read_labels(path, "stability")
    assert str(error.value) == (
        f"{path}: got no column 'stability', wanted one of {', '.join(table().columns)}"
    )


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_unreadable_file(tmp_path, content):
    path = tmp_path / "labels.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels.parquet: got '.+', wanted (Parquet|a readable)"):
        read_labels(path, "half_life")


def test_real_human_half_lives(real_data):
    homology = read_homology(real_data / "homology" / "homologene_build68.tsv.gz")
    found = read_labels(
        real_data / "rna_property" / "half_life_human.parquet",
        "half_life_pc1",
        join=Join(homology=homology, species="human"),
    )
    assert found.report == {
        "matched": 3225,
        "without homology": 131,
        "CDS cut to its first full codon": 8,
        "CDS cut to its last full codon": 11,
    }
    assert np.isfinite(found.targets).all()


def test_real_yeast_coding_sequences_end_in_stop_codons(real_data):
    path = real_data / "rna_property" / "half_life_yeast.parquet"
    found = read_labels(path, "log_half_life_min")
    ends = {t.sequence[t.cds_end - 3 : t.cds_end] for t in found.transcripts}
    assert (len(found.transcripts), ends) == (3838, {"TAA", "TAG", "TGA"})


@pytest.mark.parametrize(
    ("values", "task", "expected", "targets"),
    [
        ([0, 1, 1], None, "binary", [False, True, True]),
        ([0, 1, 1], "regression", "regression", [0.0, 1.0, 1.0]),
        ([0, 1, 2], None, "regression", [0.0, 1.0, 2.0]),
        (["0", "1", "NA"], None, "binary", [False, True]),
        (["skin", "liver", "skin"], "multiclass", "multiclass", [1, 0, 1]),
        (["skin", "", "liver"], "multiclass", "multiclass", [1, 0]),
    ],
)
def test_the_task_follows_from_the_values_or_is_given(tmp_path, values, task, expected, targets):
    path = written(tmp_path, table(half_life=values))
    found = read_labels(path, "half_life", task=task)
    assert found.task == expected
    assert found.targets.tolist() == targets
    assert (
        found.targets.dtype.kind == {"binary": "b", "regression": "f", "multiclass": "i"}[expected]
    )
    assert found.classes == (("liver", "skin") if expected == "multiclass" else ())


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([0, 1, 2], "binary", "half_life: got 2, wanted 0 or 1"),
        ([0, 1, 2], "multilabel", "task: got 'multilabel', wanted regression, binary or multi"),
        (["skin", "skin", "lung"], None, "row 1: half_life: got 'skin', wanted a number"),
    ],
)
def test_a_task_that_the_values_do_not_have(tmp_path, values, task, message):
    with pytest.raises(InputError, match=message):
        read_labels(written(tmp_path, table(half_life=values)), "half_life", task=task)


# --- Joins that match nothing, or little, and species that are not named


ENSEMBL = [
    IsoformGroup("h1", (Transcript("ENST00000000001.2", "ENSG00000000001.4", "hg38", "AC"),)),
    IsoformGroup(
        "h2",
        (
            Transcript("ENST00000000002.2_1", "ENSG00000000002.4_5", "hg38", "AC"),
            Transcript("ENST00000000002.2_PAR_Y", "ENSG00000000002.4_PAR_Y", "hg38", "AC"),
        ),
    ),
    IsoformGroup("m1", (Transcript("ENSMUST00000000001.2", "ENSMUSG00000000001.1", "mm10", "A"),)),
]


def labelled(tmp_path, header, *rows, groups=ENSEMBL, **join):
    path = tmp_path / "labels.tsv"
    path.write_text("\n".join(["\t".join(header), *("\t".join(row) for row in rows)]) + "\n")
    return read_labels(path, "x", join=Join(isoform_groups=groups, **join))


@pytest.mark.parametrize("species", ["human", "GRCh38", None])
@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("gene_id", ["ENSG00000000001", "ENSG00000000002.9"]),
        ("transcript_id", ["ENST00000000001.7", "ENST00000000002"]),
    ],
)
def test_versions_do_not_count_and_copies_on_y_stay_apart(tmp_path, species, name, ids):
    found = labelled(tmp_path, [name, "x"], *([i, "1"] for i in ids), species=species)
    assert [t.sequence for t in found.transcripts] == ["AC", "AC"]
    assert [t.transcript_id[-2:] for t in found.transcripts] == [".2", "_1"]
    assert found.matched == {"hg38": 2}
    assert found.warnings == ()


def test_labels_that_match_nothing_show_both_sides(tmp_path):
    message = (
        r"labels\.tsv: got no usable row: \{'unmatched': 1\}, wanted labelled transcripts; a label "
        r"has 'BRCA2' of a species that is not named, the data 'ENSG00000000001.4' of 'hg38'; the "
        r"species of the labels may be named: hg38, mm10$"
    )
    with pytest.raises(InputError, match=message):
        labelled(tmp_path, ["gene_id", "x"], ["BRCA2", "1"])
    with pytest.raises(InputError, match="a label has 'ENSG00000000001' of 'unicorn', the data "):
        labelled(tmp_path, ["gene_id", "x"], ["ENSG00000000001", "1"], species="unicorn")
    with pytest.raises(InputError, match="a label has 'NM_1' of '9606', the data 'ENST0000000000"):
        labelled(tmp_path, ["transcript_id", "x"], ["NM_1", "1"], species="human")


def test_a_name_of_two_species_that_are_not_named_is_ambiguous(tmp_path):
    groups = [IsoformGroup(s, (Transcript("t" + s, "ACT1", s, "ACG"),)) for s in ("human", "yeast")]
    with pytest.raises(InputError, match="'ambiguous': 1.*may be named: human, yeast"):
        labelled(tmp_path, ["gene_id", "x"], ["ACT1", "1"], groups=groups)
    found = labelled(tmp_path, ["gene_id", "x"], ["ACT1", "1"], groups=groups, species="4932")
    assert [t.species for t in found.transcripts] == ["yeast"]


def test_few_matches_are_a_warning(tmp_path):
    rows = [[f"ENSG0000000001{n}", "1"] for n in range(9)] + [["ENSG00000000001", "2"]]
    found = labelled(tmp_path, ["gene_id", "x"], *rows)
    (warning,) = found.warnings
    assert "labels.tsv: only 1 of 10 labels have a transcript; a label has 'ENSG" in warning


def test_homology_of_labels_is_counted(tmp_path):
    table = tmp_path / "h.tsv"
    table.write_text("group_id\tspecies\tgene_id\nH\thuman\tg1\nI\thuman\tg7\n")
    path = tmp_path / "labels.tsv"
    path.write_text("transcript_id\tgene_id\tsequence\tx\nt1\tg1\tACG\t1\nt2\tg2\tACG\t2\n")
    found = read_labels(path, "x", join=Join(homology=read_homology(table), species="human"))
    assert [str(match) for match in found.homology_matches] == ["h.tsv: has 1 of 2 genes of human"]
    with pytest.raises(InputError, match=r"labels\.tsv: h\.tsv: got genes of 9606.* unknown"):
        read_labels(path, "x", join=Join(homology=read_homology(table)))
    table.write_text("group_id\tspecies\tgene_id\nH\thuman\tENSG1\n")
    with pytest.raises(InputError, match=r"got none of the 2 genes of 'human', such as 'g1', want"):
        read_labels(path, "x", join=Join(homology=read_homology(table), species="human"))
