"""Damaged tables of homology, labels and expression: read, or refused in a line with the file."""

import gzip
import random
from functools import partial

import pytest

from data_builders.expression.prepare import read_expression, read_obs
from data_builders.homology.homologous_genes import read_homology
from data_builders.homology.homologs import HomologOptions, HomologReport, read_homologs
from data_builders.homology.phylogeny import read_species_distances
from data_builders.homology.sources import HomologSource
from data_builders.homology.tables import HomologyTable
from data_builders.interactions.build import InteractionFiles, read_set
from data_builders.interactions.clusters import read_cluster_table
from data_builders.interactions.families import read_families
from data_builders.labels.label_set import Join
from data_builders.labels.sets import (
    gene_ontology_annotations,
    gene_ontology_sets,
    half_life,
    mean_ribosome_load,
    protein_localisation,
)
from data_builders.records import InputError, IsoformGroup, Transcript

GROUPS = [
    IsoformGroup("h1", (Transcript("t1", "g1", "human", "ATGTAACCCC", 0, 6),)),
    IsoformGroup("h2", (Transcript("t2", "g2", "human", "ACGT"),)),
]
TERM = "[Term]\nid: GO:000000{0}\nnamespace: cellular_component\nis_a: GO:000000{1} ! x\n\n"
OBO = TERM.format(1, 2) + TERM.format(2, 2)
GAF = "".join(
    f"U\t{gene}\tS\t{qualifier}\tGO:000000{n}\tP:1\tIDA\t\tC\t\t\tprotein\ttaxon:9606\t2020\tU\t\t\n"
    for gene, qualifier, n in [("g1", "", 1), ("g2", "NOT", 2), ("g2", "", 2)]
)
PAIR = "gene_stable_id\tspecies\thomology_type\thomology_gene_stable_id\thomology_species\n"
TOGA = "t_gene\tt_transcript\tq_gene\tq_transcript\torthology_class\n"
CARRIED = "transcript_id\tgene_id\tsequence\tcds_start\tcds_end\texon_junctions\thalf_life\n"


def homology(path, **options):
    read_homology(HomologyTable(path, **options))


def homologs(path):
    options = HomologOptions(alphabet="protein", distances="none")
    list(read_homologs([HomologSource(path)], options, HomologReport()))


def aligned(path):
    options = HomologOptions(alphabet="protein", distances="poisson")
    list(read_homologs([HomologSource(path)], options, HomologReport()))


def names_of_genes(path):
    table = path.with_suffix(".groups")
    table.write_text("group_id\tspecies\tgene_id\nH\thuman\tx\nI\tmouse\tz\n")
    homology(table, genes=path)


def on_groups(builder, path):
    builder(path, join=Join(isoform_groups=GROUPS, species="human"))


def gaf(path):
    obo = path.with_suffix(".obo")
    obo.write_text(OBO)
    gene_ontology_annotations(path, obo, join=Join(isoform_groups=GROUPS))


def obo(path):
    annotations = path.with_suffix(".gaf")
    annotations.write_text(GAF)
    try:
        gene_ontology_annotations(annotations, path, join=Join(isoform_groups=GROUPS))
    except InputError as error:
        # With terms gone, it is the annotations that have nothing to say.
        raise InputError(str(error).replace(str(annotations), str(path))) from error


def interacting(path):
    """The pairs of a damaged file, of undamaged sequences."""
    files = {"rnas": ">r1\nACGU\n>r2\nGGGG\n", "proteins": ">p1\nMKL\n>p2\nMLL\n"}
    for name, content in files.items():
        path.with_suffix(f".{name}").write_text(content)
    sides = {name: [path.with_suffix(f".{name}")] for name in files}
    read_set(InteractionFiles(pairs=[path], **sides))


RNAINTER = (
    "Interactor1.Symbol\tCategory1\tInteractor2.Symbol\tCategory2\tRaw_ID1\tRaw_ID2\tscore\n"
    "R1\tlncRNA\tP1\tRBP\tE:r1.2\tp1\t0.9\nP2\tTF\tR2\tmiRNA\tp2\tr2\t0.5\n"
)
TBLOUT = (
    "#target name accession query name accession mdl mdl from mdl to seq from seq to strand\n"
    "tRNA RF00005 r1 - cm 1 71 1 72 + no 1 0.5 0.0 60.1 1e-10 ! tRNA\n"
    "5S_rRNA RF00001 r2 - cm 1 119 1 120 + no 1 0.5 0.0 90.1 1e-20 ! 5S\n"
)

