import gzip
import random
import re
from collections import Counter

import numpy as np
import pytest

from data_builders import text
from data_builders.annotation import drafts, features
from data_builders.annotation.models import coding_pieces, pieces_of_consecutive_exons
from data_builders.annotation.reader import read_annotation
from data_builders.annotation.runs import Runs
from data_builders.records import InputError


def gtf(feature, start, end, *, strand="+", phase=".", transcript="t1", gene="g1", chromosome="1"):
    return (
        f"{chromosome}\tx\t{feature}\t{start}\t{end}\t.\t{strand}\t{phase}\t"
        f'gene_id "{gene}"; transcript_id "{transcript}"'
    )


def gff(feature, start, end, attributes, *, strand="+", phase=".", chromosome="1"):
    return f"{chromosome}\tx\t{feature}\t{start}\t{end}\t.\t{strand}\t{phase}\t{attributes}"


def read(tmp_path, *lines):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines) + "\n")
    return read_annotation(path)


GENE = gff("gene", 1, 100, "ID=g1;Name=abc")
MRNA = gff("mRNA", 1, 100, "ID=t1;Parent=g1")


def test_gtf_and_gff3_of_a_gene_are_the_same_model(tmp_path):
    parts = [
        ("exon", 11, 20, "."),
        ("exon", 31, 40, "."),
        ("CDS", 15, 20, "0"),
        ("CDS", 31, 36, "0"),
    ]
    from_gtf = read(
        tmp_path,
        "#!genome-build x",
        gtf("transcript", 11, 40),
        *(gtf(f, s, e, phase=p) for f, s, e, p in parts[:3]),
        gtf("CDS", 31, 33, phase="0"),
        gtf("exon", 31, 40) + "; last",
        gtf("stop_codon", 34, 36, phase="0"),
    )
    from_gff3 = read(
        tmp_path,
        "##gff-version 3",
        *(gff(f, s, e, "Parent=t1", phase=p) for f, s, e, p in parts),
        MRNA,
        GENE,
        "##FASTA",
        ">1",
        "ACGT",
    )
    for annotation, line, biotype in ((from_gtf, 2, None), (from_gff3, 2, "mRNA")):
        (model,) = annotation.transcripts
        assert (model.transcript_id, model.gene_id, model.chromosome) == ("t1", "g1", "1")
        assert (model.exons, model.cds) == (((10, 20), (30, 40)), ((14, 20), (30, 36)))
        assert (model.strand, model.phase, model.line) == ("+", 0, line)
        assert model.biotype == biotype
        assert (annotation.tally.read, annotation.tally.skipped) == (1, {})
    assert from_gff3.gene_symbols == {"g1": "abc"}
    assert from_gff3.features == {"exon": 2, "CDS": 2, "mRNA": 1, "gene": 1}


@pytest.mark.parametrize(
    ("strand", "cds", "stops", "expected"),
    [
        ("+", [(15, 20), (31, 33)], [(34, 36)], ((14, 20), (30, 36))),  # beside the CDS
        ("+", [(15, 18)], [(19, 20), (31, 31)], ((14, 20), (30, 31))),  # split by the intron
        ("+", [(15, 20)], [(31, 33)], ((14, 20), (30, 33))),  # after the intron
        ("+", [(12, 17)], [(15, 17)], ((11, 17),)),  # in the CDS already
        ("+", [(12, 17)], [(17, 19)], ((11, 19),)),  # partly in it
        ("-", [(34, 40)], [(31, 33)], ((30, 40),)),
        ("-", [(32, 40)], [(31, 31), (19, 20)], ((18, 20), (30, 40))),
    ],
)
def test_stop_codon_joins_the_cds(tmp_path, strand, cds, stops, expected):
    lines = [gtf("exon", 11, 20, strand=strand), gtf("exon", 31, 40, strand=strand)]
    lines += [gtf("CDS", *piece, strand=strand, phase="0") for piece in cds]
    lines += [gtf("stop_codon", *piece, strand=strand) for piece in stops]
    assert read(tmp_path, *lines).transcripts[0].cds == expected


def test_phase_is_that_of_the_piece_nearest_the_5_prime_end(tmp_path):
    def model(strand):
        exons = [gtf("exon", 11, 20, strand=strand), gtf("exon", 31, 40, strand=strand)]
        pieces = [gtf("CDS", 11, 20, strand=strand, phase="1")]
        pieces += [gtf("CDS", 31, 40, strand=strand, phase="2")]
        return read(tmp_path, *exons, *pieces).transcripts[0]

    assert (model("+").phase, model("-").phase) == (1, 2)


