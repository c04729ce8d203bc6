"""How many genes a join matches: an error where none, a warning where few, a count always."""

import json

import pytest

from data_builders.groups.build import build, group_sources
from data_builders.groups.grouping import Grouping
from data_builders.groups.parquet import read_groups
from data_builders.homology.homologous_genes import read_homology
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError
from data_builders.sources import GenomeSource, TableSource

COMPARA = (
    "gene_stable_id\tspecies\thomology_type\thomology_gene_stable_id\thomology_species\n"
    "{}\thomo_sapiens\tortholog_one2one\t{}\tmus_musculus\n"
)
HUMAN, MOUSE = "ENSG00000139618", "ENSMUSG00000041147"


@pytest.fixture(autouse=True)
def _no_figure(no_figure):
    pass


def genome(folder, name, species, gene, more=""):
    """A genome of one gene, which begins elsewhere in every annotation."""
    start = 1 + "ab".index(name)
    (folder / "genome.fa").write_text(">chr1\n" + "ACGTTGCA" * 100 + "\n")
    lines = "".join(
        f"chr1\tx\t{kind}\t{start}\t300\t.\t+\t0\t"
        f'gene_id "{gene}"; transcript_id "T{gene}";{more}\n'
        for kind in ("exon", "CDS")
    )
    (folder / f"{name}.gtf").write_text(lines)
    return GenomeSource(folder / "genome.fa", folder / f"{name}.gtf", species)


def table(folder, text, name="h.tsv"):
    (folder / name).write_text(text)
    return folder / name


def joined(folder):
    return {g.group_id: {t.gene_id for t in g.transcripts} for g in read_groups(folder)}


@pytest.mark.parametrize(
    "species", [("hg38", "mm10"), ("GRCh38.p14", "GRCm39"), ("human", "10090")]
)
def test_species_by_assembly_or_common_name(tmp_path, species):
    sources = [genome(tmp_path, "a", species[0], HUMAN), genome(tmp_path, "b", species[1], MOUSE)]
    homology = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    report = build(sources, tmp_path / "out", homology=homology)
    assert joined(tmp_path / "out") == {f"10090:{MOUSE}": {HUMAN, MOUSE}}
    assert report["warnings"] == []
    assert {(m["species"], m["genes"], m["matched"]) for m in report["homology"]["matches"]} == {
        (name, 1, 1) for name in species
    }
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["homology"]["matches"] == report["homology"]["matches"]


@pytest.mark.parametrize(
    ("gene", "in_table"),
    [
        (f"{HUMAN}.19", f"{HUMAN}.18"),
        (f"{HUMAN}.19_5", HUMAN),
        (f"{HUMAN}.19_PAR_Y", f"{HUMAN}.18"),
        (HUMAN, f"{HUMAN}.1"),
    ],
)
def test_versions_do_not_count(tmp_path, gene, in_table):
    source = genome(tmp_path, "a", "human", gene)
    homology = table(tmp_path, COMPARA.format(in_table, f"{MOUSE}.3"))
    report = build([source], tmp_path / "out", homology=homology)
    assert report["homology"]["matches"][0]["matched"] == 1


def test_no_match_is_an_error_that_shows_both_sides(tmp_path):
    source = genome(tmp_path, "a", "human", "BRCA2")
    homology = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    message = (
        rf"h\.tsv: got none of the 1 genes of 'human', such as 'BRCA2', wanted ids as in the "
        rf"table, such as '{HUMAN}'"
    )
    with pytest.raises(InputError, match=message):
        build([source], tmp_path / "out", homology=homology)
    assert not (tmp_path / "out").exists()
    groups, _ = group_sources([source], read_homology(homology))
    with pytest.raises(InputError, match=message):
        list(groups)


def test_one_species_of_two_without_a_match_is_an_error(tmp_path):
    sources = [genome(tmp_path, "a", "human", HUMAN), genome(tmp_path, "b", "mouse", "Brca2")]
    homology = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    with pytest.raises(InputError, match=f"got none of the 1 genes of 'mouse', .* '{MOUSE}'"):
        build(sources, tmp_path / "out", homology=homology)


