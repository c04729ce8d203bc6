import csv
import gzip
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest

from data_builders.homology.homologous_genes import Homology, read_homology
from data_builders.labels.label_set import Join, read_labels
from data_builders.labels.sets import (
    gene_ontology_annotations,
    gene_ontology_sets,
    half_life,
    mean_ribosome_load,
    protein_localisation,
)
from data_builders.records import InputError, IsoformGroup, Transcript
from data_builders.tables import read_names, read_transcript_table

GROUPS = [
    IsoformGroup(
        "h1",
        (
            Transcript("a1", "ENSG00000000001.4", "homo_sapiens", "ATGTAACCCC", 0, 6),
            Transcript("a2", "ENSG00000000001.4", "homo_sapiens", "ATGAAATAA", 0, 9),
            Transcript("a3", "ENSG00000000001.4", "homo_sapiens", "ATGAAATAAC", 0, 9),
            Transcript("b1", "ENSG00000000002", "homo_sapiens", "ACGT"),
            Transcript("m1", "ENSMUSG1", "mouse", "ACGT"),
        ),
    ),
    IsoformGroup("h2", (Transcript("c1", "g3", "human", "ACGT"),)),
    IsoformGroup("h3", (Transcript("d1", "g4", "human", "ACGT"),)),
]
SYMBOLS = {
    ("homo_sapiens", "ENSG00000000001.4"): "ABC1",
    ("homo_sapiens", "ENSG00000000002"): "DEF2",
    ("human", "g3"): "TWO",
    ("human", "g4"): "TWO",
    ("mouse", "ENSMUSG1"): "MUS",
}
OUTCOMES = ("matched", "unmatched", "ambiguous", "label missing")


def outcomes(labels):
    return {name: labels.report[name] for name in OUTCOMES}


def write(tmp_path, text, name="labels.tsv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_gene_is_represented_by_its_longest_cds_whatever_version_and_species_name(tmp_path):
    path = write(
        tmp_path, "gene_id\thalf_life\nENSG00000000001\t2.5\nENSG00000000002.9\tNA\nno\t1\n"
    )
    labels = half_life(path, join=Join(isoform_groups=GROUPS, species="9606"))
    assert [t.transcript_id for t in labels.transcripts] == ["a3"]
    assert (labels.groups, labels.targets.tolist()) == (("h1",), [2.5])
    assert labels.report == {"matched": 1, "unmatched": 1, "label missing": 1}


def test_genes_by_symbol_and_what_is_ambiguous(tmp_path):
    rows = "ABC1\t1\nDEF2\t2\nENSG00000000002\t3\nTWO\t4\nMUS\t5\n"
    path = write(tmp_path, "gene\tx\n" + rows)
    labels = read_labels(
        path, "x", join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS, species="Homo sapiens")
    )
    assert [t.transcript_id for t in labels.transcripts] == ["a3"]
    # DEF2 and its id label one gene; TWO means two; MUS is of the mouse.
    assert outcomes(labels) == {
        "matched": 1,
        "ambiguous": 3,
        "unmatched": 1,
        "label missing": 0,
    }


def test_the_second_gene_column_helps_where_the_first_is_unknown(tmp_path):
    path = write(tmp_path, "gene_id,gene_symbol,x\nold,ABC1,1\nENSG00000000002,,2\n", "labels.csv")
    labels = read_labels(
        path, "x", join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS, species="human")
    )
    assert [t.transcript_id for t in labels.transcripts] == ["a3", "b1"]


def test_a_table_without_a_transcript_or_gene(tmp_path):
    with pytest.raises(InputError, match="got the columns name, x, wanted transcript_id"):
        read_labels(write(tmp_path, "name\tx\na\t1\n"), "x", join=Join(isoform_groups=GROUPS))


def test_a_gene_column_that_is_no_text(tmp_path):
    path = tmp_path / "labels.parquet"
    pl.DataFrame({"gene_id": ["g3"], "gene_symbol": [["TWO"]], "x": [1.0]}).write_parquet(path)
    with pytest.raises(InputError, match=r"column 'gene_symbol': got List\(String\), wanted text"):
        read_labels(path, "x", join=Join(isoform_groups=GROUPS, species="human"))


def test_saluki_as_published(tmp_path):
    header = "ENSID HALFLIFE UTR5LEN CDSLEN INTRONLEN UTR3LEN UTR5GC CDSGC UTR3GC ORFEXONDENSITY"
    header = "\t".join([*header.split(), "5UTR", "ORF", "3UTR"]) + "\n"
    text = header + "ENSG1\t-0.5\t2\t6\t0\t3\t.5\t.5\t.5\t1.00\tCC\tATGTAA\tGGG\n"
    path = tmp_path / "all_HLs_human_featTable.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    labels = half_life(
        path, join=Join(homology=Homology({("9606", "ENSG1"): "7"}), species="human")
    )
    assert labels.transcripts == (Transcript("ENSG1", "ENSG1", "human", "CCATGTAAGGG", 2, 8, None),)
    assert (labels.label, labels.targets.tolist(), labels.groups) == ("HALFLIFE", [-0.5], ("7",))