def test_cds_without_a_phase_is_in_frame_and_counted(tmp_path):
    annotation = read(tmp_path, gtf("exon", 1, 9), gtf("CDS", 1, 9))
    assert annotation.transcripts[0].phase == 0
    assert annotation.tally.adjusted == {"CDS without a phase read as in frame": 1}


def test_attributes_without_quotes_or_a_last_semicolon(tmp_path):
    lines = ["1\tx\texon\t1\t9\t.\t+\t.\tgene_id g1; transcript_id t1\r"]
    (model,) = read(tmp_path, *lines).transcripts
    assert (model.gene_id, model.transcript_id) == ("g1", "t1")


def test_part_of_several_transcripts_and_a_protein(tmp_path):
    annotation = read(
        tmp_path,
        GENE,
        MRNA,
        gff("mRNA", 1, 9, "ID=t2;Parent=g1"),
        gff("protein", 1, 9, "ID=t1-Protein;Derives_from=t1"),
        gff("exon", 1, 9, "Parent=t1,t2"),
        gff("CDS", 1, 9, "Parent=t1,t1-Protein;", phase="0"),
        gff("CDS", 1, 9, "Parent=t1", phase="0"),
    )
    models = {model.transcript_id: model for model in annotation.transcripts}
    assert {name: model.cds for name, model in models.items()} == {"t1": ((0, 9),), "t2": ()}
    assert annotation.tally.read == 2


def test_any_feature_that_has_exons_is_a_transcript(tmp_path):
    annotation = read(
        tmp_path,
        gff("pseudogene", 1, 9, "ID=p%2C1"),
        gff("pseudogenic_transcript", 1, 9, "ID=pt;Parent=p%2C1"),
        gff("pseudogenic_exon", 1, 9, "Parent=pt"),
        gff("gene", 11, 19, "ID=m"),
        gff("pre_miRNA", 11, 19, "ID=pre;Parent=m"),
        gff("miRNA", 12, 15, "ID=mi;Parent=pre"),
        gff("exon", 11, 19, "Parent=pre"),
        gff("exon", 12, 15, "Parent=mi"),
        gff("transcript", 21, 29, "ID=alone;geneID=G"),
        gff("exon", 21, 29, "Parent=alone"),
        gff("mRNA", 31, 39, "ID=far;Parent=gene_elsewhere"),
        gff("exon", 31, 39, "Parent=far"),
        gff("gene", 41, 49, "ID=own"),
        gff("exon", 41, 49, "Parent=own"),
    )
    found = [(m.transcript_id, m.gene_id, m.biotype) for m in annotation.transcripts]
    assert found == [
        ("pt", "p,1", "pseudogenic_transcript"),
        ("pre", "m", "pre_miRNA"),
        ("mi", "m", "miRNA"),
        ("alone", "G", "transcript"),
        ("far", "gene_elsewhere", "mRNA"),
        ("own", "own", "gene"),
    ]


EXON = gff("exon", 1, 30, "Parent=t1")
TWO_EXONS = [gff("exon", 1, 10, "Parent=t1"), gff("exon", 21, 30, "Parent=t1")]
APART = "CDS not one run on the transcript"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([GENE, MRNA], "no exons"),
        ([GENE, EXON], "transcript feature absent"),
        ([GENE, MRNA, MRNA, EXON], "transcript defined twice"),
        ([GENE, MRNA, EXON, EXON.replace("1\tx", "2\tx")], "exons on two chromosomes"),
        ([GENE, MRNA, EXON, EXON.replace("+", "-")], "exons on two strands"),
        ([GENE, MRNA, EXON.replace("+", ".")], "strand unknown"),
        ([GENE, MRNA, EXON, gff("exon", 30, 40, "Parent=t1")], "exons overlap"),
        ([GENE, MRNA, EXON, gff("CDS", 28, 31, "Parent=t1", phase="0")], "CDS leaves the exons"),
        (
            [GENE, MRNA, *TWO_EXONS, gff("CDS", 9, 22, "Parent=t1", phase="0")],
            "CDS leaves the exons",
        ),
        (
            [GENE, MRNA, EXON]
            + [gff("CDS", s, e, "Parent=t1", phase="0") for s, e in ((1, 9), (9, 12))],
            APART,
        ),
        (
            [GENE, MRNA, EXON]
            + [gff("CDS", s, e, "Parent=t1", phase="0") for s, e in ((1, 9), (11, 12))],
            APART,
        ),
        (
            [GENE, MRNA, *TWO_EXONS]
            + [gff("CDS", s, e, "Parent=t1", phase="0") for s, e in ((1, 9), (21, 24))],
            APART,
        ),
    ],
)
def test_odd_transcripts_are_skipped_and_counted(tmp_path, lines, reason):
    whole = [gff("mRNA", 1, 9, "ID=ok;Parent=g1"), gff("exon", 1, 9, "Parent=ok")]
    annotation = read(tmp_path, *lines, *whole)
    assert annotation.tally.skipped == {reason: 1}
    assert [model.transcript_id for model in annotation.transcripts] == ["ok"]
    assert annotation.tally.read == 2


