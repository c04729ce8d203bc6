"""What each provider ships, in excerpts: the decisions of docs/FORMATS.md, one test each."""

import gzip
import re
from collections import Counter

import pytest

from data_builders.annotation.gxf import read_gxf
from data_builders.annotation.reader import read_annotation
from data_builders.records import InputError


def rows(text):
    """Lines of an excerpt; columns are apart by two blanks or more, or by tabs."""
    lines = (line.strip() for line in text.strip().splitlines())
    return [line if line.startswith("#") else re.sub(" {2,}", "\t", line) for line in lines]


def read(tmp_path, text, **options):
    path = tmp_path / "a.gxf"
    path.write_text("\n".join(rows(text)) + "\n")
    annotation = read_gxf(path, **options)
    assert annotation.tally.read == annotation.tally.kept + annotation.tally.skipped.total()
    assert annotation.tally.kept == len(annotation.transcripts)
    return annotation


def names(annotation):
    return [(model.transcript_id, model.gene_id) for model in annotation.transcripts]


def only(annotation):
    (model,) = annotation.transcripts
    return model


# --- GTF

ENSEMBL_GTF = """
#!genome-build GRCh38
1  havana  gene  11  60  .  +  .  gene_id "ENSG1"; gene_version "5"; gene_name "ABC";
1  havana  transcript  11  60  .  +  .  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; transcript_version "2"; gene_name "ABC"; transcript_biotype "protein_coding"; tag "cds_start_NF"; tag "mRNA_start_NF";
1  havana  exon  11  20  .  +  .  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
1  havana  CDS  11  20  .  +  2  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
1  havana  exon  31  60  .  +  .  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
1  havana  CDS  31  42  .  +  1  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
1  havana  stop_codon  43  45  .  +  0  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
1  havana  Selenocysteine  34  36  .  +  .  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
1  havana  three_prime_utr  46  60  .  +  .  gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; gene_name "ABC";
"""  # noqa: E501


def test_ensembl_gtf_with_an_incomplete_cds_and_a_selenocysteine(tmp_path):
    annotation = read(tmp_path, ENSEMBL_GTF)
    model = only(annotation)
    assert (model.transcript_id, model.gene_id, model.biotype) == (
        "ENST1",
        "ENSG1",
        "protein_coding",
    )
    assert (model.exons, model.cds) == (((10, 20), (30, 60)), ((10, 20), (30, 45)))
    assert (model.phase, annotation.gene_symbols) == (2, {"ENSG1": "ABC"})
    assert annotation.tally.adjusted == {}
    assert annotation.features["Selenocysteine"] == 1


def test_gencode_names_keep_versions_and_par_y(tmp_path):
    annotation = read(
        tmp_path,
        """
        chrX  HAVANA  exon  1  9  .  +  .  gene_id "ENSG1.15"; transcript_id "ENST1.3"; level 2;
        chrY  HAVANA  exon  1  9  .  +  .  gene_id "ENSG1.15_PAR_Y"; transcript_id "ENST1.3_PAR_Y";
        """,
    )
    assert names(annotation) == [("ENST1.3", "ENSG1.15"), ("ENST1.3_PAR_Y", "ENSG1.15_PAR_Y")]


def test_a_gene_on_two_chromosomes_keeps_its_transcripts_and_a_transcript_does_not(tmp_path):
    lines = """
        X  e  exon  1  9  .  +  .  gene_id "G"; transcript_id "T1";
        Y  e  exon  1  9  .  +  .  gene_id "G"; transcript_id "T2";
        X  e  exon  1  9  .  +  .  gene_id "G"; transcript_id "T3";
        Y  e  exon  1  9  .  +  .  gene_id "G"; transcript_id "T3";
        """
    annotation = read(tmp_path, lines)
    assert names(annotation) == [("T1", "G"), ("T2", "G")]
    assert annotation.tally.skipped == {"exons on two chromosomes": 1}
    with pytest.raises(InputError, match=r"a\.gxf:3: transcript 'T3': exons on two chromosomes"):
        read(tmp_path, lines, strict=True)