def test_homology_that_knows_no_gene_is_an_error(tmp_path):
    path = write(tmp_path, "gene_id\tsequence\thalf_life\ng1\tACG\t1\n")
    with pytest.raises(InputError, match="wanted genes of the data's mouse .*'g1'"):
        half_life(path, join=Join(homology=Homology({("9606", "g1"): "H"}), species="mouse"))
    assert half_life(path, join=Join(species="mouse")).groups == ("mouse:g1",)


def test_ribosome_load_of_a_library_as_published(tmp_path):
    # A reporter library is a CSV whose first column has no name.
    path = write(tmp_path, ",utr,rl,total_reads\n0,ACGT,1.5,9\n1,ACGA,2.5,9\n2,acgu,3,9\n3,A,,1\n")
    labels = mean_ribosome_load(path)
    assert [t.sequence for t in labels.transcripts] == ["ACGT", "ACGA", "ACGT"]
    assert {(t.cds_start, t.exon_junctions) for t in labels.transcripts} == {(-1, None)}
    assert labels.groups[0] == labels.groups[2] != labels.groups[1]
    assert labels.targets.tolist() == [1.5, 2.5, 3]
    assert outcomes(labels) == {"matched": 3, "label missing": 1, "unmatched": 0, "ambiguous": 0}


def test_ribosome_load_of_isoforms(tmp_path):
    path = write(tmp_path, "transcript_id\tmrl\na1\t1\na2\t2\nx\t3\n")
    labels = mean_ribosome_load(path, join=Join(isoform_groups=GROUPS, species="human"))
    assert [t.transcript_id for t in labels.transcripts] == ["a1", "a2"]
    assert labels.groups == ("h1", "h1")


def test_localisation_of_indicators(tmp_path):
    path = write(
        tmp_path,
        "gene_id\tnucleus\tcytosol\nENSG00000000001\t1\t0\nENSG00000000002\t1\t1\ng3\t\t1\n",
    )
    labels = protein_localisation(path, join=Join(isoform_groups=GROUPS, species="human"))
    assert labels.classes == ("nucleus", "cytosol")
    assert labels.targets.dtype == bool
    assert labels.targets.tolist() == [[True, False], [True, True]]
    assert outcomes(labels) == {"matched": 2, "label missing": 1, "unmatched": 0, "ambiguous": 0}
    path.write_text("gene_id\tnucleus\ng3\t2\n")
    with pytest.raises(InputError, match="row 1: nucleus: got 2, wanted 0 or 1"):
        protein_localisation(path, join=Join(isoform_groups=GROUPS, species="human"))


def test_localisation_as_the_protein_atlas_publishes_it(tmp_path):
    header = "Gene\tGene name\tReliability\tMain location\tAdditional location\n"
    rows = "ENSG00000000001\tABC1\tSupported\tNucleoplasm;Cytosol\tVesicles\n"
    rows += "ENSG00000000002\tDEF2\tUncertain\tCytosol\t\n"
    rows += "g3\tTWO\tApproved\tCytosol\t\n"
    path = write(tmp_path, header + rows)
    labels = protein_localisation(path, join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS))
    assert labels.classes == ("Cytosol", "Nucleoplasm", "Vesicles")
    assert labels.targets.tolist() == [[True, True, True], [True, False, False]]
    assert outcomes(labels) == {"matched": 2, "label missing": 1, "unmatched": 0, "ambiguous": 0}
    some = protein_localisation(path, ("Vesicles",), join=Join(isoform_groups=GROUPS))
    assert some.targets.tolist() == [[True], [False]]


def test_gene_ontology_sets(tmp_path):
    path = write(tmp_path, "T2\t\tABC1\tGONE\tTWO\nT1\t\tABC1\tDEF2\nT3\t\tGONE\n")
    labels = gene_ontology_sets(path, join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS))
    assert labels.classes == ("T1", "T2")
    assert [t.gene_id for t in labels.transcripts] == ["ENSG00000000001.4", "ENSG00000000002"]
    assert labels.targets.tolist() == [[True, True], [True, False]]
    assert outcomes(labels) == {"matched": 2, "unmatched": 1, "ambiguous": 1, "label missing": 0}
    often = gene_ontology_sets(
        path, min_genes=2, join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS)
    )
    assert (often.classes, often.targets.tolist()) == (("T1",), [[True], [True]])
    with pytest.raises(InputError, match="got no term of 3 matched genes, wanted some"):
        gene_ontology_sets(
            path, min_genes=3, join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS)
        )


