"""What gene finders and liftover tools write: bare ids, CDS of genes, one ID for two features."""

import pytest

from data_builders.annotation.reader import read_annotation
from data_builders.records import InputError


def line(kind, start, end, attributes, *, strand="+", phase="."):
    return f"chr1\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\t{attributes}"


def read(tmp_path, *lines, end="\n", **options):
    path = tmp_path / "annotation"
    path.write_bytes(("".join(text + end for text in lines)).encode())
    return read_annotation(path, **options)


def model(annotation):
    (only,) = annotation.transcripts
    return only.transcript_id, only.gene_id, only.exons, only.cds, only.phase


IDS = 'transcript_id "g1.t1"; gene_id "g1";'
AUGUSTUS = [
    line("gene", 61, 410, "g1", strand="-"),
    line("transcript", 61, 410, "g1.t1", strand="-"),
    line("stop_codon", 61, 63, IDS, strand="-", phase="0"),
    line("CDS", 61, 200, IDS, strand="-", phase="2"),
    line("exon", 61, 200, IDS, strand="-"),
    line("intron", 201, 300, IDS, strand="-"),
    line("CDS", 301, 410, IDS, strand="-", phase="0"),
    line("exon", 301, 410, IDS, strand="-"),
    line("start_codon", 408, 410, IDS, strand="-", phase="0"),
]
EXPECTED = ("g1.t1", "g1", ((60, 200), (300, 410)), ((60, 200), (300, 410)), 0)


@pytest.mark.parametrize("end", ["\n", "\r\n", ";\n"])
@pytest.mark.parametrize("head", [(), ("# This output was generated with AUGUSTUS",), ("\ufeff#",)])
def test_augustus_and_braker(tmp_path, head, end):
    """Gene and transcript lines have an id alone."""
    lines = AUGUSTUS if end != ";\n" else [text.removesuffix(";") for text in AUGUSTUS]
    annotation = read(tmp_path, *head, *lines, end=end)
    assert model(annotation) == EXPECTED
    assert (annotation.tally.read, annotation.tally.skipped) == (1, {})
    assert annotation.transcripts[0].strand == "-"


def test_transcript_lines_after_their_parts_or_without_any(tmp_path):
    annotation = read(tmp_path, *AUGUSTUS[2:], *AUGUSTUS[:2])
    assert model(annotation) == EXPECTED
    annotation = read(tmp_path, *AUGUSTUS, line("transcript", 500, 600, "g2.t1"))
    assert model(annotation) == EXPECTED
    assert annotation.tally.skipped == {"no exons": 1}
    assert annotation.tally.read == 2


def test_transcript_of_a_bare_id_that_is_there_twice(tmp_path):
    annotation = read(tmp_path, AUGUSTUS[1], *AUGUSTUS)
    assert annotation.tally.skipped == {"transcript defined twice": 1}


def test_genemark(tmp_path):
    """CDS without exons on some lines; extra attributes; mRNA lines; ids of a digit first."""
    ids = 'gene_id "1_g"; transcript_id "1_t";'
    annotation = read(
        tmp_path,
        line("gene", 1, 90, 'gene_id "1_g"; transcript_id "1_t";'),
        line("mRNA", 1, 90, ids),
        line("CDS", 1, 40, ids + ' cds_type "Initial"; count "1_2";', phase="0"),
        line("CDS", 61, 90, ids + ' cds_type "Terminal"; count "2_2";', phase="2"),
    )
    assert model(annotation) == ("1_t", "1_g", ((0, 40), (60, 90)), ((0, 40), (60, 90)), 0)


def test_stringtie(tmp_path):
    ids = 'gene_id "STRG.1"; transcript_id "STRG.1.1";'
    annotation = read(
        tmp_path,
        "# stringtie reads.bam -o out.gtf",
        line("transcript", 1, 90, ids + ' cov "2.5"; FPKM "1.0"; TPM "3.0";'),
        line("exon", 1, 90, ids + ' exon_number "1"; cov "2.5"; ref_gene_name "a;b";'),
        line("transcript", 1, 90, ids.replace("1.1", "1.2"), strand="."),
        line("exon", 1, 90, ids.replace("1.1", "1.2"), strand="."),
    )
    assert model(annotation) == ("STRG.1.1", "STRG.1", ((0, 90),), (), 0)
    assert annotation.tally.skipped == {"strand unknown": 1}