def test_refseq_gtf(tmp_path):
    annotation = read(
        tmp_path,
        """
        #gtf-version 2.2
        NC_1  Gnomon  gene  1  90  .  -  .  gene_id "LOC1"; transcript_id ""; db_xref "GeneID:1"; gene "LOC1";
        NC_1  Gnomon  transcript  1  90  .  -  .  gene_id "LOC1"; transcript_id "XM_1.1"; orig_transcript_id "no"; gene "LOC1"; transcript_biotype "mRNA";
        NC_1  Gnomon  exon  61  90  .  -  .  gene_id "LOC1"; transcript_id "XM_1.1"; gene "LOC1";
        NC_1  Gnomon  CDS  64  90  .  -  0  gene_id "LOC1"; transcript_id "XM_1.1"; gene "LOC1";
        NC_1  Gnomon  stop_codon  61  63  .  -  0  gene_id "LOC1"; transcript_id "XM_1.1";
        NC_1  RefSeq  CDS  101  106  .  +  0  gene_id "b1"; transcript_id "unassigned_transcript_1"; gene "thrL";
        NC_1  RefSeq  start_codon  101  103  .  +  0  gene_id "b1"; transcript_id "unassigned_transcript_1";
        NC_1  RefSeq  stop_codon  107  109  .  +  0  gene_id "b1"; transcript_id "unassigned_transcript_1";
        ###
        """,  # noqa: E501
    )
    first, second = annotation.transcripts
    assert (first.transcript_id, first.biotype, first.cds) == ("XM_1.1", "mRNA", ((60, 90),))
    assert (second.transcript_id, second.gene_id) == ("unassigned_transcript_1", "b1")
    assert second.exons == second.cds == ((100, 109),)
    assert annotation.gene_symbols == {"LOC1": "LOC1", "b1": "thrL"}
    assert annotation.tally.adjusted == {"exons taken from CDS and UTR": 1}


def test_an_attribute_whose_name_ends_alike_is_another(tmp_path):
    annotation = read(
        tmp_path,
        '1  x  exon  1  9  .  +  .  orig_gene_id "a"; gene_id "G"; orig_transcript_id "b"; '
        'transcript_id "T"',
    )
    assert names(annotation) == [("T", "G")]


def test_stringtie(tmp_path):
    annotation = read(
        tmp_path,
        """
        # stringtie reads.bam -o out.gtf
        chr1  StringTie  transcript  1  99  1000  +  .  gene_id "STRG.1"; transcript_id "STRG.1.1"; cov "1.0"; FPKM "2.0";
        chr1  StringTie  exon  1  99  1000  +  .  gene_id "STRG.1"; transcript_id "STRG.1.1"; exon_number "1"; cov "1.0";
        chr1  StringTie  transcript  1  99  1000  .  .  gene_id "STRG.2"; transcript_id "STRG.2.1"; cov "1.0";
        chr1  StringTie  exon  1  99  1000  .  .  gene_id "STRG.2"; transcript_id "STRG.2.1"; exon_number "1";
        """,  # noqa: E501
    )
    assert (only(annotation).transcript_id, only(annotation).cds) == ("STRG.1.1", ())
    assert annotation.tally.skipped == {"strand unknown": 1}


@pytest.mark.parametrize("order", ["together", "apart", "transcript_id first"])
def test_lines_of_a_transcript_need_not_be_together(tmp_path, order):
    lines = [
        f'1  x  exon  {start}  {start + 8}  .  +  .  gene_id "G"; transcript_id "{name}"; n "{n}";'
        for name in ("T", "T1", "T10")
        for n, start in enumerate((1, 11, 21))
    ]
    if order == "apart":
        lines = lines[::3] + lines[1::3] + lines[2::3]
    elif order == "transcript_id first":
        lines = [re.sub(r"(gene_id.*?;) (.*?;)", r"\2 \1", line) for line in lines]
    annotation = read(tmp_path, "\n".join(lines))
    assert [m.transcript_id for m in annotation.transcripts] == ["T", "T1", "T10"]
    assert all(m.exons == ((0, 9), (10, 19), (20, 29)) for m in annotation.transcripts)