def test_gene_ontology_annotations(tmp_path):
    obo = write(
        tmp_path,
        "[Term]\nid: GO:0000001\nnamespace: molecular_function\n\n"
        "[Term]\nid: GO:0000002\nnamespace: molecular_function\nis_a: GO:0000001 ! x\n",
        "go.obo",
    )
    line = "U\t{}\t{}\t{}\t{}\tP:1\tIDA\t\tF\t\t{}\tprotein\ttaxon:9606\t2020\tU\t\t\n"
    gaf = write(
        tmp_path,
        line.format("P1", "ABC1", "", "GO:0000002", "")
        + line.format("P2", "other", "", "GO:0000001", "ENSG00000000002")
        # A synonym may be the symbol of another gene: it counts as an id only.
        + line.format("P3", "gone", "", "GO:0000001", "ABC1")
        + line.format("P4", "TWO", "NOT|enables", "GO:0000001", ""),
        "a.gaf",
    )
    labels = gene_ontology_annotations(
        gaf, obo, join=Join(isoform_groups=GROUPS, gene_symbols=SYMBOLS)
    )
    assert labels.classes == ("GO:0000001", "GO:0000002")
    assert [t.transcript_id for t in labels.transcripts] == ["a3", "b1"]
    assert labels.targets.tolist() == [[True, True], [True, False]]
    assert labels.report == {
        "matched": 2,
        "unmatched": 1,
        "annotations used": 3,
        "annotations skipped: qualifier NOT": 1,
    }


@pytest.mark.parametrize(
    ("name", "column", "rows"),
    [
        ("half_life_human", "half_life_pc1", 3225),
        ("half_life_mouse", "half_life_pc1", 1275),
        ("half_life_yeast", "log_half_life_min", 3838),
    ],
)
def test_real_half_lives(real_data, name, column, rows):
    path = real_data / "rna_property" / f"{name}.parquet"
    labels = half_life(path, join=Join(species=name.rpartition("_")[2]))
    frame = pl.read_parquet(path).filter(pl.col(column).is_finite())
    assert labels.label == column
    assert labels.targets.tolist() == frame[column].to_list()
    assert len(labels.transcripts) == rows == sum(outcomes(labels).values())


def test_real_ribosome_load(real_data):
    path = real_data / "rna_property" / "mean_ribosome_load_mpra.parquet"
    labels = mean_ribosome_load(path)
    frame = pl.read_parquet(path)
    assert labels.targets.tolist() == frame["mrl"].to_list()
    assert [t.sequence for t in labels.transcripts] == frame["utr5"].to_list()
    assert len(set(labels.groups)) == frame["utr5"].n_unique() == 48_236
    assert outcomes(labels)["matched"] == frame.height == 48_274


@pytest.fixture(scope="module")
def human(real_data):
    """Groups and symbols of the human transcripts, and symbol -> gene ids, counted apart."""
    path = real_data / "transcripts" / "transcripts.parquet"
    frame = pl.read_parquet(path).filter(pl.col("species") == "human")
    symbols = {("human", g): s for g, s in read_names(path)[0].items()}
    homology = read_homology(real_data / "homology" / "homologene_build68.tsv.gz")
    members = defaultdict(list)
    for transcript in read_transcript_table(path):
        if transcript.species == "human":
            gene = "human", transcript.gene_id
            group = homology.group(*gene, symbols.get(gene) or "")
            members[group or ":".join(gene)].append(transcript)
    groups = [IsoformGroup(name, tuple(of)) for name, of in members.items()]
    kept = {t.gene_id for group in groups for t in group.transcripts}
    meant = defaultdict(set)
    # A gene id may stand for itself too; a gene's symbol is the last that the table gives it.
    for gene, symbol in frame.select("gene_id", "gene_symbol").iter_rows():
        if gene in kept and symbols.get(("human", gene)) == symbol:
            meant[symbol].add(gene)
    return groups, symbols, meant, kept


@pytest.mark.slow
@pytest.mark.parametrize(("aspect", "rows"), [("mf", 3722), ("bp", 3954), ("cc", 3186)])
def test_real_gene_ontology_sets(real_data, human, aspect, rows):
    groups, symbols, meant, kept = human
    path = real_data / "gene_ontology" / f"c5.{aspect}.v6.2.symbols.gmt.gz"
    with gzip.open(path, "rt", newline="") as file:
        sets = {row[0]: row[2:] for row in csv.reader(file, delimiter="\t")}
    genes = {gene for members in sets.values() for gene in members}
    means = {gene: {gene} if gene in kept else meant.get(gene, set()) for gene in genes}
    claimed = Counter(next(iter(ids)) for ids in means.values() if len(ids) == 1)
    one = {g: next(iter(ids)) for g, ids in means.items() if len(ids) == 1}
    matched = {gene: found for gene, found in one.items() if claimed[found] == 1}
    labels = gene_ontology_sets(path, join=Join(isoform_groups=groups, gene_symbols=symbols))
    assert outcomes(labels) == {
        "matched": len(matched),
        "unmatched": sum(not ids for ids in means.values()),
        "ambiguous": len(genes) - len(matched) - sum(not ids for ids in means.values()),
        "label missing": 0,
    }
    assert len(matched) == rows
    assert {t.gene_id for t in labels.transcripts} == set(matched.values())
    row_of = {t.gene_id: row for row, t in enumerate(labels.transcripts)}
    expected = np.zeros(labels.targets.shape, bool)
    for column, name in enumerate(labels.classes):
        for gene in set(sets[name]) & set(matched):
            expected[row_of[matched[gene]], column] = True
    assert (labels.targets == expected).all()