def test_liftoff(tmp_path):
    """Empty transcript_id on gene lines of a GTF; copies by ID in a GFF3."""
    ids = 'gene_id "g"; transcript_id "t"; extra_copy_number "0"; copy_num_ID "g_0";'
    annotation = read(
        tmp_path,
        line("gene", 1, 90, 'gene_id "g"; transcript_id ""; coverage "1.0";'),
        line("transcript", 1, 90, ids),
        line("exon", 1, 90, ids),
    )
    assert model(annotation) == ("t", "g", ((0, 90),), (), 0)
    annotation = read(
        tmp_path,
        line("gene", 1, 90, "ID=g_1;Name=N;copy_num_ID=g_1;coverage=1.0"),
        line("mRNA", 1, 90, "ID=t_1;Parent=g_1;matches_ref_protein=True"),
        line("exon", 1, 90, "ID=e_1;Parent=t_1;extra_copy_number=1"),
    )
    assert model(annotation) == ("t_1", "g_1", ((0, 90),), (), 0)
    assert annotation.gene_symbols == {"g_1": "N"}


def test_a_bare_id_on_a_part_is_an_error(tmp_path):
    with pytest.raises(InputError, match="annotation:2: attributes: got 'g1.t1', wanted 'key"):
        read(tmp_path, line("transcript", 1, 9, "g1.t1"), line("exon", 1, 9, "g1.t1"))
    with pytest.raises(InputError, match="annotation:2: transcript_id: got none, wanted one"):
        read(tmp_path, line("exon", 1, 9, IDS), line("exon", 1, 9, "g1.t1"))


@pytest.mark.parametrize(
    ("attributes", "symbol"),
    [
        ('experiment "DESCRIPTION:gene knockout"; gene "thrL";', "thrL"),
        ('note "gene_name wrong; gene wrong"; gene_name "CYCD1;1";', "CYCD1;1"),
        ('gene "second"; gene_name "first";', "first"),
        ('gene_symbol "Adh"; note "gene x";', "Adh"),
        ('gene_name "C#1, D";', "C#1, D"),
        (r'gene_name "a\"b";', 'a"b'),
        ('note "gene knockout";', None),
    ],
)
def test_symbols_are_those_of_their_attribute(tmp_path, attributes, symbol):
    ids = 'gene_id "b0001"; transcript_id "t1"; '
    annotation = read(tmp_path, line("exon", 101, 400, ids + attributes))
    assert annotation.gene_symbols == ({"b0001": symbol} if symbol else {})


@pytest.mark.parametrize("before", ['note "transcript_id x; gene_id y"; ', 'db "a;b"; ', ""])
def test_ids_with_what_ends_an_attribute_elsewhere(tmp_path, before):
    ids = before + 'gene_id "g;1 #x"; transcript_id "t;1, a"; note "y";'
    annotation = read(tmp_path, line("exon", 1, 9, ids), line("exon", 21, 29, ids))
    assert model(annotation) == ("t;1, a", "g;1 #x", ((0, 9), (20, 29)), (), 0)


def test_quoted_values_of_a_gff3(tmp_path):
    annotation = read(
        tmp_path,
        line("gene", 101, 900, 'ID="g";Name="CYCD1;1"'),
        line("mRNA", 101, 900, 'Note="a;Parent=x";ID="t1";Parent="g"'),
        line("exon", 101, 300, 'Parent="t1"'),
        line("exon", 401, 900, 'Parent="t1";Note="exception=trans-splicing"'),
    )
    assert model(annotation) == ("t1", "g", ((100, 300), (400, 900)), (), 0)
    assert annotation.gene_symbols == {"g": "CYCD1;1"}