def test_a_transcript_of_two_genes_is_skipped(tmp_path):
    annotation = read(
        tmp_path,
        """
        1  x  exon  1  9  .  +  .  gene_id "G1"; transcript_id "T";
        1  x  exon  11  19  .  +  .  gene_id "G2"; transcript_id "T";
        1  x  exon  1  9  .  +  .  transcript_id "U"; gene_id "G1";
        1  x  exon  11  19  .  +  .  transcript_id "U"; gene_id "G2";
        1  x  exon  1  9  .  +  .  gene_id "G1"; transcript_id "V";
        """,
    )
    assert annotation.tally.skipped == {"parts of two genes": 2}
    assert names(annotation) == [("V", "G1")]


@pytest.mark.parametrize(
    ("slip", "skipped"), [("+1", True), ("+2", True), ("-1", True), ("intron", False)]
)
def test_a_frameshift_is_not_read_as_an_intron(tmp_path, slip, skipped):
    start = {"+1": 12, "+2": 13, "-1": 10, "intron": 14}[slip]
    annotation = read(
        tmp_path,
        f"""
        1  x  CDS  1  10  .  +  0  gene_id "G"; transcript_id "T";
        1  x  CDS  {start}  30  .  +  0  gene_id "G"; transcript_id "T";
        """,
    )
    assert bool(annotation.tally.skipped) == skipped
    if skipped:
        assert annotation.tally.skipped == {"CDS not one run on the transcript": 1}
        assert annotation.tally.adjusted == {}
    else:
        assert only(annotation).exons == ((0, 10), (13, 30))


def test_trans_splicing_on_one_strand_is_skipped_because_it_is_said(tmp_path):
    lines = """
        1  x  transcript  1  99  .  +  .  gene_id "G"; transcript_id "T"; exception "trans-splicing";
        1  x  exon  1  9  .  +  .  gene_id "G"; transcript_id "T";
        1  x  exon  11  19  .  +  .  gene_id "G"; transcript_id "T";
        1  x  CDS  21  29  .  +  0  gene_id "H"; transcript_id "U"; exception "trans-splicing";
        """  # noqa: E501
    assert read(tmp_path, lines).tally.skipped == {"trans-splicing": 2}
    plain = read(tmp_path, lines.replace("trans-splicing", "other"))
    assert names(plain) == [("T", "G"), ("U", "H")]


# --- GFF3


def test_ensembl_gff3(tmp_path):
    annotation = read(
        tmp_path,
        """
        ##gff-version 3
        1  GRCh38  chromosome  1  999  .  .  .  ID=chromosome:1;Alias=CM000663.2
        1  havana  ncRNA_gene  1  30  .  +  .  ID=gene:ENSG1;Name=ABC;biotype=lncRNA;gene_id=ENSG1;version=2
        1  havana  lnc_RNA  1  30  .  +  .  ID=transcript:ENST1;Parent=gene:ENSG1;Name=ABC-201;transcript_id=ENST1
        1  havana  exon  1  30  .  +  .  Parent=transcript:ENST1;Name=ENSE1;constitutive=1;rank=1
        """,  # noqa: E501
    )
    assert names(annotation) == [("ENST1", "ENSG1")]
    assert annotation.gene_symbols == {"ENSG1": "ABC"}
    assert annotation.tally.adjusted == {"prefix taken off the ID": 1}


REFSEQ_GFF3 = """
##sequence-region NC_1 1 1000
NC_1  RefSeq  region  1  1000  .  +  .  ID=NC_1:1..1000;Dbxref=taxon:1;Is_circular=true;gbkey=Src
NC_1  RefSeq  gene  1  40  .  +  .  ID=gene-ABC;Dbxref=GeneID:1;Name=ABC;gbkey=Gene;gene=ABC
NC_1  RefSeq  mRNA  1  40  .  +  .  ID=rna-NM_1.2;Parent=gene-ABC;Name=NM_1.2;gene=ABC;transcript_id=NM_1.2
NC_1  RefSeq  exon  1  40  .  +  .  ID=exon-NM_1.2-1;Parent=rna-NM_1.2;gene=ABC;transcript_id=NM_1.2
NC_1  RefSeq  CDS  5  19  .  +  0  ID=cds-NP_1.1;Parent=rna-NM_1.2;Name=NP_1.1;gene=ABC
NC_1  RefSeq  gene  51  80  .  -  .  ID=gene-ND1;Name=ND1;gene=ND1
NC_1  RefSeq  CDS  51  80  .  -  0  ID=cds-YP_1.1;Parent=gene-ND1;Name=YP_1.1
NC_1  RefSeq  CDS  51  68  .  -  0  ID=cds-YP_2.1;Parent=gene-ND1;Name=YP_2.1
NC_1  RefSeq  gene  990  1010  .  +  .  ID=gene-ori;Name=ori
NC_1  RefSeq  CDS  990  1010  .  +  0  ID=cds-YP_3.1;Parent=gene-ori
NC_1  RefSeq  cDNA_match  1  40  .  +  .  ID=aln1;Target=NM_1.2 1 40 +
"""  # noqa: E501