def test_a_species_may_be_allowed_to_match_nothing(tmp_path):
    sources = [genome(tmp_path, "a", "human", HUMAN), genome(tmp_path, "b", "mouse", "Brca2")]
    homology = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    grouping = Grouping(unmatched=("Mus musculus",))  # any name of the species
    report = build(sources, tmp_path / "out", grouping, homology=homology)
    assert any("got none of the 1 genes of 'mouse'" in line for line in report["warnings"])


def test_a_species_that_is_to_match_nothing_must_be_one_of_the_data(tmp_path):
    sources = [genome(tmp_path, "a", "human", HUMAN), genome(tmp_path, "b", "mouse", MOUSE)]
    homology = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    message = "unmatched: got the species 'mose', wanted one of the data, such as mouse$"
    with pytest.raises(InputError, match=message):
        build(sources, tmp_path / "out", Grouping(unmatched=("human", "mose")), homology=homology)
    with pytest.raises(InputError, match="unmatched: got human and no homology"):
        build(sources, tmp_path / "out", Grouping(unmatched=("human",)))
    rows = f"species\ttranscript_id\tgene_id\tsequence\nhuman\tt1\t{HUMAN}\tACGT\n"
    (tmp_path / "t.tsv").write_text(rows)
    named = [TableSource(tmp_path / "t.tsv")]  # its species are known once it is read
    with pytest.raises(InputError, match="got the species 'rat', wanted .* human"):
        build(named, tmp_path / "out", Grouping(unmatched=("rat",)), homology=homology)
    assert not (tmp_path / "out").exists()


def test_species_that_no_table_has(tmp_path):
    homology = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    unknown = genome(tmp_path, "a", "unicorn", HUMAN)
    message = (
        rf"h\.tsv: got genes of 10090, 9606, such as '{HUMAN}', wanted genes of the data's "
        rf"unicorn \(taxon unicorn\), such as '{HUMAN}'"
    )
    with pytest.raises(InputError, match=message):
        build([unknown], tmp_path / "out", homology=homology)
    report = build(
        [unknown, genome(tmp_path, "b", "human", HUMAN)], tmp_path / "out", homology=homology
    )
    assert report["warnings"] == [
        "unicorn: no table of homology has this species; they have 10090, 9606"
    ]
    # A shard may have the species that no table has alone.
    for number in range(2):
        build(
            [unknown, genome(tmp_path, "b", "human", HUMAN)],
            tmp_path / "parts",
            Grouping(merge="within"),
            homology=homology,
            shard=(number, 2),
        )


def test_a_table_that_joins_nothing_beside_one_that_does(tmp_path):
    source = genome(tmp_path, "a", "human", HUMAN)
    good = table(tmp_path, COMPARA.format(HUMAN, MOUSE))
    bad = table(tmp_path, "group_id\tspecies\tgene_id\nG\thuman\tENSP00000000001\n", "bad.tsv")
    with pytest.raises(InputError, match=r"bad\.tsv: got none of the 1 genes of 'human'"):
        build([source], tmp_path / "out", homology=[good, bad])
    other = table(tmp_path, "group_id\tspecies\tgene_id\nG\tcow\tx\n", "bad.tsv")
    with pytest.raises(InputError, match=r"bad\.tsv: got genes of 9913, such as 'x', wanted"):
        build([source], tmp_path / "out", homology=[good, other])


def test_matches_of_several_tables_are_counted_apart(tmp_path):
    genes = [f"g{n}" for n in range(8)]
    rows = "".join(f"t{g}\t{g}\thuman\tACGT{'A' * int(g[1:])}\n" for g in genes)
    data = table(tmp_path, "transcript_id\tgene_id\tspecies\tsequence\n" + rows, "t.tsv")
    first = "".join(f"A\thuman\t{g}\n" for g in genes[:6])
    second = "".join(f"B\thuman\t{g}\n" for g in (*genes[4:7], "absent"))
    header = "group_id\tspecies\tgene_id\n"
    tables = [table(tmp_path, header + first, "a.tsv"), table(tmp_path, header + second, "b.tsv")]
    report = build([TableSource(data)], tmp_path / "out", homology=tables)
    assert [
        (m["table"], m["genes"], m["matched"], m["in_table"]) for m in report["homology"]["matches"]
    ] == [("a.tsv", 8, 6, 6), ("b.tsv", 8, 3, 4)]