def test_words_in_notes_of_a_gff3(tmp_path):
    annotation = read(
        tmp_path,
        line("region", 1, 50, "ID=r;Note=not Is_circular=true"),
        line("gene", 1, 90, "ID=g;Note=gene=wrong,Name=wrong;gene=right"),
        line("mRNA", 1, 90, "ID=t;Parent=g;Note=trans-splicing was not seen"),
        line("exon", 1, 90, "Parent=t"),
    )
    assert model(annotation) == ("t", "g", ((0, 90),), (), 0)
    assert annotation.gene_symbols == {"g": "right"}


# --- A CDS whose parent is the gene

GENE = line("gene", 101, 900, "ID=gene-Y")
EXONS = ((100, 400), (600, 900))


def mrna(name, *exons, kind="mRNA"):
    yield line(kind, exons[0][0] + 1, exons[-1][1], f"ID={name};Parent=gene-Y")
    for start, end in exons:
        yield line("exon", start + 1, end, f"Parent={name}")


def cds(start, end, phase, name="cds-D", parent="gene-Y"):
    return line("CDS", start + 1, end, f"ID={name};Parent={parent}", phase=phase)


CDS = [cds(200, 400, 0), cds(600, 700, 1)]


def test_cds_of_a_gene_is_that_of_its_only_transcript(tmp_path):
    annotation = read(tmp_path, GENE, *mrna("rna-Y", *EXONS), *CDS)
    assert model(annotation) == ("Y", "Y", EXONS, ((200, 400), (600, 700)), 0)
    assert annotation.tally.adjusted["CDS of a gene given to its only transcript"] == 1
    assert annotation.tally.read == 1
    # In any order, and beside transcripts that do not code.
    lines = [*CDS, *mrna("rna-T", (100, 190), kind="tRNA"), *mrna("rna-Y", *EXONS), GENE]
    found = {m.transcript_id: m.cds for m in read(tmp_path, *lines).transcripts}
    assert found == {"rna-T": (), "rna-Y": ((200, 400), (600, 700))} or found == {
        "T": (),
        "Y": ((200, 400), (600, 700)),
    }


def test_cds_of_a_gene_with_several_transcripts_goes_where_it_fits(tmp_path):
    other = mrna("rna-Z", (100, 300), (600, 900))
    annotation = read(tmp_path, GENE, *mrna("rna-Y", *EXONS), *other, *CDS)
    found = {m.transcript_id: m.cds for m in annotation.transcripts}
    assert found == {"Y": ((200, 400), (600, 700)), "Z": ()}
    reason = "CDS of a gene given to the only transcript that it fits"
    assert annotation.tally.adjusted[reason] == 1
    assert annotation.tally.skipped == {}


@pytest.mark.parametrize("others", [EXONS, ((100, 350), (600, 900))])
def test_cds_of_a_gene_that_fits_several_transcripts_or_none_is_counted(tmp_path, others):
    transcripts = [*mrna("rna-Y", *others), *mrna("rna-Z", *others)]
    annotation = read(tmp_path, GENE, *transcripts, *CDS)
    assert {m.transcript_id: m.cds for m in annotation.transcripts} == {"Y": (), "Z": ()}
    reason = "CDS of a gene with several transcripts: whose is unclear"
    assert annotation.tally.skipped == {reason: 1}
    with pytest.raises(InputError, match=f"annotation:8: transcript 'D': {reason}"):
        read(tmp_path, GENE, *transcripts, *CDS, strict=True)


def test_features_of_a_gene_that_are_no_transcripts_get_no_cds(tmp_path):
    site = line("ribosome_entry_site", 101, 110, "ID=site;Parent=gene-Y")
    annotation = read(tmp_path, GENE, site, *CDS)
    assert model(annotation) == ("D", "Y", ((200, 400), (600, 700)), ((200, 400), (600, 700)), 0)
    assert annotation.tally.skipped == {"no exons": 1}


