import random

import pytest

from annotation_writers import bed12, genepred, gtf
from data_builders.annotation.assembly import splice_coordinates
from data_builders.annotation.models import TranscriptModel
from data_builders.annotation.reader import read_annotation
from data_builders.records import InputError

NO_PHASE = "CDS without a phase read as in frame"
NO_GENE = "transcript without a gene is a gene of its own"


def read(tmp_path, *lines, strict=False):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines) + "\n")
    return read_annotation(path, strict=strict)


def random_model(rng, name):
    edges = sorted(rng.sample(range(400), 2 * rng.randint(1, 6)))
    exons = tuple(zip(edges[::2], edges[1::2], strict=True))
    cds, phase = (), 0
    if rng.random() < 0.8:
        inside = [p for start, end in exons for p in range(start, end)]
        first, last = sorted(rng.choices(inside, k=2))
        cds = tuple((max(s, first), min(e, last + 1)) for s, e in exons if s <= last and e > first)
        phase = rng.randint(0, 2)
    return TranscriptModel(name, f"g{name}", "1", rng.choice("+-"), exons, cds, phase, 1, None)


def essence(model, gene=True, phase=True):
    return (
        model.transcript_id,
        model.gene_id if gene else model.transcript_id,
        model.chromosome,
        model.strand,
        model.exons,
        model.cds,
        model.phase if phase else 0,
    )


@pytest.mark.parametrize("has_bin", [False, True])
def test_genepredext_says_all_that_gtf_does(tmp_path, has_bin):
    rng = random.Random(4)
    models = [random_model(rng, f"t{i}") for i in range(300)]
    table = read(
        tmp_path,
        "#bin\tname\tchrom",
        *(genepred(m, extended=True, has_bin=has_bin) for m in models),
    )
    lines = [line for m in models for line in gtf(m, stop="in")]
    for annotation in (table, read(tmp_path, *lines)):
        assert [essence(m) for m in annotation.transcripts] == [essence(m) for m in models]
        assert (annotation.tally.read, annotation.tally.skipped) == (300, {})
    assert table.tally.adjusted == {}
    assert table.transcripts[7].line == 9
    assert table.features == {"transcript": 300}
    assert table.gene_symbols == {m.gene_id: m.gene_id for m in models}
    assert len({m.phase for m in models}) == 3


@pytest.mark.parametrize("written", [bed12, genepred])
@pytest.mark.parametrize("has_bin", [False, True])
def test_tables_without_genes_and_phases(tmp_path, written, has_bin):
    if has_bin and written is bed12:
        written, has_bin = lambda m: bed12(m).removesuffix(","), False
    rng = random.Random(6)
    models = [random_model(rng, f"t{i}") for i in range(200)]
    lines = [written(m, has_bin=True) if has_bin else written(m) for m in models]
    annotation = read(
        tmp_path, "browser position chr1", 'track name="x"', "", *(f"{x}\r" for x in lines)
    )
    assert [essence(m) for m in annotation.transcripts] == [
        essence(m, False, False) for m in models
    ]
    assert annotation.tally.adjusted == {NO_GENE: 200, NO_PHASE: sum(bool(m.cds) for m in models)}
    assert annotation.gene_symbols == {}


def test_stop_codon_apart_in_or_absent(tmp_path):
    """Ensembl's stop codon apart is the same CDS, split by an intron or on either strand."""
    rng = random.Random(8)
    models = [random_model(rng, f"t{i}") for i in range(200)]
    models = [m for m in models if sum(e - s for s, e in m.cds) > 3]
    apart = read(tmp_path, *(line for m in models for line in gtf(m)))
    absent = read(tmp_path, *(line for m in models for line in gtf(m, stop="absent")))
    assert [essence(m) for m in apart.transcripts] == [essence(m) for m in models]
    for ours, whole in zip(absent.transcripts, models, strict=True):
        assert sum(e - s for s, e in ours.cds) == sum(e - s for s, e in whole.cds) - 3
    assert len(models) > 100


# Exons 10-20, 30-40, 50-60, of which the CDS has 8, 10 and 6 bases.
EXT = "t1 1 + 10 60 12 56 3 10,30,50, 20,40,60, 0 g1 cmpl cmpl 0,2,0,"
BED = "1 10 60 t1 0 + 12 56 0 3 10,10,10, 0,20,40,"