PARTS = ["transcript", "exon", "exon", "exon", "CDS", "CDS", "stop_codon", "UTR", "gene", "mRNA"]


def random_gtf(rng):
    """Mostly transcripts of exons and CDS; sometimes each thing that a run of lines may not be."""
    lines = []
    for number in range(rng.randrange(1, 12)):
        place = {"strand": rng.choice("+-"), "chromosome": rng.choice(("1", "1", "chr2"))}
        named = {"transcript": f"t{number}", "gene": f"g{number // 3}"}
        tail = rng.choice(
            ("", "; gene_name abc", '; transcript_type "x y"', '; gene_name "a;b"', ";")
        )
        lines.append(gtf("transcript", 1, 99, **place, **named) + tail)
        is_coding = rng.random() < 0.6
        for start in range(1, rng.randrange(2, 60), 10):
            lines.append(gtf("exon", start, start + 6, **place, **named) + tail)
            if is_coding:
                lines.append(gtf("CDS", start, start + 6, phase="0", **place, **named) + tail)
        odd = rng.choice(
            ("kind", "strand", "gene", "again", "trans", "move", "order", "bare", "quoted")
            + ("none",) * 5
        )
        at = rng.randrange(len(lines))
        if odd == "kind":
            lines.append(gtf(rng.choice(PARTS), 55, 57, phase=rng.choice("01"), **place, **named))
        elif odd == "strand":
            lines.append(gtf("exon", 61, 66, strand=rng.choice("+-."), **named))
        elif odd == "gene":
            lines.append(gtf("exon", 61, 66, **place, transcript=f"t{number}", gene="other"))
        elif odd == "again":
            lines.append(lines[at].replace("\t0\t", f"\t{rng.choice('01')}\t"))
        elif odd == "trans" and "gene_id" in lines[at]:
            lines[at] += rng.choice(('; exception "trans-splicing"', '; note "trans-splicing"'))
        elif odd == "bare":
            bare = rng.choice((f"t{number}", f"t{number};", ".", ""))
            lines.append(gtf("transcript", 1, 99, **place).partition("gene_id")[0] + bare)
        elif odd == "quoted":
            note = 'note "a; gene_id b; transcript_id c"; '
            lines = [line.replace("gene_id", note + "gene_id") for line in lines]
        elif odd == "move":
            lines.append(lines.pop(at))
        elif odd == "order":
            gene, name = f'gene_id "{named["gene"]}"', f'transcript_id "{named["transcript"]}"'
            lines = [line.replace(f"{gene}; {name}", f"{name}; {gene}") for line in lines]
    return lines


@pytest.mark.parametrize("block_bytes", [1, 200, 1_000, 1 << 20])
def test_lines_at_once_are_read_as_one_by_one(tmp_path, monkeypatch, block_bytes):
    skipped = Counter()
    for seed in range(90):
        lines = random_gtf(random.Random(seed))
        with monkeypatch.context() as patch:
            patch.setattr(features, "_regular_columns", lambda *_: None)
            expected = read(tmp_path, *lines)
        with monkeypatch.context() as patch:
            patch.setattr(text, "_BLOCK_BYTES", block_bytes)
            assert read(tmp_path, *lines) == expected, seed
        skipped += expected.tally.skipped
    assert len(skipped) >= 8


def test_trans_splicing_may_be_said_after_the_parts(tmp_path):
    lines = [gtf("exon", 1, 9), gtf("exon", 1, 9, transcript="t2"), gtf("transcript", 1, 9)]
    annotation = read(tmp_path, *lines[:2], lines[2] + '; exception "trans-splicing"')
    assert annotation.tally.skipped == {"trans-splicing": 1}
    annotation = read(tmp_path, *lines[:2], lines[2] + '; note "no trans-splicing"')
    assert annotation.tally.skipped == {}