def test_cds_that_the_gene_repeats_counts_once(tmp_path):
    own = [cds(200, 400, 0, parent="rna-Y"), cds(600, 700, 1, parent="rna-Y")]
    annotation = read(tmp_path, GENE, *mrna("rna-Y", *EXONS), *own, *CDS)
    assert model(annotation) == ("Y", "Y", EXONS, ((200, 400), (600, 700)), 0)


@pytest.mark.parametrize("of_mrna", [True, False])
def test_exons_of_a_gene_are_those_of_its_only_transcript(tmp_path, of_mrna):
    transcript = line("mRNA", 101, 900, "ID=rna-Y;Parent=gene-Y")
    exons = [line("exon", start + 1, end, "Parent=gene-Y") for start, end in EXONS]
    parent = "rna-Y" if of_mrna else "gene-Y"
    pieces = [cds(200, 400, 0, parent=parent), cds(600, 700, 1, parent=parent)]
    for lines in ([GENE, transcript, *exons, *pieces], [*pieces, *exons, transcript, GENE]):
        annotation = read(tmp_path, *lines)
        assert model(annotation) == ("Y", "Y", EXONS, ((200, 400), (600, 700)), 0)
        assert annotation.tally.adjusted["exons of a gene given to its only transcript"] == 1
    other = line("mRNA", 101, 900, "ID=rna-Z;Parent=gene-Y")
    annotation = read(tmp_path, GENE, transcript, other, *exons, *pieces)
    assert annotation.tally.read == 3


@pytest.mark.parametrize("strand", "+-")
def test_pieces_of_several_ids_are_one_cds_where_phases_prove_it(tmp_path, strand):
    phases = (0, 2) if strand == "+" else (1, 0)
    lines = [line("gene", 101, 700, "ID=g1", strand=strand)] + [
        line("CDS", start, end, f"ID=g1.cds{number};Parent=g1", strand=strand, phase=phase)
        for number, (start, end, phase) in enumerate(
            zip((101, 501), (200, 700), phases, strict=True), 1
        )
    ]
    annotation = read(tmp_path, *lines)
    pieces = ((100, 200), (500, 700))
    assert model(annotation) == ("g1", "g1", pieces, pieces, 0)
    assert annotation.tally.adjusted["CDS in pieces of several IDs read as one"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((101, 199, 0), (501, 700, 0)),  # both begin in frame: two proteins
        ((101, 300, 0), (201, 400, 1)),  # they overlap
        ((101, 200, 0), (501, 700, 1)),  # the phase does not follow
        ((101, 200, "."), (501, 700, ".")),
    ],
)
def test_several_cds_of_a_gene_are_transcripts_and_counted(tmp_path, first, second):
    lines = [line("gene", 101, 700, "ID=g1")] + [
        line("CDS", start, end, f"ID=c{number};Parent=g1", phase=phase)
        for number, (start, end, phase) in enumerate((first, second), 1)
    ]
    annotation = read(tmp_path, *lines)
    assert [m.transcript_id for m in annotation.transcripts] == ["c1", "c2"]
    reason = "CDS of a gene that has several read as a transcript"
    assert annotation.tally.adjusted[reason] == 2


@pytest.mark.parametrize("parent", [";Parent=g1", ""])
@pytest.mark.parametrize("gene_first", [True, False])
def test_a_gene_and_its_transcript_of_one_id(tmp_path, parent, gene_first):
    gene = line("gene", 1, 90, "ID=g1;Name=N")
    transcript = line("mRNA", 1, 90, "ID=g1" + parent)
    parts = [line("exon", 1, 90, "Parent=g1"), line("CDS", 1, 90, "ID=c;Parent=g1", phase=0)]
    lines = [gene, transcript] if gene_first else [transcript, gene]
    for given in ([*lines, *parts], [*parts, *lines], [*lines, parts[1]]):
        annotation = read(tmp_path, *given)
        assert model(annotation) == ("g1", "g1", ((0, 90),), ((0, 90),), 0)
        assert annotation.transcripts[0].biotype == "mRNA"
        assert annotation.gene_symbols == {"g1": "N"}
        assert (annotation.tally.read, annotation.tally.skipped) == (1, {})
    annotation = read(tmp_path, *lines, transcript, *parts)
    assert annotation.tally.skipped == {"transcript defined twice": 1}