def changed(line, **fields):
    columns = line.split(" ")
    for column, value in fields.items():
        columns[int(column[1:])] = value
    return "\t".join(columns)


@pytest.mark.parametrize(
    ("strand", "frames", "phase", "coordinates"),
    [
        ("+", "0,2,0", 0, (2, 26)),
        ("+", "2,1,2,", 1, (3, 24)),  # one base of a codon that began before
        ("+", "1,0,1,", 2, (4, 25)),
        ("-", "1,0,0", 0, (4, 28)),
        ("-", "2,1,1", 2, (6, 27)),
    ],
)
def test_frames_are_read_from_the_five_prime_end(tmp_path, strand, frames, phase, coordinates):
    (model,) = read(tmp_path, changed(EXT, _2=strand, _14=frames)).transcripts
    assert model.phase == phase
    assert splice_coordinates(model) == (*coordinates, (10, 20))


REFFLAT = "BRCA2 NM_1 1 + 10 60 12 56 3 10,30,50, 20,40,60,"
KNOWN_GENE = "ENST1.8 1 + 10 60 12 56 3 10,30,50, 20,40,60, P51587 uc001"
SGD_GENE = "585 YAL1 1 + 10 60 12 56 3 10,30,50, 20,40,60, NP_1"
BIG_GENEPRED = BED + " sym cmpl cmpl 0,2,0, none G1 g1sym coding"
EXONS, CDS = ((10, 20), (30, 40), (50, 60)), ((12, 20), (30, 40), (50, 56))


@pytest.mark.parametrize(
    ("line", "name", "gene", "symbol"),
    [
        (changed(REFFLAT), "NM_1", "BRCA2", "BRCA2"),
        (changed(REFFLAT, _0="100287102"), "NM_1", "100287102", "100287102"),  # no bin is as large
        (changed(REFFLAT, _0=""), "NM_1", "NM_1", None),
        (changed(REFFLAT, _0="585", _1="t1"), "t1", "t1", None),  # a genePred after its bin
        (changed(REFFLAT, _0="HLA;1 #2"), "NM_1", "HLA;1 #2", "HLA;1 #2"),
        (changed(KNOWN_GENE), "ENST1.8", "ENST1.8", None),
        (changed(KNOWN_GENE).removesuffix("\tuc001") + "\t", "ENST1.8", "ENST1.8", None),
        (changed(SGD_GENE), "YAL1", "YAL1", None),
        (changed(BIG_GENEPRED), "t1", "G1", "g1sym"),
        (changed(BIG_GENEPRED, _17="none"), "t1", "sym", "g1sym"),
        (changed(BIG_GENEPRED, _18="none"), "t1", "G1", "sym"),
        (changed(BIG_GENEPRED) + "\tx\ty\tz", "t1", "G1", "g1sym"),
        (changed(BIG_GENEPRED).rsplit("\t", 3)[0], "t1", "sym", "sym"),
        (changed(BED) + "\textra\tcolumns", "t1", "t1", None),
    ],
)
def test_layouts_are_told_by_their_columns(tmp_path, line, name, gene, symbol):
    for lines in ([line], ["#name\tchrom\tstrand", line], ["\ufeff" + line + "\r"]):
        annotation = read(tmp_path, *lines)
        (model,) = annotation.transcripts
        assert (model.transcript_id, model.gene_id) == (name, gene)
        assert (model.chromosome, model.strand) == ("1", "+")
        assert (model.exons, model.cds) == (EXONS, CDS)
        assert annotation.gene_symbols == ({gene: symbol} if symbol else {})
    has_frames = line.count("\t") > 14
    assert annotation.tally.adjusted[NO_PHASE] == (not has_frames)
    assert annotation.tally.adjusted[NO_GENE] == (gene == name)


def test_header_that_is_no_comment(tmp_path):
    names = "geneName name chrom strand txStart txEnd cdsStart cdsEnd exonCount exonStarts exonEnds"
    annotation = read(tmp_path, changed(names), changed(REFFLAT))
    assert [m.gene_id for m in annotation.transcripts] == ["BRCA2"]