def test_refseq_gff3_with_cds_under_genes_and_across_the_origin(tmp_path):
    annotation = read(tmp_path, REFSEQ_GFF3)
    assert names(annotation) == [("NM_1.2", "ABC"), ("YP_1.1", "ND1"), ("YP_2.1", "ND1")]
    assert [m.biotype for m in annotation.transcripts] == ["mRNA", "CDS", "CDS"]
    assert annotation.transcripts[2].exons == annotation.transcripts[2].cds == ((50, 68),)
    assert annotation.gene_symbols == {"ABC": "ABC", "ND1": "ND1"}
    assert annotation.tally.skipped == {"across the origin of a circular chromosome": 1}
    assert annotation.tally.adjusted == {
        "prefix taken off the ID": 3,
        "exons taken from CDS and UTR": 2,
        "CDS of a gene that has several read as a transcript": 2,
    }


def test_the_order_of_gff3_lines_means_nothing(tmp_path):
    head, *features = REFSEQ_GFF3.strip().splitlines()
    forward = read(tmp_path, REFSEQ_GFF3)
    backward = read(tmp_path, "\n".join([head, *reversed(features)]))
    assert sorted(map(fields, forward.transcripts)) == sorted(map(fields, backward.transcripts))
    for annotation in (forward, backward):
        in_file = [model.line for model in annotation.transcripts]
        assert in_file == sorted(in_file)


def test_prefixes_stay_where_names_would_clash(tmp_path):
    annotation = read(
        tmp_path,
        """
        1  x  gene  1  9  .  +  .  ID=gene-A
        1  x  exon  1  9  .  +  .  Parent=gene-A
        1  x  gene  11  19  .  +  .  ID=gene-B
        1  x  tRNA  11  19  .  +  .  ID=rna-A;Parent=gene-B
        1  x  exon  11  19  .  +  .  Parent=rna-A
        """,
    )
    assert names(annotation) == [("gene-A", "gene-A"), ("rna-A", "gene-B")]
    assert annotation.tally.adjusted == {}


def test_cds_joins_the_exons_of_a_gene_that_has_them(tmp_path):
    model = only(
        read(
            tmp_path,
            """
            1  x  CDS  4  9  .  +  0  ID=c;Parent=g
            1  x  exon  1  12  .  +  .  Parent=g
            1  x  gene  1  12  .  +  .  ID=g
            """,
        )
    )
    assert (model.transcript_id, model.exons, model.cds) == ("g", ((0, 12),), ((3, 9),))


def test_exons_of_a_transcript_without_any_are_cds_and_utr(tmp_path):
    annotation = read(
        tmp_path,
        """
        1  phytozome  gene  1  60  .  +  .  ID=g
        1  phytozome  mRNA  1  60  .  +  .  ID=t;Parent=g
        1  phytozome  five_prime_UTR  1  9  .  +  .  Parent=t
        1  phytozome  five_prime_UTR  21  24  .  +  .  Parent=t
        1  phytozome  CDS  25  30  .  +  0  ID=c;Parent=t
        1  phytozome  CDS  41  46  .  +  0  ID=c;Parent=t
        1  phytozome  three_prime_UTR  47  60  .  +  .  Parent=t
        1  phytozome  mRNA  1  60  .  +  .  ID=noncoding;Parent=g
        1  phytozome  five_prime_UTR  1  9  .  +  .  Parent=noncoding
        """,
    )
    model = only(annotation)
    assert model.exons == ((0, 9), (20, 30), (40, 60))
    assert model.cds == ((24, 30), (40, 46))
    assert annotation.tally.skipped == {"no exons": 1}
    assert annotation.tally.adjusted == {"exons taken from CDS and UTR": 1}