# --- Names in other databases, and what annotators prefer


def test_numbers_of_genes_at_ncbi(tmp_path):
    ids = 'gene_id "BRCA2"; transcript_id "NM_1.1"; '
    annotation = read(
        tmp_path, line("exon", 1, 9, ids + 'db_xref "GeneID:675"; db_xref "HGNC:HGNC:1101";')
    )
    assert annotation.gene_names == {"BRCA2": ("675",)}
    annotation = read(
        tmp_path,
        line("gene", 1, 9, "ID=gene-BRCA2;Dbxref=GeneID:675,HGNC:HGNC:1101,MIM:600185"),
        line("mRNA", 1, 9, "ID=rna-1;Parent=gene-BRCA2"),
        line("exon", 1, 9, "Parent=rna-1"),
    )
    assert annotation.gene_names == {"BRCA2": ("675", "HGNC:1101")}


@pytest.mark.parametrize("regular", [True, False])
def test_details_of_a_gtf(tmp_path, regular):
    ids = 'gene_id "g"; transcript_id "{}"; '
    lines = []
    for name, tags, protein in (
        ("t1", 'tag "basic"; tag "MANE_Select"; tag "appris_principal_1";', "P1"),
        ("t2", 'tag "basic,Ensembl_canonical";', "P2"),
        ("t3", 'note "tag MANE_Select";', ""),
    ):
        lines.append(line("transcript", 1, 90, ids.format(name) + tags))
        lines.append(line("exon", 1, 90, ids.format(name)))
        if protein:
            protein = f'protein_id "{protein}";'
            lines.append(line("CDS", 1, 90, ids.format(name) + protein, phase=0))
    if not regular:
        lines.insert(0, "#comment")
    annotation = read(tmp_path, *lines, details=True)
    assert annotation.preferences == {
        "t1": {"MANE Select", "APPRIS principal 1"},
        "t2": {"Ensembl canonical"},
    }
    assert annotation.gene_names == {"g": ("P1", "P2")}
    plain = read(tmp_path, *lines)
    assert (plain.preferences, plain.gene_names) == ({}, {})
    assert plain.transcripts == annotation.transcripts


def test_details_of_a_gff3(tmp_path):
    annotation = read(
        tmp_path,
        line("gene", 1, 90, "ID=gene-G;gene=G"),
        line("mRNA", 1, 90, "ID=rna-NM_1.1;Parent=gene-G;tag=MANE Select,basic"),
        line("exon", 1, 90, "Parent=rna-NM_1.1"),
        line("CDS", 1, 90, "ID=cds-NP_1.1;Parent=rna-NM_1.1;protein_id=NP_1.1", phase=0),
        details=True,
    )
    assert annotation.preferences == {"NM_1.1": {"MANE Select"}}
    assert annotation.gene_names == {"G": ("NP_1.1",)}


def test_an_exon_whose_parents_stand_apart_is_of_both(tmp_path):
    annotation = read(
        tmp_path,
        line("gene", 101, 900, "ID=g"),
        line("mRNA", 101, 900, "ID=a;Parent=g"),
        line("mRNA", 101, 900, "ID=b;Parent=g"),
        line("exon", 101, 300, "Parent=a;Parent=b"),
        line("exon", 501, 900, "Parent=b"),
    )
    found = {model.transcript_id: model.exons for model in annotation.transcripts}
    assert found == {"a": ((100, 300),), "b": ((100, 300), (500, 900))}


def test_a_transcript_of_two_genes_is_counted(tmp_path):
    annotation = read(
        tmp_path,
        line("gene", 101, 900, "ID=g"),
        line("gene", 101, 900, "ID=h"),
        line("mRNA", 101, 900, "ID=a;Parent=g,h"),
        line("exon", 101, 300, "Parent=a"),
    )
    (model,) = annotation.transcripts
    assert model.gene_id == "g"
    assert annotation.tally.adjusted == {"transcript of several genes given to the first": 1}