CASES = {
    "generic": ("group_id\tspecies\tgene_id\nH\thuman\tg1\nH\tmouse\tm1\n", homology),
    "homologene": ("3\t9606\t34\tACADM\t118\tNP_1\n3\t10090\t7\tAcadm\t1\tNP_2\n", homology),
    "compara": (PAIR + "g1\thuman\tortholog_one2one\tm1\tmouse\n", homology),
    "biomart": (
        '"Gene stable ID","Mouse gene stable ID"\n"g1","m1"\n"g2",""\n',
        partial(homology, species="human"),
    ),
    "toga": (TOGA + "g1\tt1\tq1\tt1.5\tone2one\n", partial(homology, species="a", query="b")),
    "orthofinder": ("Orthogroup\ta\tb\nOG1\tx, y\tz\nOG2\t\tw\n", homology),
    "orthodb": ("5at1\t9606_0:00a\n5at1\t10090_0:00b\n", homology),
    "ncbi": (
        "#tax_id\tGeneID\trelationship\tOther_tax_id\tOther_GeneID\n9606\t1\tOrtholog\t10090\t2\n"
        "9606\t1\tOrtholog\t9913\t3\n",
        homology,
    ),
    "mgi": (
        "DB Class Key\tNCBI Taxon ID\tSymbol\tEntrezGene ID\tHGNC ID\n"
        "1\t9606\tA\t10\tHGNC:1\n1\t10090\ta\t20\t\n",
        homology,
    ),
    "alliance": (
        "# x\nGene1ID\tGene1Symbol\tGene1SpeciesTaxonID\tGene2ID\tGene2Symbol\tGene2SpeciesTaxonID"
        "\nHGNC:1\tA\tNCBITaxon:9606\tFB:FBgn1\ta\tNCBITaxon:7227\n",
        homology,
    ),
    "oma": ("HUMAN00001\tMOUSE00002\t1:1\t7\nHUMAN00003\tBOVIN00002\tn:1\t8\n", homology),
    "oma groups": ("1\tABCDEFG\tHUMAN00001\tMOUSE00002\n2\tn/a\tHUMAN00003\n", homology),
    "eggnog": ("2759\tKOG1\t2\t2\t9606.P1,10090.P2\t9606,10090\n", homology),
    "emapper": (
        "## x\n#query\tevalue\teggNOG_OGs\nP1\t0\tKOG1@1|root,KOG2@2759|E\nP2\t0\tX@2759|E\n## y\n",
        partial(homology, species="a", level="2759"),
    ),
    "biomaRt": (
        '"ensembl_gene_id","mmusculus_homolog_ensembl_gene"\n"1","g1","m1"\n"2","g2",""\n',
        partial(homology, species="human"),
    ),
    "old BioMart": (
        "Ensembl Gene ID\tMouse Ensembl Gene ID\tHomology Type\ng1\tm1\tortholog_one2one\n",
        partial(homology, species="human"),
    ),
    "names of genes": ("protein_id\tgene_id\nx\tg1\nz\tg2\n", names_of_genes),
    "gene_info": (
        "#tax_id\tGeneID\tSymbol\tdbXrefs\n9606\tx\tS\tEnsembl:g1\n9606\tz\tT\t-\n",
        names_of_genes,
    ),
    "genes": ("gene_id\thalf_life\ng1\t1e1\ng2\tNA\n", partial(on_groups, half_life)),
    "transcripts": ("transcript_id\tmrl\nt1\t1\nt2\t2\n", partial(on_groups, mean_ribosome_load)),
    "carried": (CARRIED + "t1\tg1\tACGATGTAA\t3\t9\t[4]\t1.5\n", half_life),
    "library": (",utr,rl\n0,ACGT,1.5\n1,ACGA,2\n", mean_ribosome_load),
    "localisation": (
        "gene_id\tn\tc\ng1\t1\t0\ng2\t0\t1\n",
        partial(on_groups, protein_localisation),
    ),
    "gmt": (
        "T1\tx\tg1\tg2\nT2\tx\tg1\n",
        lambda path: gene_ontology_sets(path, join=Join(isoform_groups=GROUPS)),
    ),
    "gaf": (GAF, gaf),
    "obo": (OBO, obo),
    "newick": ("((human:0.1,mouse:0.2)n:1,\n'fruit fly':2,worm:3.5);\n", read_species_distances),
    "distances": (
        "species_a\tspecies_b\tdistance\na\tb\t1.5\na\tc\t2\nb\tc\t3\n",
        read_species_distances,
    ),
    "fasta of homologs": (">human\nMKVLA\n>mouse\nMKVA\n>rat\nMKLLAR\n", homologs),
    "alignment": (">human\nMK-LA\n>mouse\nMKVA-\n>rat\nMKLLA\n", aligned),
    "phylip": ("3 5\nhuman MK-LA\nmouse MKVA-\nrat MKLLA\n", aligned),
    "stockholm": (
        "# STOCKHOLM 1.0\n#=GF ID fam\nhuman MK-LA\nmouse MKVA-\nrat MKLLA\n//\n",
        aligned,
    ),
    "expression": (
        "gene\tone\ttwo\nENSG00000000001\t1\t2.5\nENSG00000000002.3\t3\t4\n",
        lambda path: read_expression([path]),
    ),
    "featureCounts": (
        "# Program\nGeneid\tChr\tStart\tEnd\tStrand\tLength\ta.bam\tb.bam\n"
        "g1\t1\t1\t9\t+\t9\t5\t7\ng2\t1\t1\t9\t+\t9\t0\t1\n",
        lambda path: read_expression([path]),
    ),
    "STAR": (
        "N_unmapped\t1\t1\t1\nN_noFeature\t1\t1\t1\ng1\t5\t2\t3\ng2\t0\t1\t2\n",
        lambda path: read_expression([path]),
    ),
    "RPI pairs": ("p1\tr1\t1\np2\tr2\t0\np1\tr2\t0\n", interacting),
    "RNAInter": (RNAINTER, interacting),
    "hits of Rfam": (TBLOUT, read_families),
    "clusters of MMseqs2": ("r1\tr1\nr1\tr2\nr3\tr3\n", read_cluster_table),
    "table of samples": ("sample\ttissue\nlong_name\tlung\ntwo\tliver\n", read_obs),
}
PIECES = (b"\t", b"\n", b"\0", b'"', b",", b"\xff", b"NaN", b"-1", b"1e999", b"\xef\xbb\xbf")