def test_prokka_cds_without_parents_and_a_genome_at_the_end(tmp_path):
    annotation = read(
        tmp_path,
        """
        ##gff-version 3
        c1  Prodigal  CDS  1  9  .  +  0  ID=P_1;gene=thrA;locus_tag=P_1;product=kinase
        c1  Prodigal  CDS  11  19  .  -  0  ID=P_2;gene=thrA;locus_tag=P_2
        ##FASTA
        >c1
        ACGT
        """,
    )
    assert names(annotation) == [("P_1", "P_1"), ("P_2", "P_2")]


def test_trans_splicing_in_gff3(tmp_path):
    annotation = read(
        tmp_path,
        """
        NC  RefSeq  gene  1  9  .  -  .  ID=gene-rps12;exception=trans-splicing;part=1
        NC  RefSeq  gene  21  29  .  -  .  ID=gene-rps12;exception=trans-splicing;part=2
        NC  RefSeq  CDS  1  9  .  -  0  ID=cds-1;Parent=gene-rps12;exception=trans-splicing;part=1
        NC  RefSeq  CDS  21  29  .  -  0  ID=cds-1;Parent=gene-rps12;exception=trans-splicing;part=2
        NC  RefSeq  gene  1  9  .  +  .  ID=gene-m
        NC  RefSeq  exon  1  9  .  +  .  ID=e1;Parent=rna-m
        NC  RefSeq  exon  21  29  .  +  .  ID=e2;Parent=rna-m
        NC  RefSeq  mRNA  1  29  .  +  .  ID=rna-m;Parent=gene-m;exception=trans-splicing
        NC  RefSeq  ncRNA  1  29  .  +  .  ID=rna-n;Parent=gene-m
        NC  RefSeq  exon  1  9  .  +  .  ID=e3;Parent=rna-n
        """,
    )
    assert annotation.tally.skipped == {"trans-splicing": 2}
    assert names(annotation) == [("n", "m")]


def test_tair_transposable_element_genes(tmp_path):
    annotation = read(
        tmp_path,
        """
        Chr2  TAIR10  transposable_element_gene  1  9  .  +  .  ID=AT2G01022;Name=AT2G01022
        Chr2  TAIR10  mRNA_TE_gene  1  9  .  +  .  ID=AT2G01022.1;Parent=AT2G01022
        Chr2  TAIR10  exon  1  9  .  +  .  Parent=AT2G01022.1
        """,
    )
    assert names(annotation) == [("AT2G01022.1", "AT2G01022")]


def test_wormbase_keeps_its_prefixes(tmp_path):
    annotation = read(
        tmp_path,
        """
        I  WormBase  gene  1  9  .  +  .  ID=Gene:WBGene1;Name=WBGene1
        I  WormBase  mRNA  1  9  .  +  .  ID=Transcript:Y1.1;Parent=Gene:WBGene1
        I  WormBase  exon  1  9  .  +  .  Parent=Transcript:Y1.1
        """,
    )
    assert names(annotation) == [("Transcript:Y1.1", "Gene:WBGene1")]


@pytest.mark.parametrize("attributes", ["Parent=t", "ID=e; Parent=t ", "geneParent=x;Parent=t;x=1"])
def test_parent_wherever_it_stands(tmp_path, attributes):
    annotation = read(
        tmp_path,
        f"""
        1  x  gene  1  9  .  +  .  ID=g
        1  x  mRNA  1  9  .  +  .  Name=ID;ID=t;Parent=g
        1  x  exon  1  9  .  +  .  {attributes}
        """,
    )
    assert names(annotation) == [("t", "g")]


def test_cds_with_two_phases_is_skipped(tmp_path):
    annotation = read(
        tmp_path,
        """
        1  x  exon  1  9  .  +  .  gene_id "G"; transcript_id "T";
        1  x  CDS  1  9  .  +  0  gene_id "G"; transcript_id "T";
        1  x  CDS  1  9  .  +  1  gene_id "G"; transcript_id "T";
        """,
    )
    assert annotation.tally.skipped == {"CDS with two phases": 1}


