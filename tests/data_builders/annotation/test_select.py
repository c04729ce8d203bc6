"""Transcripts that are chosen, and what is written of them read back."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.annotation.models import TranscriptModel
from data_builders.annotation.reader import read_annotation
from data_builders.annotation.select import read_ids, select_transcripts
from data_builders.annotation.writers import write_annotation
from data_builders.groups.build import Grouping, build
from data_builders.groups.parquet import read_groups
from data_builders.records import InputError
from data_builders.sources import GenomeSource


@st.composite
def models(draw):
    """Transcripts of any structure whose CDS is one run on the transcript."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        steps = draw(st.lists(st.integers(3, 40), min_size=2, max_size=8).filter(_even))
        edges = [draw(st.integers(0, 1000))]
        for step in steps:
            edges.append(edges[-1] + step)
        exons = tuple(zip(edges[1::2], edges[2::2], strict=True))
        bases = [base for start, end in exons for base in range(start, end)]
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(bases) - 1)] * 2)))
        cds = ()
        if draw(st.booleans()) and bases[first] < bases[last]:
            span = bases[first], bases[last] + 1
            pieces = [(max(a, span[0]), min(b, span[1])) for a, b in exons]
            cds = tuple((a, b) for a, b in pieces if a < b)
        found.append(
            TranscriptModel(
                transcript_id=f"t{number}",
                gene_id=draw(st.sampled_from(["g;1", "gene two", "g1"])),
                chromosome=draw(st.sampled_from(["1", "chr2"])),
                strand=draw(st.sampled_from("+-")),
                exons=exons,
                cds=cds,
                phase=draw(st.integers(0, 2)) if cds else 0,
                line=0,
                biotype=draw(st.sampled_from([None, "protein_coding"])),
            )
        )
    return found


def _even(steps):
    return len(steps) % 2 == 0


def _alike(model):
    return model._replace(line=0)


@settings(max_examples=60, deadline=None)
@given(models())
def test_what_is_written_is_read_back(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("written")
    symbols = {"g1": "ONE"}
    for name in ("a.gtf", "a.gtf.gz"):
        write_annotation(folder / name, found, symbols)
        again = read_annotation(folder / name, strict=True)
        assert list(map(_alike, again.transcripts)) == found
        assert dict(again.gene_symbols) == {
            gene: symbol for gene, symbol in symbols.items() if gene in {m.gene_id for m in found}
        }
    write_annotation(folder / "a.bed.gz", found)
    for model, again in zip(
        found, read_annotation(folder / "a.bed.gz", strict=True).transcripts, strict=True
    ):
        lost = {"gene_id": model.transcript_id, "phase": 0, "biotype": None, "line": again.line}
        assert again == model._replace(**lost)


def test_a_name_that_ends_a_value_is_refused(tmp_path):
    model = TranscriptModel('t"1', "g", "1", "+", ((0, 9),), (), 0, 1, None)
    with pytest.raises(InputError, match="transcript_id: got 't\"1', wanted a name without quotes"):
        write_annotation(tmp_path / "a.gtf", [model])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="a.txt: got the ending '.txt', wanted .gtf or .bed"):
        write_annotation(tmp_path / "a.txt", [model])


@pytest.fixture(scope="module")
def annotation(clade):
    return clade.annotations[0]


def test_the_longest_are_those_of_a_build(clade, annotation, tmp_path):
    source = GenomeSource(clade.genomes[0], annotation, clade.species[0])
    build([source], tmp_path / "groups", Grouping(select="longest"))
    groups = read_groups(tmp_path / "groups")
    built = {transcript.transcript_id for group in groups for transcript in group.transcripts}
    found = select_transcripts(annotation, tmp_path / "longest.gtf", rule="longest")
    assert {model.transcript_id for model in found.transcripts} == built
    assert found.genes == len(built) == found.reasons["longest CDS"] < found.read
    again = read_annotation(tmp_path / "longest.gtf").transcripts
    assert list(map(_alike, again)) == list(map(_alike, found.transcripts))


def test_tags_choose_of_a_gene(tmp_path):
    path, rows = tmp_path / "a.gtf", []
    tagged = (("a", 90, ""), ("b", 60, "MANE_Select"), ("c", 50, "appris_principal_1"))
    for name, end, tag in tagged:
        tags = f' tag "{tag}";' if tag else ""
        row = f'1\tx\texon\t1\t{end}\t.\t+\t.\tgene_id "g"; transcript_id "{name}";{tags}'
        rows += [row, row.replace("\texon\t", "\ttranscript\t")]
    path.write_text("\n".join(rows) + "\n")

    def chosen(rule, **more):
        found = select_transcripts(path, tmp_path / "out.bed", rule=rule, **more)
        return [model.transcript_id for model in found.transcripts]

    assert [chosen(rule) for rule in ("mane", "appris", "longest")] == [["b"], ["c"], ["a"]]
    assert chosen("longest", ids=["b", "c"]) == ["b"]
    with pytest.raises(InputError, match="select mane: got no transcript with such a tag"):
        chosen("mane", ids=["a"])
    with pytest.raises(InputError, match="select: got 'best', wanted one of mane, appris, longest"):
        chosen("best")


def test_ids_with_and_without_versions(tmp_path):
    path = tmp_path / "a.gtf"
    names = ["ENST00000000001.5", "ENST00000000002.1"]
    row = '1\tx\texon\t1\t9\t.\t+\t.\tgene_id "g"; transcript_id "{}";\n'
    path.write_text("".join(map(row.format, names)))

    def found(*ids, **more):
        return select_transcripts(path, tmp_path / "out.gtf", ids=ids, **more)

    one = found("ENST00000000001", "nobody")
    assert [model.transcript_id for model in one.transcripts] == names[:1]
    assert (one.unknown, one.unversioned, one.read) == (("nobody",), 1, 2)
    assert "  not in the annotation 1: such as nobody" in one.lines()
    assert found(*names).unversioned == 0
    with pytest.raises(InputError, match="got no transcript of the ids nobody, wanted such"):
        found("nobody")
    with pytest.raises(InputError, match="got no transcript 'nobody', wanted all of the ids"):
        found(names[0], "nobody", strict=True)


def test_ids_of_a_list_and_of_tables(tmp_path):
    listed, table, parquet = (tmp_path / name for name in ("a.txt", "a.tsv", "a.parquet"))
    listed.write_text("# mine\nb\n\na\n")
    table.write_text("transcript_id\tneighbour\nb\tc\na\td\n")
    pl.DataFrame({"transcript_id": ["b", "a"]}).write_parquet(parquet)
    assert [read_ids(path) for path in (listed, table, parquet)] == [["b", "a"]] * 3
    assert read_ids(table, "neighbour") == ["c", "d"]
    with pytest.raises(InputError, match="wanted a column 'x'"):
        read_ids(table, "x")
    listed.write_text("a b\n")
    with pytest.raises(InputError, match="a.txt:1: got 'a b', wanted one id a line"):
        read_ids(listed)
    listed.write_text("#\n")
    with pytest.raises(InputError, match="got no id of a transcript"):
        read_ids(listed)
