import polars as pl
import pytest

from data_builders.records import InputError, Transcript
from data_builders.tables import read_names, read_transcript_table
from data_builders.text import Tally

ROWS = {
    "transcript_id": ["a", "b", "c"],
    "gene_id": ["g", "g", "h"],
    "species": ["fly", "fly", "cow"],
    "sequence": ["ATGCCCTAAGG", "acguR", "ACGT"],
    "cds_start": [0, -1, None],
    "cds_end": [9, -1, None],
    "exon_junctions": [[4, 7], [], None],
}
EXPECTED = [
    Transcript("a", "g", "fly", "ATGCCCTAAGG", 0, 9, (4, 7)),
    Transcript("b", "g", "fly", "ACGTN", -1, -1, ()),
    Transcript("c", "h", "cow", "ACGT", -1, -1, None),
]


def parquet(tmp_path, **changes):
    path = tmp_path / "t.parquet"
    pl.DataFrame(ROWS | changes, strict=False).write_parquet(path)
    return path


def test_parquet(tmp_path):
    tally = Tally()
    assert list(read_transcript_table(parquet(tmp_path), tally=tally)) == EXPECTED
    assert (tally.read, tally.adjusted) == (3, {"ambiguous base read as N": 1})


@pytest.mark.parametrize("separator", ["\t", ","])
def test_text_with_junctions_as_a_list(tmp_path, separator):
    lists = ["[4, 7]", "[]", None]
    path = tmp_path / "t.txt"
    table = pl.DataFrame(ROWS | {"exon_junctions": lists})
    path.write_text(table.write_csv(separator=separator))
    assert list(read_transcript_table(path)) == EXPECTED


def test_species_stands_in_for_the_column_and_other_columns_are_optional(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("sequence\tgene_id\ttranscript_id\nACGT\tg\ta\n")
    assert list(read_transcript_table(path, "owl")) == [
        Transcript("a", "g", "owl", "ACGT", -1, -1, None)
    ]
    assert {t.species for t in read_transcript_table(parquet(tmp_path), "owl")} == {"owl"}


@pytest.mark.parametrize(
    ("sequence", "cds", "expected", "where"),
    [
        ("CATGTAAGG", (0, 7), (1, 7), "first"),  # 5' incomplete: its stop codon gives the frame
        ("GATGTATGG", (1, 9), (1, 7), "last"),
        ("CATGTATGG", (0, 7), (0, 6), "last"),
    ],
)
def test_partial_codon_is_cut(tmp_path, sequence, cds, expected, where):
    columns = {"sequence": [sequence] * 3, "cds_start": [cds[0]] * 3, "cds_end": [cds[1]] * 3}
    tally = Tally()
    path = parquet(tmp_path, **columns, exon_junctions=[[], [], []])
    found = list(read_transcript_table(path, tally=tally))
    assert {(t.cds_start, t.cds_end) for t in found} == {expected}
    assert tally.adjusted == {f"CDS cut to its {where} full codon": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gene_id": ["g", None, "h"]}, r"row 2 \(b\): text: got an empty field"),
        ({"sequence": ["", "A", "A"]}, r"row 1 \(a\): text: got an empty field"),
        (
            {"transcript_id": ["a", "a", "a"]},
            r"row 2 \(a\): transcript_id: got it again, wanted one row a transcript",
        ),
        ({"sequence": ["ATGCCCTAAGG", "AC-T", "A"]}, r"row 2 \(b\): sequence: got -, wanted"),
        ({"cds_end": [12, -1, -1]}, r"row 1 \(a\): CDS: got 0 to 12 of 11 nt, wanted a codon"),
        ({"cds_end": [2, -1, -1]}, r"row 1 \(a\): CDS: got 0 to 2 of 11 nt"),
        ({"cds_end": [-1, -1, -1]}, r"row 1 \(a\): CDS: got 0 to -1 of 11 nt"),
        ({"exon_junctions": [[7, 4], [], None]}, r"row 1 \(a\): exon_junctions: got 7, 4, wanted"),
        ({"exon_junctions": [[4, 4], [], None]}, r"row 1 \(a\): exon_junctions: got 4, 4"),
        ({"exon_junctions": [[0, 4], [], None]}, r"row 1 \(a\): exon_junctions: got 0, 4"),
        ({"exon_junctions": [[4, 11], [], None]}, r"row 1 \(a\): exon_junctions: got 4, 11"),
        ({"exon_junctions": [[4, None], [], None]}, r"row 1 \(a\): exon_junctions: got 4"),
    ],
)
def test_broken_row(tmp_path, changes, message):
    path = parquet(tmp_path, **changes)
    with pytest.raises(InputError, match=rf"t\.parquet: {message}") as error:
        list(read_transcript_table(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"transcript_id\tgene_id\nA\tB\n", r"columns: got transcript_id, gene_id, wanted seq"),
        (b"PAR1 and no more", r"t\.x: got '.*', wanted Parquet, TSV or CSV"),
        (b"", r"t\.x: got '.*', wanted Parquet, TSV or CSV"),
        (
            b"transcript_id,gene_id,species,sequence,cds_start\na,b,c,ACG,one\n",
            r"t\.x: row 1: cds_start: got 'one', wanted an integer",
        ),
    ],
)
def test_what_is_no_transcript_table(tmp_path, content, message):
    path = tmp_path / "t.x"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_transcript_table(path))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"no\.tsv: got 'No such file or directory'"):
        list(read_transcript_table(tmp_path / "no.tsv"))


def test_gene_symbols(tmp_path):
    assert read_names(parquet(tmp_path))[0] == {}
    symbols, transcripts = read_names(parquet(tmp_path, gene_symbol=["ABC", "", None]))
    assert symbols == {"g": "ABC"}
    assert transcripts == {"g": ["a", "b"], "h": ["c"]}


def test_real_table_row_by_row(real_data):
    path = real_data / "transcripts" / "transcripts.parquet"
    tally = Tally()
    found = {t.transcript_id: t for t in read_transcript_table(path, tally=tally)}
    columns = ["transcript_id", "sequence", "cds_start", "cds_end", "exon_junctions"]
    rows = pl.read_parquet(path, columns=columns).rows(named=True)
    assert len(found) == tally.read == len(rows) == 79_045
    partial = 0
    for row in rows:
        ours = found[row["transcript_id"]]
        junctions = row["exon_junctions"]
        assert ours.exon_junctions == (None if junctions is None else tuple(junctions))
        assert len(ours.sequence) == len(row["sequence"])
        if (row["cds_end"] - row["cds_start"]) % 3:
            partial += 1
            assert row["cds_start"] <= ours.cds_start < ours.cds_end <= row["cds_end"]
            assert (ours.cds_end - ours.cds_start) % 3 == 0
        else:
            assert (ours.cds_start, ours.cds_end) == (row["cds_start"], row["cds_end"])
    assert partial == 134
    assert sum(n for reason, n in tally.adjusted.items() if "codon" in reason) == 134