def test_frames_of_a_biggenepred(tmp_path):
    line = changed(BIG_GENEPRED, _5="-", _15="1,0,0")
    (model,) = read(tmp_path, line).transcripts
    assert (model.strand, model.phase) == ("-", 0)
    annotation = read(tmp_path, line, changed(BIG_GENEPRED, _3="t2", _5="-"))
    assert annotation.tally.skipped == {"exonFrames are not those of the CDS": 1}


@pytest.mark.parametrize(("start", "end", "number"), [(0, 9, 585), (10**6, 10**6 + 9, 592)])
def test_a_number_is_a_bin_where_it_is_the_right_one(tmp_path, start, end, number):
    columns = ["t1", "1", "+", start, end, end, end, 1, start, end]
    line = "\t".join(map(str, [number, *columns]))
    (model,) = read(tmp_path, line).transcripts
    assert (model.transcript_id, model.gene_id) == ("t1", "t1")
    message = rf"a\.txt:1: first column: got '7', .* wanted the bin {number} of {start} to {end}"
    with pytest.raises(InputError, match=message):
        read(tmp_path, "\t".join(map(str, [7, *columns])))


def test_refflat_of_several_isoforms_is_one_gene(tmp_path):
    lines = [changed(REFFLAT), changed(REFFLAT, _1="NM_2"), changed(REFFLAT, _0="X", _1="NM_3")]
    annotation = read(tmp_path, *lines)
    assert [(m.transcript_id, m.gene_id) for m in annotation.transcripts] == [
        ("NM_1", "BRCA2"),
        ("NM_2", "BRCA2"),
        ("NM_3", "X"),
    ]


FRAMESHIFT = "exonFrames are not those of the CDS"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (changed(EXT, _2="-"), FRAMESHIFT),  # the frames are those of the other strand
        (changed(EXT, _14="0,2,1,"), FRAMESHIFT),
        (changed(EXT, _14="-1,2,0,"), FRAMESHIFT),
        (changed(EXT, _14="-1,-1,-1,"), FRAMESHIFT),
        (changed(EXT, _5="32", _14="0,0,2,"), FRAMESHIFT),  # an exon without CDS has a frame
        (changed(EXT, _2="."), "strand unknown"),
        (changed(BED, _5="."), "strand unknown"),
        (changed(EXT, _8="10,15,50,"), "exons overlap"),
        (changed(BED, _10="10,25,10"), "exons overlap"),
        (changed(EXT, _5="25", _14="-1,0,1,"), "CDS leaves the exons"),
        (changed(EXT, _6="45"), "CDS leaves the exons"),
        (changed(BED, _6="22", _7="28"), "CDS leaves the exons"),
    ],
)
def test_odd_transcript_is_skipped_and_counted(tmp_path, line, reason):
    other = changed(EXT if len(line.split("\t")) == 15 else BED)
    annotation = read(tmp_path, line, other.replace("t1", "t2"))
    assert [m.transcript_id for m in annotation.transcripts] == ["t2"]
    assert annotation.tally.skipped == {reason: 1}
    assert (annotation.tally.read, annotation.tally.kept) == (2, 1)
    with pytest.raises(InputError, match=rf"a\.txt:1: transcript 't1': {reason}"):
        read(tmp_path, line, strict=True)


def test_first_of_a_name_is_kept(tmp_path):
    odd = changed(EXT, _2=".")
    lines = [odd, changed(EXT), changed(EXT, _1="2"), changed(EXT, _0="t2")]
    annotation = read(tmp_path, *lines)
    assert [(m.transcript_id, m.line) for m in annotation.transcripts] == [("t1", 2), ("t2", 4)]
    assert annotation.tally.skipped == {"strand unknown": 1, "transcript defined twice": 1}
    with pytest.raises(InputError, match=r"a\.txt:2: transcript 't1': transcript defined twice"):
        read(tmp_path, *lines[1:], strict=True)


