import gzip

import pytest

from data_builders.genomes.aliases import read_aliases
from data_builders.records import InputError

REPORT = """# Assembly name:  GRCh38.p14
# Organism name:  Homo sapiens
#
# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\tGenBank-Accn\t\
Relationship\tRefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name
1\tassembled-molecule\t1\tChromosome\tCM000663.2\t=\tNC_000001.11\tPrimary\t248956422\tchr1
HSCHR1_CTG1\tunlocalized-scaffold\t1\tChromosome\tKI270706.1\t=\tna\tPrimary\t175055\tna
chrom2\tassembled-molecule\t2\tChromosome\tna\t<>\tNC_2.1\tPrimary\t9\tchr2
"""


def read(tmp_path, content):
    path = tmp_path / "x.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_aliases(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # the database's table
        (
            "CM1.2\tchr1\tgenbank\n1\tchr1\tassembly,ensembl\nCM2.2\tchr2\tgenbank\n",
            {"CM1.2": "chr1", "chr1": "chr1", "1": "chr1", "CM2.2": "chr2", "chr2": "chr2"},
        ),
        # a row a chromosome; names may lack
        (
            "# ucsc\tassembly\tgenbank\tncbi\trefseq\n"
            "chr1\t1\tCM1.2\t1\tNC_1.11\nchrUn\t\t\tna\tNW_1\n",
            {
                "chr1": "chr1",
                "1": "chr1",
                "CM1.2": "chr1",
                "NC_1.11": "chr1",
                "chrUn": "chrUn",
                "NW_1": "chrUn",
            },
        ),
        (
            "# sequenceName\talias names\tUCSC database: x\nchr1\t1\tCM1.2\n",
            {"chr1": "chr1", "1": "chr1", "CM1.2": "chr1"},
        ),
        # two columns, Windows' line ends, blank lines, a name twice for the same chromosome
        ("I\tchrI\r\n\r\nI\tNC_1\r\nMT\t\r\n", {"I": "I", "chrI": "I", "NC_1": "I", "MT": "MT"}),
        (
            REPORT.replace("\n", "\r\n"),
            {
                "1": "1",
                "CM000663.2": "1",
                "NC_000001.11": "1",
                "chr1": "1",
                "HSCHR1_CTG1": "HSCHR1_CTG1",
                "KI270706.1": "HSCHR1_CTG1",
                "chrom2": "chrom2",
                "2": "chrom2",
                "NC_2.1": "chrom2",
                "chr2": "chrom2",
            },
        ),
    ],
)
def test_forms(tmp_path, content, expected):
    assert read(tmp_path, content) == expected
    assert read(tmp_path, gzip.compress(content.encode())) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"x\.txt: got no names"),
        ("# ucsc\trefseq\n", r"x\.txt: got no names"),
        ("na\t\n", r"x\.txt: got no names"),
        ("chr1 1\n", r"x\.txt:1: columns: got 1, wanted at least 2, tab-separated"),
        (REPORT + "3\tx\n", r"x\.txt:8: columns: got 2, wanted at least 10"),
        ("chr1\t1\nchr2\t1\n", r"x\.txt:2: name: got '1' for 'chr1' and for 'chr2'"),
        ("1\tchr1\tncbi\n1\tchr2\tncbi\n", r"x\.txt:2: name: got '1' for 'chr1' and for 'chr2'"),
        ("chr1\tchr2\nchr2\tchr1\n", r"x\.txt:2: name: got 'chr2' for 'chr1' and for 'chr2'"),
        ("1\tchr1\tour_lab\n2\tchr2\tour_lab\n", r"got 'our_lab' for '1' and for '2'"),
        (b"\xff\tchr1\n", r"x\.txt:1: got .* wanted UTF-8 text"),
        (gzip.compress(b"1\tchr1\n", mtime=0)[:-9], r"x\.txt:\d: got a truncated or damaged gzip"),
    ],
)
def test_malformed(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)