def test_few_matches_are_a_warning(tmp_path):
    rows = "".join(f"t{n}\tg{n}\thuman\tACGT{'A' * n}\n" for n in range(20))
    data = table(tmp_path, "transcript_id\tgene_id\tspecies\tsequence\n" + rows, "t.tsv")
    listed = "".join(f"G{n}\thuman\tx{n}\n" for n in range(19)) + "G\thuman\tg3\n"
    homology = table(tmp_path, "group_id\tspecies\tgene_id\n" + listed)
    report = build([TableSource(data)], tmp_path / "out", homology=homology)
    assert report["warnings"] == [
        "h.tsv: only 1 of the 20 genes of 'human' are in it: not 'g0', such as 'x0' are"
    ]


PROTEINS = "Orthogroup\tHomo_sapiens.GRCh38.pep\tMus_musculus\nOG1\tENSP00000369497.3\tNP_1.2\n"


def test_proteins_of_orthofinder_by_the_annotation(tmp_path):
    sources = [
        genome(
            tmp_path, "a", "human", HUMAN, ' protein_id "ENSP00000369497"; protein_version "3";'
        ),
        genome(tmp_path, "b", "mouse", "Brca2", ' protein_id "NP_1.2";'),
    ]
    report = build(sources, tmp_path / "out", homology=table(tmp_path, PROTEINS))
    assert joined(tmp_path / "out") == {"OG1": {HUMAN, "Brca2"}}
    assert [m["matched"] for m in report["homology"]["matches"]] == [1, 1]


def test_transcripts_of_orthofinder_by_the_annotation(tmp_path):
    text = f"Orthogroup\tHomo_sapiens\tMus_musculus\nOG1\tT{HUMAN}\tTm\n"
    sources = [genome(tmp_path, "a", "human", HUMAN), genome(tmp_path, "b", "mouse", "m")]
    build(sources, tmp_path / "out", homology=table(tmp_path, text))
    assert joined(tmp_path / "out") == {"OG1": {HUMAN, "m"}}
    rows = "ta\tg\thuman\tACGT\ntb\tg\thuman\tACGTA\n"
    data = table(tmp_path, "transcript_id\tgene_id\tspecies\tsequence\n" + rows, "t.tsv")
    text = "Orthogroup\tHomo_sapiens\nOG1\ttb\n"
    build([TableSource(data)], tmp_path / "table", homology=table(tmp_path, text))
    assert joined(tmp_path / "table") == {"OG1": {"g"}}


def test_proteins_of_orthofinder_by_a_table(tmp_path):
    names = table(tmp_path, f"ENSP00000369497\t{HUMAN}.7\n", "names.tsv")
    homology = HomologyTable(table(tmp_path, PROTEINS), genes=names)
    build([genome(tmp_path, "a", "human", HUMAN)], tmp_path / "out", homology=homology)
    assert joined(tmp_path / "out") == {"OG1": {HUMAN}}


def test_numbers_of_ncbi_by_the_annotation(tmp_path):
    text = "#tax_id\tGeneID\trelationship\tOther_tax_id\tOther_GeneID\n"
    text += "9606\t675\tOrtholog\t10090\t12190\n"
    sources = [
        genome(tmp_path, "a", "hg38", "BRCA2", ' db_xref "GeneID:675";'),
        genome(tmp_path, "b", "mm39", "Brca2", ' db_xref "GeneID:12190"; db_xref "MGI:MGI:1";'),
    ]
    build(sources, tmp_path / "out", homology=table(tmp_path, text))
    assert joined(tmp_path / "out") == {"10090:12190": {"BRCA2", "Brca2"}}