def test_non_coding_wherever_its_empty_cds_is(tmp_path):
    """UCSC's is at the end, other writers' at the start, or 0 to 0."""
    for at in ("10", "60", "0", "35"):
        line = changed(EXT, _5=at, _6=at, _12="none", _13="none", _14="-1,-1,-1,")
        (model,) = read(tmp_path, line).transcripts
        assert (model.cds, model.phase) == ((), 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            changed(EXT) + "\tx\tx",
            "columns: got 17, wanted 9 .GTF, GFF3., 10 .genePred., 11 .refFlat,",
        ),
        (changed(EXT) + "\tx", "bin: got 't1', wanted an integer"),
        (changed(EXT, _0=""), "name: got none"),
        (changed(EXT, _1=""), "chromosome: got none"),
        (changed(EXT, _2="*"), r"strand: got '\*', wanted one of "),
        (changed(EXT, _3="x"), "txStart: got 'x', wanted an integer"),
        (changed(EXT, _3="-1"), "txStart: got '-1', wanted an integer"),
        (changed(EXT, _4="6_0"), "txEnd: got '6_0'"),
        (changed(EXT, _4="6" * 5000), "txEnd: got '666"),
        (changed(EXT, _6="56.0"), "cdsEnd: got '56.0'"),
        (changed(EXT, _3="11"), "exons: got 10 to 60, wanted 11 to 60, the transcript"),
        (changed(EXT, _4="61"), "exons: got 10 to 60, wanted 10 to 61"),
        (changed(EXT, _5="9"), "CDS: got 9 to 56, wanted start <= end, from 10 to 60"),
        (changed(EXT, _6="61"), "CDS: got 12 to 61"),
        (changed(EXT, _5="56", _6="12"), "CDS: got 56 to 12"),
        (changed(EXT, _7="2"), "exonStarts: got 3, wanted 2, the count of exons"),
        (changed(EXT, _7="0", _8="", _9=""), "exonStarts: got 1, wanted 0"),
        (changed(EXT, _9="20,40,"), "exonEnds: got 2, wanted 3"),
        (changed(EXT, _9="20,,60,"), "exonEnds: got '', wanted an integer"),
        (changed(EXT, _8="10,30,50,,"), "exonStarts: got 4, wanted 3"),
        (changed(EXT, _8="10,40,50,"), "coordinates: got 40 to 40, wanted start < end"),
        (changed(EXT, _3="60", _4="10"), "coordinates: got 60 to 10"),
        (changed(EXT, _12="maybe"), "cdsStartStat: got 'maybe', wanted one of cmpl, incmpl"),
        (changed(EXT, _13=""), "cdsEndStat: got ''"),
        (changed(EXT, _14="0,2,"), "exonFrames: got 2, wanted 3"),
        (changed(EXT, _14="0,3,0,"), "exonFrames: got '3', wanted one of -1, 0, 1, 2"),
        (changed(BED, _3=""), "name: got none"),
        (changed(BED, _1="x"), "chromStart: got 'x'"),
        (changed(BED, _9="2"), "blockSizes: got 3, wanted 2"),
        (changed(BED, _11="0,20"), "blockStarts: got 2, wanted 3"),
        (changed(BED, _10="10,0,10"), "coordinates: got 30 to 30"),
        (changed(BED, _11="1,20,40"), "exons: got 11 to 60, wanted 10 to 60"),
        (changed(BED, _2="61"), "exons: got 10 to 60, wanted 10 to 61"),
        (changed(BED, _7="61"), "CDS: got 12 to 61"),
        (changed(BED, _5="x"), "strand: got 'x'"),
    ],
)
def test_malformed_line(tmp_path, line, message):
    with pytest.raises(InputError, match=r"a\.txt:2: " + message) as error:
        read(tmp_path, "# a table", line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", [0, 1, 11])
def test_text_that_is_not_utf8(tmp_path, field):
    columns = changed(EXT).encode().split(b"\t")
    columns[field] = b"\xff"
    path = tmp_path / "a.txt"
    path.write_bytes(b"\t".join(columns))
    with pytest.raises(InputError, match=r"a\.txt:1: got .* wanted UTF-8 text"):
        read_annotation(path)


@pytest.mark.parametrize("second", [changed(EXT) + "\tx", changed(BED), "t2"])
def test_lines_of_two_tables(tmp_path, second):
    with pytest.raises(InputError, match=r"a\.txt:2: columns: got \d+, wanted 15$"):
        read(tmp_path, changed(EXT), second)
