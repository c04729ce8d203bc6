"""Embeddings in other formats: the same names and the same numbers to the bit."""

import json

import numpy as np
import polars as pl
import pytest

from data_builders.records import InputError
from isoclr.cli import main
from isoclr.evaluation.embedding_files import FORMATS, format_of, read_embedded

FASTA = ">t1\nACGATGAAATAAGGACGT\n>=t2\nACGTACGTAGGGGGT\n>t3\nAAAACCCC\n"


@pytest.fixture(scope="module")
def files(model_folder, tmp_path_factory):
    """The same three transcripts in all formats."""
    folder = tmp_path_factory.mktemp("formats")
    (folder / "some.fa").write_text(FASTA)
    words = ["embed", "--model", str(model_folder), "--transcripts", str(folder / "some.fa")]
    for name in FORMATS:
        assert main([*words, "--output", str(folder / f"e.{name}")]) == 0
    return folder


def test_all_formats_have_the_same_names_and_numbers(files):
    table = pl.read_parquet(files / "e.parquet")
    wanted = np.array(table["embedding"].to_list(), np.float32)
    names = ["t1", "=t2", "t3"]
    assert table["transcript_id"].to_list() == names
    with np.load(files / "e.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["embedding"], wanted)
        assert found["embedding"].dtype == np.float32 and found["transcript_id"].tolist() == names
        assert found["species"].tolist() == ["unknown"] * 3
    tsv = pl.read_csv(files / "e.tsv", separator="\t", schema_overrides={"e0": pl.Float32})
    assert tsv["transcript_id"].to_list() == ["t1", "'=t2", "t3"]  # no formula of a spreadsheet
    numbers = tsv.select(pl.col(r"^e\d+$").cast(pl.Float32)).to_numpy()
    np.testing.assert_array_equal(numbers, wanted)
    anndata = pytest.importorskip("anndata")
    made = anndata.read_h5ad(files / "e.h5ad")
    np.testing.assert_array_equal(made.obsm["X_isoclr"], wanted)
    assert made.obs_names.tolist() == names and list(made.obs["gene_id"]) == names
    assert {path.name for path in files.iterdir()} == {"some.fa", *(f"e.{f}" for f in FORMATS)}


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_is_read(files, name):
    if name == "h5ad":
        pytest.importorskip("anndata")
    wanted, vectors = read_embedded(files / "e.parquet")
    table, found = read_embedded(files / f"e.{name}")
    np.testing.assert_array_equal(found, vectors)
    if name == "tsv":  # where a name that a spreadsheet would run is marked
        wanted = wanted.with_columns(pl.all().str.replace("^=", "'="))
    assert table.equals(wanted)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_no_embeddings_is_one_line(name, tmp_path):
    path = tmp_path / f"x.{name}"
    path.write_text("transcript_id\tgene_id\nt1\tg1\n")
    with pytest.raises(InputError, match=f"x.{name}: got ") as found:
        read_embedded(path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_one_line(files, tmp_path, name):
    if name == "h5ad":
        pytest.importorskip("anndata")
    whole = (files / f"e.{name}").read_bytes()
    for number, damaged in enumerate((whole[: len(whole) // 2], whole[:20] + bytes(9) * 20)):
        path = tmp_path / f"{number}.{name}"
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{number}.{name}: ") as found:
            read_embedded(path)
        assert "\n" not in str(found.value)


def test_a_file_that_is_there_stays(files, model_folder, capsys):
    words = ["embed", "--model", str(model_folder), "--transcripts", str(files / "some.fa")]
    before = (files / "e.npz").read_bytes()
    assert main([*words, "--output", str(files / "e.npz")]) == 2
    assert "e.npz: is there already" in capsys.readouterr().err
    assert (files / "e.npz").read_bytes() == before
    assert main([*words, "--output", str(files / "e.npz"), "--overwrite"]) == 0


def test_a_missing_cds_is_one_line_on_standard_error_and_json_is_alone_on_the_other(
    files, model_folder, tmp_path, capsys
):
    words = ["embed", "--model", str(model_folder), "--transcripts", str(files / "some.fa")]
    assert main([*words, "--output", str(tmp_path / "e.parquet"), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["transcripts"], found["with_cds"], found["format"]) == (3, 0, "parquet")
    assert len(err.splitlines()) == 1 and "no CDS in 3 of 3 transcripts" in err


def test_the_format_is_that_of_the_suffix_unless_it_is_named():
    assert format_of("x.h5ad") == "h5ad" and format_of("x.parquet") == "parquet"
    for name in ("x", "x.pq", "parquet"):
        with pytest.raises(InputError, match=f"{name}: got the ending .*wanted .parquet, .h5ad"):
            format_of(name)
        assert format_of(name, "npz") == "npz"
    assert format_of("x.h5ad", "npz") == "npz"
    with pytest.raises(InputError, match="format: got 'csv', wanted one of parquet, h5ad"):
        format_of("x", "csv")
    with pytest.raises(InputError, match="wanted parquet for a vector a position"):
        format_of("x.tsv", positions=True)