def test_parts_of_regular_lines_are_taken_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(drafts, "_add", pytest.fail)
    monkeypatch.setattr(drafts, "coding_pieces", pytest.fail)
    lines = [gtf("exon", 11, 20), gtf("CDS", 15, 20, phase="0"), gtf("exon", 31, 40)]
    lines += [gtf("CDS", 31, 33, phase="0"), gtf("stop_codon", 34, 36, phase="0")]
    (model,) = read(tmp_path, *lines).transcripts
    assert model.cds == ((14, 20), (30, 36))


def random_transcript(rng, number):
    """Exons and CDS in either order; sometimes an edge that is off, a piece too few or too many."""
    place = {"strand": rng.choice("++--."), "transcript": f"t{number}", "gene": f"g{number}"}
    bounds = sorted(rng.sample(range(10, 90), 2 * rng.randrange(1, 5)))
    exons = list(zip(bounds[::2], bounds[1::2], strict=True))
    pieces = exons[rng.randrange(len(exons)) :][: rng.randrange(5)]
    stops = []
    if pieces and rng.random() < 0.5:
        start, end = pieces[-1]
        stops = [(end + 1, end + rng.randrange(1, 4))]
        if place["strand"] == "-":
            stops = [(pieces[0][0] - rng.randrange(1, 4), pieces[0][0] - 1)]
    parts = [("exon", exons), ("CDS", pieces), ("stop_codon", stops * rng.choice((1, 1, 1, 2)))]
    lines = []
    for kind, intervals in parts:
        if rng.random() < 0.2 and intervals:
            at = rng.randrange(len(intervals))
            start, end = intervals[at]
            start += rng.choice((0, 1, -1))
            intervals = [*intervals[:at], (start, max(start, end - 1)), *intervals[at + 1 :]]
        if rng.random() < 0.1:
            intervals = intervals + intervals[:1]
        for start, end in intervals[:: rng.choice((1, -1))]:
            lines.append(gtf(kind, start, end, phase=rng.choice("0000."), **place))
    return lines


def test_what_is_told_regular_at_once_is_what_a_look_at_each_gives(tmp_path, monkeypatch):
    rng = random.Random(0)
    lines = [line for number in range(2_000) for line in random_transcript(rng, number)]
    annotation = read(tmp_path, *lines)
    at_once = sum(len(structure) == 2 for *_, structure, _, _ in annotation.transcripts.fields)
    monkeypatch.setattr(Runs, "regular", lambda runs, strands: np.zeros(len(strands), bool))
    one_by_one = read(tmp_path, *lines)
    assert annotation == one_by_one
    assert 500 < at_once < annotation.tally.kept
    assert len(annotation.tally.skipped) >= 5 and len(annotation.tally.adjusted) == 1


def test_models_are_a_sequence_as_a_tuple_is(tmp_path):
    lines = [gtf("exon", 1, 9, transcript=f"t{number}") for number in range(4)]
    models = read(tmp_path, *lines, gtf("exon", 15, 17)).transcripts
    whole = tuple(models)
    assert [len(model.exons) for model in whole] == [1, 2, 1, 1] and len(models) == 4
    assert models == whole and whole == models and models != whole[1:]
    assert models[1:3] == whole[1:3] and models[-1] == whole[-1]
    with pytest.raises(IndexError):
        models[4]


@pytest.mark.parametrize("length", [1, 60, 70, 97, 300])
def test_names_of_any_length_are_told_apart_by_their_last_letter(tmp_path, length):
    name = "x" * length
    parts = [("a", 1), ("a", 21), ("b", 1), ("b", 31), ("a", 41), ("c", 1)]
    lines = [gtf("exon", start, start + 9, transcript=name + t, gene=name) for t, start in parts]
    found = {m.transcript_id[-1]: m.exons for m in read(tmp_path, *lines).transcripts}
    assert found == {
        "a": ((0, 10), (20, 30), (40, 50)),
        "b": ((0, 10), (30, 40)),
        "c": ((0, 10),),
    }


def test_a_second_id_of_a_line_is_found_at_every_place_and_other_names_are_none(tmp_path):
    more = {
        "other": '; ref_gene_id "x"; my_transcript_id "y"; note "no transcript_id z; gene_id q"',
        "same": '; gene_id "g1"',
        "gene": '; gene_id "h"',
        "transcript": '; transcript_id "h"',
    }
    lines = [
        gtf("exon", 1, 9, transcript=f"{kind}{'x' * length}") + text
        for kind, text in more.items()
        for length in range(4)
    ]
    annotation = read(tmp_path, *lines)
    assert annotation.tally.kept == 16
    assert list(annotation.tally.adjusted.values()) == [8]