# --- Any dialect


@pytest.mark.parametrize("text", [ENSEMBL_GTF, REFSEQ_GFF3])
@pytest.mark.parametrize(
    "change",
    [
        lambda lines: b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n",
        lambda lines: b"\xef\xbb\xbf" + b"\n".join(lines[1:]),
        lambda lines: b"\r\n".join([*lines, b"", b""]),
        lambda lines: b" \n".join([*lines, b" "]),
        lambda lines: b"\t\n".join(lines) + b"\t\n",
        lambda lines: b"\n".join(lines),
        lambda lines: gzip.compress(b"\n".join(lines)),
    ],
    ids=["BOM", "BOM on a feature", "CRLF", "blanks", "tabs", "no last end", "gzip"],
)
def test_ends_of_lines_and_byte_order_mark(tmp_path, text, change):
    expected = read(tmp_path, text)
    path = tmp_path / "changed"
    path.write_bytes(change([line.encode() for line in rows(text)]))
    found = read_gxf(path)
    assert [fields(m) for m in found.transcripts] == [fields(m) for m in expected.transcripts]
    assert found.features == expected.features


def fields(model):
    """All but the line."""
    return [getattr(model, name) for name in model.__slots__ if name != "line"]


@pytest.mark.parametrize("start", ["+1", "1_0", " 1", "-1", "1.0", "", "9" * 5_000])
def test_coordinates_that_int_would_take(tmp_path, start):
    path = tmp_path / "a.gxf"
    path.write_text(f'1\tx\texon\t{start}\t99\t.\t+\t.\tgene_id "G"; transcript_id "T";\n')
    with pytest.raises(InputError, match=r"a\.gxf:1: coordinates: got .* to 99, wanted integers"):
        read_gxf(path)


def test_a_part_without_a_chromosome(tmp_path):
    path = tmp_path / "a.gxf"
    path.write_text('\tx\texon\t1\t99\t.\t+\t.\tgene_id "G"; transcript_id "T";\n')
    with pytest.raises(InputError, match=r"a\.gxf:1: chromosome: got none"):
        read_gxf(path)


def test_a_tenth_column_is_an_error_on_any_line(tmp_path):
    path = tmp_path / "a.gxf"
    path.write_text('1\tx\tgene\t1\t99\t.\t+\t.\tgene_id "G";\tmore\n')
    with pytest.raises(InputError, match=r"a\.gxf:1: columns: got 10, wanted 9"):
        read_gxf(path)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("caenorhabditis_elegans.1pct", ("mRNA", "exon", "CDS")),
        ("arabidopsis_thaliana.1pct", ("mRNA", "exon", "CDS")),
        ("drosophila_melanogaster.1pct", ("mRNA", "exon", "CDS")),
    ],
)
def test_real_gff3_counts(real_data, name, types):
    """Exons and bases of CDS of every mRNA are those of its lines, none skipped."""
    path = real_data / "genomes" / f"{name}.gff3.gz"
    exons, coding, ids = Counter(), Counter(), set()
    with gzip.open(path, "rt") as file:
        for line in file:
            if line.startswith("#") or line.split("\t")[2] not in types:
                continue
            _, _, kind, start, end, *_, attributes = line.rstrip(";\n").split("\t")
            values = dict(pair.split("=", 1) for pair in attributes.split(";"))
            if kind == "mRNA":
                ids.add(values["ID"])
            for parent in values["Parent"].split(","):
                (exons if kind == "exon" else coding)[parent] += (
                    1 if kind == "exon" else int(end) - int(start) + 1 if kind == "CDS" else 0
                )
    annotation = read_annotation(path)
    assert annotation.tally.kept + annotation.tally.skipped.total() == annotation.tally.read
    found = {m.transcript_id: m for m in annotation.transcripts}
    assert ids <= set(found)
    assert {name: len(found[name].exons) for name in ids} == {name: exons[name] for name in ids}
    bases = {name: sum(end - start for start, end in found[name].cds) for name in ids}
    assert bases == {name: coding[name] for name in ids}