def damaged(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) + 1)
        lines = content.split(b"\n")
        line = rng.randrange(len(lines))
        fields = lines[line].split(b"\t")
        rng.shuffle(fields)
        content = rng.choice(
            [
                content[:at],
                content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
                content[:at] + content[at + rng.randint(1, 9) :],
                content[:at] + rng.choice(PIECES) + content[at:],
                content.replace(b"\n", b"\r\n"),
                b"\n".join([*lines, lines[line]]),
                b"\n".join([*lines[:line], b"\t".join(fields), *lines[line + 1 :]]),
            ]
        )
    if rng.random() < 0.3:
        content = gzip.compress(content)
        content = content[: rng.randrange(len(content) + 1)] if rng.random() < 0.5 else content
    return content


def check(tmp_path, name, seeds):
    content, read = CASES[name]
    path = tmp_path / "table"
    path.write_text(content)
    read(path)
    refused = 0
    for seed in seeds:
        path.write_bytes(damaged(content.encode(), random.Random(f"{name} {seed}")))
        try:
            read(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error), seed
            assert "\n" not in str(error), seed
    assert 0 < refused < len(seeds)


@pytest.mark.parametrize("name", CASES)
def test_damaged_tables(tmp_path, name):
    check(tmp_path, name, range(40))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_damaged_tables(tmp_path, name):
    check(tmp_path, name, range(40, 440))