def test_the_only_part_of_a_block_on_another_chromosome_than_the_rest(tmp_path):
    lines = [gtf("gene", 1, 9), gtf("exon", 1, 9, chromosome="2")]
    (model,) = read(tmp_path, *lines).transcripts
    assert model.chromosome == "2"


def test_pieces_of_consecutive_exons_are_the_pieces_of_the_general_rule():
    rng, found = random.Random(0), Counter()
    for _ in range(3_000):
        bounds = sorted(rng.sample(range(20), 2 * rng.randrange(1, 5)))
        exons = tuple(zip(bounds[::2], bounds[1::2], strict=True))
        pieces = list(exons[rng.randrange(len(exons)) :][: rng.randrange(1, 5)])
        for at in {0, len(pieces) - 1, rng.randrange(len(pieces))}:
            start, end = pieces[at]
            start += rng.choice((0, 0, 0, 1, -1))
            pieces[at] = start, max(start + 1, end + rng.choice((0, 0, 0, 1, -1)))
        fast = pieces_of_consecutive_exons(exons, pieces)
        found[fast is not None] += 1
        if fast is not None:
            assert fast == coding_pieces(exons, pieces)
    assert min(found[True], found[False]) > 500


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\tx\texon\t1\t9", r"a\.txt:2: columns: got 5, wanted 9"),
        (gtf("exon", "x", 9), r"a\.txt:2: coordinates: got x to 9, wanted integers"),
        (gtf("exon", 0, 9), r"a\.txt:2: coordinates: got 0 to 9"),
        (gtf("CDS", 9, 8, phase="0"), r"a\.txt:2: coordinates: got 9 to 8"),
        (gtf("exon", 1, 9, strand="x"), r"a\.txt:2: strand: got 'x', wanted '\+', '-'"),
        (gtf("CDS", 1, 9, phase="3"), r"a\.txt:2: phase: got '3', wanted '0', '1'"),
        (gtf("exon", 1, 9, transcript=""), r"a\.txt:2: transcript_id: got none"),
        (gtf("exon", 1, 9, transcript=" "), r"a\.txt:2: transcript_id: got none"),
        (gtf("exon", 1, 9, gene="", transcript="t2"), r"a\.txt:2: gene_id: got none"),
    ],
)
def test_malformed_line(tmp_path, line, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, gtf("exon", 1, 9), line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["# nothing"], r"a\.txt: got no transcript"),
        (["1\tx\texon\t1\t9\t.\t+\t.\tjust;words"], r"a\.txt:1: attributes: got 'just;words'"),
        ([gff("region", 1, 9, "."), gff("exon", 1, 9, ".")], r"a\.txt:2: attributes: got '\.'"),
        ([GENE, gff("exon", 1, 9, "ID=e1")], r"a\.txt:2: Parent: got none"),
        (
            [gff("mRNA", 1, 9, "ID=a;Parent=b"), gff("mRNA", 1, 9, "ID=b;Parent=a")]
            + [gff("exon", 1, 9, "Parent=a")],
            r"a\.txt:1: Parent: got a cycle through 'a'",
        ),
    ],
)
def test_malformed_file(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, *lines)


@pytest.mark.parametrize(
    ("name", "transcripts"),
    [("homo_sapiens", 2_150), ("mus_musculus", 9_030), ("bos_taurus", 1_822)],
)
def test_real_gtf_counts(real_data, name, transcripts):
    path = real_data / "genomes" / f"{name}.subset.gtf.gz"
    exons, coding = Counter(), Counter()
    with gzip.open(path, "rt") as file:
        for line in file:
            found = re.search('transcript_id "(.*?)"', line)
            _, _, feature, start, end, *_ = line.split("\t")
            if feature == "exon":
                exons[found[1]] += 1
            elif feature in ("CDS", "stop_codon"):
                coding[found[1]] += int(end) - int(start) + 1
    annotation = read_annotation(path)
    models = annotation.transcripts
    assert annotation.tally.read == len(models) == transcripts == len(exons)
    assert {m.transcript_id: len(m.exons) for m in models} == exons
    found = {m.transcript_id: sum(e - s for s, e in m.cds) for m in models if m.cds}
    assert found == {name: length for name, length in coding.items() if length}
