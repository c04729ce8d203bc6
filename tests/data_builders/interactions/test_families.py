"""Families and clans as Infernal, HMMER, pfam_scan and people write them."""

import pytest

from data_builders.interactions.families import read_clans, read_families
from data_builders.records import InputError

CMSCAN = (
    "#target name         accession query name           accession mdl mdl from   mdl to "
    "seq from   seq to strand trunc pass   gc  bias  score   E-value inc description of target\n"
    "tRNA  RF00005 r1 - cm 1 71 1 72 + no 1 0.5 0.0 60.1 1e-10 ! tRNA\n"
    "5S_rRNA  RF00001 r1 - cm 1 119 1 120 + no 1 0.5 0.0 90.1 1e-20 ! 5S\n"
    "tRNA  RF00005 r2 - cm 1 71 1 72 + no 1 0.5 0.0 60.1 1e-10 ! tRNA\n"
)
CMSEARCH = (
    CMSCAN.splitlines(keepends=True)[0]
    + "r1 - 5S_rRNA RF00001 cm 1 119 1 120 + no 1 0.5 0.0 90.1 1e-20 ! -\n"
    + "r2 - tRNA RF00005 cm 1 71 1 72 + no 1 0.5 0.0 60.1 1e-10 ! -\n"
)
FORMAT_2 = (
    "#idx target name          accession query name           accession clan name mdl mdl from   "
    "mdl to seq from   seq to strand trunc pass   gc  bias  score   E-value inc olp\n"
    "1 5S_rRNA RF00001 r1 - - cm 1 119 1 120 + no 1 0.5 0.0 90.1 1e-20 ! * -\n"
    "1 tRNA RF00005 r2 - CL00001 cm 1 71 1 72 + no 1 0.5 0.0 60.1 1e-10 ! * -\n"
)
HMMSCAN = (
    "#                                                               --- full sequence ----\n"
    "# target name        accession  query name           accession    E-value  score  bias\n"
    "RRM_1 PF00076.25 p1 - 1e-30 99.0 0.1 1e-30 98 0.1 1.1 1 0 0 1 1 1 1 RRM\n"
    "KH_1 PF00013.32 p1 - 1e-3 20.0 0.1 1e-3 20 0.1 1.1 1 0 0 1 1 1 1 KH\n"
    "zf_new PF99999.1 p2 - 1e-9 40.0 0.1 1e-9 40 0.1 1.1 1 0 0 1 1 1 1 new\n"
)
DOMTBL = (
    "# target name        accession   tlen query name           accession   qlen   E-value  score\n"
    "RRM_1 PF00076.25 70 p1 - 300 1e-30 99.0 0.1 1 1 1e-30 1e-28 98 0.1 1 70 5 75 5 75 0.9 RRM\n"
    "zf_new PF99999.1 70 p2 - 300 1e-9 40.0 0.1 1 1 1e-9 1e-8 40 0.1 1 70 5 75 5 75 0.9 new\n"
)
PFAM_SCAN = (
    "# pfam_scan.pl\n# <seq id> <alignment start> <alignment end> <envelope start> ...\n"
    "p1 5 75 5 75 PF00076.25 RRM_1 Domain 1 70 70 98.0 1e-30 1 CL0221\n"
    "p2 5 75 5 75 PF99999.1 zf_new Domain 1 70 70 40.0 1e-9 1 No_clan\n"
)
CLANS = "PF00076\tCL0221\tRRM\tRRM_1\tx\nPF99999\t\t\tzf_new\tx\n"


@pytest.mark.parametrize("content", [CMSCAN, CMSEARCH, FORMAT_2], ids=["cmscan", "cmsearch", "2"])
def test_rfam(tmp_path, content):
    (tmp_path / "hits").write_text(content)
    assert read_families(tmp_path / "hits") == {"r1": "RF00001", "r2": "RF00005"}


@pytest.mark.parametrize("content", [HMMSCAN, DOMTBL, PFAM_SCAN], ids=["tbl", "domtbl", "pfam"])
def test_clans(tmp_path, content):
    (tmp_path / "hits").write_text(content)
    (tmp_path / "clans").write_text(CLANS)
    found = read_families(tmp_path / "hits", tmp_path / "clans")
    assert found == {"p1": "CL0221", "p2": "PF99999"}


def test_plain_table(tmp_path):
    (tmp_path / "hits").write_text("protein_id,clan\np1,CL1\np2,CL2\np1,CL1\n")
    assert read_families(tmp_path / "hits") == {"p1": "CL1", "p2": "CL2"}


def test_real_clans(real_data):
    found = read_clans(real_data / "pfam" / "pfam_clans.parquet")
    assert found["PF00001"] == "CL0192"
    assert len(set(found.values())) == 655


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CMSCAN.splitlines(keepends=True)[0], "got no hit, wanted some of Infernal's tblout"),
        (CMSCAN + "tRNA RF00005 r3\n", ":5: got 3 fields, wanted 17 or more"),
        (CMSCAN.replace("1e-20", "x"), ":3: E-value: got 'x', wanted a number"),
        ("id,family\na,1\na,2\n", "row 2: 'a': got a second family"),
        ("x,y\n1,2\n", "columns: got x, y, wanted id and family"),
    ],
)
def test_refuses(tmp_path, content, message):
    path = tmp_path / "hits"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_families(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
