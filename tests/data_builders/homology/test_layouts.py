"""The layouts of homology tables: what each publisher writes, and which genes it joins."""

import gzip

import pytest

from data_builders.homology.homologous_genes import read_homology
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError
from data_builders.text import Tally


def tsv(*rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def read(tmp_path, text, pack=bytes, **options):
    path = tmp_path / "h.tsv"
    path.write_bytes(pack(text.encode()))
    if isinstance(options.get("genes"), str):
        (tmp_path / "genes.tsv").write_text(options["genes"])
        options["genes"] = tmp_path / "genes.tsv"
    tally = Tally()
    return read_homology(HomologyTable(path, **options), tally), tally


def partition(homology):
    found = {}
    for gene, group in homology.groups.items():
        found.setdefault(group, set()).add(":".join(gene))
    return sorted(sorted(members) for members in found.values())


def groups(*members):
    return sorted(map(sorted, members))


NCBI = tsv(
    ["#tax_id", "GeneID", "relationship", "Other_tax_id", "Other_GeneID"],
    [9606, 675, "Ortholog", 10090, 12190],
    [9606, 675, "Ortholog", 10116, 360254],
    [9606, 100, "Potential readthrough sibling", 9606, 675],
)
GENE_INFO = tsv(
    ["#tax_id", "GeneID", "Symbol", "LocusTag", "Synonyms", "dbXrefs"],
    [9606, 675, "BRCA2", "-", "FAD|FACD", "MIM:600185|HGNC:HGNC:1101|Ensembl:ENSG00000139618"],
    [10090, 12190, "Brca2", "-", "-", "MGI:MGI:109337|Ensembl:ENSMUSG00000041147"],
    [9606, 7, "OTHER", "-", "-", "-"],
)
GENE_TO_ENSEMBL = tsv(
    ["#tax_id", "GeneID", "Ensembl_gene_identifier", "RNA", "Ensembl_rna_identifier"],
    [9606, 675, "ENSG00000139618", "NM_000059.4", "ENST00000380152.8"],
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_gene_orthologs_of_ncbi(tmp_path, pack):
    homology, tally = read(tmp_path, NCBI, pack)
    assert partition(homology) == groups({"9606:675", "10090:12190", "10116:360254"})
    assert (tally.read, tally.adjusted) == (3, {"Potential readthrough sibling not joined": 1})
    assert homology.group("hg38", "BRCA2", "675") is not None


@pytest.mark.parametrize(
    ("genes", "names"),
    [
        (GENE_INFO, ["BRCA2", "ENSG00000139618.19", "HGNC:1101", "675"]),
        (GENE_TO_ENSEMBL, ["ENSG00000139618.19_5", "ENST00000380152"]),
    ],
)
def test_numbers_of_ncbi_by_its_tables_of_names(tmp_path, genes, names):
    homology, _ = read(tmp_path, NCBI, genes=genes)
    for name in names:
        assert homology.group("human", name) == homology.group("mouse", "12190") is not None
    assert homology.group("human", "OTHER") is None
    assert homology.group("mouse", "BRCA2") is None


MGI = tsv(
    ["DB Class Key", "Common Organism Name", "NCBI Taxon ID", "Symbol", "EntrezGene ID"]
    + ["Mouse MGI ID", "HGNC ID", "OMIM Gene ID"],
    [45916481, "mouse, laboratory", 10090, "Brca2", 12190, "MGI:109337", "", ""],
    [45916481, "human", 9606, "BRCA2", 675, "", "HGNC:1101", "OMIM:600185"],
    [45916482, "human", 9606, "ABC1", "", "", "", ""],
)


@pytest.mark.parametrize("key", ["DB Class Key", "HomoloGene ID"])
def test_homology_of_mgi(tmp_path, key):
    homology, tally = read(tmp_path, MGI.replace("DB Class Key", key))
    assert partition(homology) == groups({"10090:12190", "9606:675"}, {"9606:ABC1"})
    for name in ("BRCA2", "675", "HGNC:1101"):
        assert homology.group("GRCh38", name) == homology.group("mm10", "MGI:109337") == "45916481"
    assert (tally.read, tally.adjusted) == (3, {})


ALLIANCE = "# Orthology data\n#\n# Alliance Database Version: 8.0\n" + tsv(
    ["Gene1ID", "Gene1Symbol", "Gene1SpeciesTaxonID", "Gene1SpeciesName"]
    + ["Gene2ID", "Gene2Symbol", "Gene2SpeciesTaxonID", "Gene2SpeciesName"]
    + ["Algorithms", "AlgorithmsMatch", "OutOfAlgorithms", "IsBestScore", "IsBestRevScore"],
    ["HGNC:1101", "BRCA2", "NCBITaxon:9606", "Homo sapiens"]
    + ["MGI:109337", "Brca2", "NCBITaxon:10090", "Mus musculus", "OMA", 1, 9, "Yes", "Yes"],
    ["FB:FBgn0002121", "l(2)gl", "NCBITaxon:7227", "Drosophila melanogaster"]
    + ["WB:WBGene00003001", "lin-12", "NCBITaxon:6239", "C. elegans", "OMA", 1, 9, "No", "Yes"],
)


def test_alliance(tmp_path):
    homology, tally = read(tmp_path, ALLIANCE)
    assert partition(homology) == groups(
        {"6239:WBGene00003001", "7227:FBgn0002121"},
        {"9606:HGNC:1101", "10090:MGI:109337"},
    )
    assert homology.group("human", "BRCA2") == homology.group("mouse", "Brca2") is not None
    assert homology.group("dm6", "FBgn0002121") == homology.group("ce11", "lin-12") is not None
    assert tally.read == 2


OMA_PAIRS = "# comment\n" + tsv(
    ["HUMAN00001", "MOUSE00012", "1:1", 77], ["HUMAN00002", "RATNO00012", "m:n", ""]
)


def test_oma_pairs(tmp_path):
    homology, tally = read(tmp_path, OMA_PAIRS)
    assert partition(homology) == groups(
        {"9606:HUMAN00001", "10090:MOUSE00012"},
        {"9606:HUMAN00002", "10116:RATNO00012"},
    )
    assert tally.read == 2
    names = tsv(["HUMAN00001", "ENSG00000000001.4"], ["MOUSE00012", "ENSMUSG00000000001"])
    homology, _ = read(tmp_path, OMA_PAIRS, genes=names)
    assert homology.group("human", "ENSG00000000001") == homology.group(
        "mouse", "ENSMUSG00000000001.9"
    )


def test_oma_pairs_of_other_ids(tmp_path):
    text = tsv(["ENSG00000000001", "ENSMUSG00000000001", "1:1", 77])
    homology, _ = read(tmp_path, text, species="human", query="mouse")
    assert partition(homology) == groups({"9606:ENSG00000000001", "10090:ENSMUSG00000000001"})
    with pytest.raises(InputError, match=r"h\.tsv:1: got no reference and query species, wanted"):
        read(tmp_path, text)


def test_oma_groups(tmp_path):
    text = "# fingerprints\n" + tsv(
        [1, "YRIKCCH", "HUMAN00001", "MOUSE00012", "BOVIN00003"], [2, "n/a", "HUMAN00002"]
    )
    homology, tally = read(tmp_path, text)
    assert partition(homology) == groups(
        {"9606:HUMAN00001", "10090:MOUSE00012", "9913:BOVIN00003"},
        {"9606:HUMAN00002"},
    )
    assert homology.group("human", "HUMAN00001") == "1"
    assert tally.read == 2
    with pytest.raises(InputError, match=r"h\.tsv:4: got no group of OMA's proteins"):
        read(tmp_path, text + "3\tABC\tx\n")


@pytest.mark.parametrize("category", [[], ["H"]])
def test_eggnog_members(tmp_path, category):
    text = tsv(
        [2759, "KOG0001", 3, 2, *category, "9606.ENSP00000000001,9606.P2,10090.ENSMUSP00000000003"]
        + ([] if category else ["9606,10090"]),
        [2759, "KOG0002", 1, 1, *category, "7227.FBpp0001"] + ([] if category else ["7227"]),
    )
    homology, tally = read(tmp_path, text)
    assert partition(homology) == groups(
        {"10090:ENSMUSP00000000003", "9606:ENSP00000000001", "9606:P2"},
        {"7227:FBpp0001"},
    )
    assert homology.group("human", "ENSP00000000001.3") == "KOG0001"
    other = text + text.replace("2759\t", "33208\t").replace("KOG", "X")
    with pytest.raises(InputError, match=r"h\.tsv:3: got groups of the levels 2759 and 33208"):
        read(tmp_path, other)
    homology, tally = read(tmp_path, other, level="33208")
    assert homology.group("human", "P2") == "X0001"
    assert tally.adjusted == {"group of another level not used": 2}


def test_eggnog_mapper(tmp_path):
    text = "## emapper-2.1\n" + tsv(
        ["#query", "seed_ortholog", "evalue", "score", "eggNOG_OGs", "max_annot_lvl"],
        ["prot1", "9606.ENSP1", 0, 1, "KOG1@1|root,KOG1@2759|Eukaryota,3BA@33208|Metazoa", "x"],
        ["prot2", "9606.ENSP2", 0, 1, "COG7@1|root", "x"],
    )
    text += "## 2 queries scanned\n"
    homology, tally = read(tmp_path, text, species="cow", level="33208")
    assert partition(homology) == groups({"9913:prot1"})
    assert homology.group("bosTau9", "prot1") == "3BA"
    assert (tally.read, tally.adjusted) == (2, {"gene without a group of this level": 1})
    with pytest.raises(InputError, match="got no species of the proteins, wanted it named"):
        read(tmp_path, text, level="33208")
    with pytest.raises(InputError, match="got groups of several levels, wanted one level named"):
        read(tmp_path, text, species="cow")


BIOMART_R = [
    ["ensembl_gene_id", "mmusculus_homolog_ensembl_gene", "mmusculus_homolog_orthology_type"],
    ["ENSG00000139618", "ENSMUSG00000041147", "ortholog_one2one"],
    ["ENSG00000000003", "ENSMUSG00000000009", "other_paralog"],
]


def written_by_r(rows, separator, row_names):
    """As `write.table` writes a data frame, which leaves the name of its row names out."""
    quoted = [[f'"{value}"' for value in row] for row in rows]
    if row_names:
        quoted = [quoted[0], *([f'"{n}"', *row] for n, row in enumerate(quoted[1:], 1))]
    if row_names == "named":
        quoted[0] = ['""', *quoted[0]]
    return "".join(separator.join(row) + "\n" for row in quoted)


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("row_names", ["", "unnamed", "named"])
def test_biomart_in_r(tmp_path, separator, row_names):
    text = written_by_r(BIOMART_R, separator, row_names)
    homology, tally = read(tmp_path, text, species="hsapiens")
    assert partition(homology) == groups({"9606:ENSG00000139618", "10090:ENSMUSG00000041147"})
    assert tally.adjusted == {"other_paralog not joined": 1, "gene without homolog": 1}


def test_biomart_in_r_of_paralogs_and_versions(tmp_path):
    text = tsv(
        ["ensembl_gene_id_version", "hsapiens_paralog_ensembl_gene"]
        + ["hsapiens_paralog_orthology_type"],
        ["ENSG00000139618.19", "ENSG00000000003", "within_species_paralog"],
        ["ENSG00000139618.19", "ENSG00000000005", "other_paralog"],
    )
    homology, _ = read(tmp_path, text, species="human")
    assert partition(homology) == groups({"9606:ENSG00000139618", "9606:ENSG00000000003"})


def test_type_of_old_biomart_without_a_species(tmp_path):
    text = tsv(
        ["Ensembl Gene ID", "Human Paralog Ensembl Gene ID", "Homology Type"],
        ["ENSG00000139618", "ENSG00000000003", "other_paralog"],
        ["ENSG00000139618", "ENSG00000000005", "within_species_paralog"],
    )
    homology, tally = read(tmp_path, text, species="human")
    assert partition(homology) == groups({"9606:ENSG00000139618", "9606:ENSG00000000005"})
    assert tally.adjusted["other_paralog not joined"] == 1


def test_types_of_old_biomart_belong_to_the_gene_before(tmp_path):
    header = ["Ensembl Gene ID", "Mouse Ensembl Gene ID", "Homology Type", "Rat Ensembl Gene ID"]
    text = tsv(
        [*header, "Homology Type"],
        ["ENSG1", "ENSMUSG1", "other_paralog", "ENSRNOG1", "ortholog_one2one"],
        ["ENSG2", "ENSMUSG2", "ortholog_one2one", "ENSRNOG2", "between_species_paralog"],
    )
    homology, _ = read(tmp_path, text, species="human")
    assert partition(homology) == groups(
        {"9606:ENSG1", "10116:ENSRNOG1"},
        {"9606:ENSG2", "10090:ENSMUSG2"},
    )
    first = tsv(["Homology Type", "Ensembl Gene ID", *header[1:2], *header[3:]], ["a"] * 4)
    with pytest.raises(InputError, match="header: got 'Homology Type' before all homologs, wanted"):
        read(tmp_path, first, species="human")


ORTHOFINDER = tsv(
    ["Orthogroup", "Homo_sapiens.GRCh38.pep.all", "Mus_musculus"],
    ["OG1", "ENSP00000000001.3, ENSP00000000002.1", "NP_000001.2"],
    ["OG2", "ENSP00000000009.1|ENST00000000009.1|ENSG00000000009.1", "sp|P51587|BRCA2_MOUSE"],
)


def test_proteins_of_orthofinder(tmp_path):
    homology, _ = read(tmp_path, ORTHOFINDER)
    assert homology.group("human", "ENSP00000000001") == "OG1"
    assert homology.group("mouse", "NP_000001.7") == "OG1"
    assert homology.group("human", "ENSG00000000009") == homology.group("mouse", "P51587") == "OG2"


@pytest.mark.parametrize(
    "genes",
    [
        "ENSP00000000001\tENSG00000000001.5\nENSP00000000009.1\tENSG00000000077\n",
        "gene_id\tprotein_id\nENSG00000000001\tENSP00000000001.9\n",
        "gene_id,transcript_id,protein_id\nENSG00000000001,ENST00000000001,ENSP00000000001\n",
        '"Gene stable ID","Protein stable ID"\n"ENSG00000000001","ENSP00000000001"\n',
        "species\tgene_id\tprotein_id\nhuman\tENSG00000000001\tENSP00000000001\n",
    ],
)
def test_genes_of_proteins_by_a_table(tmp_path, genes):
    homology, _ = read(tmp_path, ORTHOFINDER, genes=genes)
    assert homology.group("human", "ENSG00000000001") == "OG1"
    assert homology.group("mouse", "ENSG00000000001") is None


def test_a_table_of_names_that_has_none_of_the_genes(tmp_path):
    message = (
        r"genes\.tsv: got names of no gene of .*h\.tsv, such as 'P1', wanted its genes, such as "
        "'ENSP00000000001'"
    )
    with pytest.raises(InputError, match=message):
        read(tmp_path, ORTHOFINDER, genes="P1\tG1\n")


def test_versions_and_copies_on_y_do_not_count_on_either_side(tmp_path):
    text = tsv(
        ["group_id", "species", "gene_id"],
        ["H", "human", "ENSG00000139618.18"],
        ["I", "human", "ENSG00000182378"],
        ["J", "human", "ENSG00000000005.6_3"],
    )
    homology, _ = read(tmp_path, text)
    for name in ("ENSG00000139618", "ENSG00000139618.19", "ENSG00000139618.19_5"):
        assert homology.group("human", name) == "H"
    for name in ("ENSG00000182378.14_PAR_Y", "ENSG00000182378_PAR_Y", "ENSGR0000182378.10"):
        assert homology.group("human", name) == "I"
    assert homology.group("human", "ENSG00000000005.7") == "J"
    assert homology.group("human", "ENSG00000000005_x") is None


def test_windows_line_ends_byte_order_marks_and_quotes(tmp_path):
    text = '\ufeff"group_id"\t"species"\t"gene_id"\r\n"H"\t"human"\t"CYCD1;1, a"\r\n\r\n'
    homology, _ = read(tmp_path, text)
    assert homology.groups == {("9606", "CYCD1;1, a"): "H"}
