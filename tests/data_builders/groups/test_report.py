import json
import random
import re
from collections import Counter

import pyarrow as pa
import pytest

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups.report import Summary, draw_report, read_report
from data_builders.records import InputError


def table(rows, seed=0):
    rng = random.Random(seed)
    columns = {name: [] for name in GROUP_SCHEMA.names}
    for row in range(rows):
        n = rng.randrange(1, 30)
        coding = [rng.random() < 0.5 for _ in range(n)]
        columns["group_id"].append(f"G{row}")
        columns["transcript_id"].append([f"t{row}.{i}" for i in range(n)])
        columns["gene_id"].append([f"g{rng.randrange(3)}" for _ in range(n)])
        columns["species"].append([rng.choice(["human", "mouse"]) for _ in range(n)])
        columns["sequence"].append(["A" * rng.randrange(3, 60) for _ in range(n)])
        columns["cds_start"].append([0 if c else -1 for c in coding])
        columns["cds_end"].append([3 if c else -1 for c in coding])
        junctions = [rng.choice([None, [], [1], [1, 2]]) for _ in range(n)]
        columns["exon_junctions"].append(junctions)
    return pa.table(columns, schema=GROUP_SCHEMA)


def by_hand(rows):
    def flat(name):
        return [value for row in rows for value in row[name]]

    known = [junctions for junctions in flat("exon_junctions") if junctions is not None]
    sizes = Counter(len(row["sequence"]) for row in rows)
    return {
        "groups": len(rows),
        "transcripts": len(flat("sequence")),
        "genes": sum(len(set(zip(row["species"], row["gene_id"], strict=True))) for row in rows),
        "nucleotides": sum(map(len, flat("sequence"))),
        "species": dict(sorted(Counter(flat("species")).items())),
        "with_cds": sum(start >= 0 for start in flat("cds_start")),
        "with_exon_structure": len(known),
        "exon_junctions": sum(map(len, known)),
        "transcripts_per_group": {str(size): sizes[size] for size in sorted(sizes)},
    }


@pytest.mark.parametrize("rows_at_once", [1, 7, 50])
def test_counts_add_up_table_by_table(rows_at_once):
    whole, summary = table(50), Summary()
    for at in range(0, 50, rows_at_once):
        summary.add(whole.slice(at, rows_at_once))
    assert summary.as_dict() == by_hand(whole.to_pylist())
    lengths = Counter(len(s) for row in whole.to_pylist() for s in row["sequence"])
    assert summary.coding + summary.other == lengths
    assert summary.exons.keys() == {1, 2, 3}


def test_nothing():
    summary = Summary()
    summary.add(GROUP_SCHEMA.empty_table())
    assert summary == Summary()
    assert summary.as_dict() == by_hand([])


def test_the_figure_is_of_the_counts(tmp_path):
    def drawn(*tables):
        summary = Summary()
        for each in tables:
            summary.add(each)
        draw_report(summary, tmp_path / "report.png")
        return (tmp_path / "report.png").read_bytes()

    assert drawn().startswith(b"\x89PNG")
    whole = table(20)
    assert drawn(whole) == drawn(whole.slice(0, 8), whole.slice(8))
    assert drawn(whole) != drawn(whole.slice(0, 8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "report.json: no such file, wanted the report of isoclr build"),
        ("{", "report.json: not JSON, wanted the report"),
        ("[]", "report.json: no sources in it, wanted the report"),
        (json.dumps({"sources": [], "homology": None, "grouping": {}}), "no dataset in it"),
    ],
)
def test_a_bad_report_is_one_line(tmp_path, content, message):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_report(path)
    assert "\n" not in str(error.value)
