from dataclasses import replace

import numpy as np
import pytest

from data_builders.records import InputError, Transcript
from isoclr.app.figures import draw_explanation, draw_tracks
from isoclr.app.transcripts import (
    attribute,
    load_engine,
    mutate_base,
    nearest,
    score_of,
    study,
    table_of,
    warnings_of,
)
from isoclr.evaluation.search import neighbours, search_vectors

SEQUENCE = "GGGAC" + "ATG" + "GCC" * 30 + "TAA" + "TTTATTTAT"
CODING = Transcript("t", "g", "homo_sapiens", SEQUENCE, 5, 101, (50,))
OTHERS = (
    Transcript("twin", "g", "homo_sapiens", SEQUENCE, 5, 101, (50,)),
    Transcript("bare", "h", "homo_sapiens", "ACGTTGCA" * 10),
)


@pytest.fixture(scope="module")
def found(engine):
    return study(engine, [CODING, *OTHERS])


def test_the_table_has_predictions_with_intervals(engine, found):
    columns, rows = table_of(engine, found, "toy")
    assert columns == ["transcript", "gene", "nt", "CDS", "exons", "number", "90% interval"]
    value = engine.heads["toy"].values(found.embeddings)[0, 0]
    shown = [f"{value:.3g}", f"{value - 2:.3g} to {value + 2:.3g}"]
    assert rows[0] == ["t", "g", len(SEQUENCE), "5-101", 2, *shown]
    assert rows[2][3:5] == ["none", "unknown"]
    assert warnings_of(engine, found, "toy") == ["bare: no CDS, all of training have one"]


def test_without_a_head_nothing_is_predicted(engine, found):
    bare = replace(engine, heads={})
    columns, rows = table_of(bare, found, None)
    assert columns[-1] == "exons" and len(rows[0]) == 5
    assert mutate_base(bare, found, 0, 0, "A", None).before is None
    with pytest.raises(InputError, match="without a head"):
        attribute(bare, CODING, None)


def test_the_twin_is_nearest(engine, found):
    assert nearest(found, 0)[0] == ["twin", "g", "1.0000"]
    assert [row[0] for row in nearest(found, 0)] == ["twin", "bare"]
    assert nearest(study(engine, [CODING]), 0) == []


def test_a_mutation_changes_prediction_and_embedding(engine, found):
    made = mutate_base(engine, found, 0, 9, "u", "toy")
    mutant = replace(CODING, sequence=SEQUENCE[:9] + "T" + SEQUENCE[10:])
    values = engine.heads["toy"].values(engine.embed([CODING, mutant]))[:, 0]
    assert (made.before, made.after) == tuple(values)
    assert made.distance > 0 and made.typical is not None
    assert (made.region, made.codon) == ("CDS", "GCC (A) to GTC (V)")
    said = "\n".join(made.lines("a number"))
    assert "position 9: C to T, CDS" in said and f"{made.after - made.before:+.3g}" in said
    assert mutate_base(engine, found, 0, 105, "A", "toy").region == "3'UTR"


@pytest.mark.parametrize(
    "position, base, message",
    [
        (-1, "A", "position: got -1, wanted 0 to"),
        (len(SEQUENCE), "A", "wanted 0 to"),
        (9, "C", "base at 9: got 'C', wanted one of A, G, T"),
        (9, "", "got ''"),
        (9, "AG", "got 'AG'"),
    ],
)
def test_other_mutations_are_refused(engine, found, position, base, message):
    with pytest.raises(InputError, match=message):
        mutate_base(engine, found, 0, position, base, "toy")


def test_an_attribution_mutates_where_gradients_are_largest(engine):
    made = attribute(engine, CODING, "toy")
    mutated = np.flatnonzero(np.isfinite(made.effects).all(axis=1))
    assert len(mutated) == 60 and mutated[-1] - mutated[0] == 59
    by_gradient = np.abs(made.contributions["by gradient"])
    sums = np.convolve(by_gradient, np.ones(60), "valid")
    assert mutated[0] == sums.argmax()
    head = engine.heads["toy"]
    assert made.value == pytest.approx(head.values(engine.embed([CODING]))[0, 0], rel=1e-5)
    assert score_of(engine, head).quality == {"pearson": 0.5}
    pixels = draw_explanation(made)
    assert pixels.dtype == np.uint8 and pixels.std() > 5


def test_the_picture_knows_where_its_bases_are():
    tracks = draw_tracks(CODING)
    assert tracks.pixels.ndim == 3 and tracks.pixels.std() > 5
    step = (tracks.right - tracks.left) / len(SEQUENCE)
    for position in (0, 50, len(SEQUENCE) - 1):
        assert tracks.position(tracks.left + (position + 0.5) * step) == position
    assert tracks.position(0) == 0
    assert tracks.position(1e6) == len(SEQUENCE) - 1
    # The dark CDS begins and ends where the coordinates say so.
    dark = np.flatnonzero((np.abs(tracks.pixels.astype(int) - [31, 78, 121]) < 30).all(2).any(0))
    assert abs(dark[0] - (tracks.left + 5 * step)) < 3
    assert abs(dark[-1] - (tracks.left + 101 * step)) < 3
    for other in (OTHERS[1], replace(CODING, exon_junctions=())):
        assert draw_tracks(other).length == len(other.sequence)


@pytest.mark.slow
def test_the_shipped_model_brings_heads_and_finds_neighbours_as_the_command_does():
    shipped = load_engine()
    assert "half-life-human" in shipped.heads
    found = study(shipped, [CODING, *OTHERS])
    table = neighbours(found.transcripts, search_vectors(found.transcripts, progress=False))
    wanted = table.filter(transcript_id="t").select("neighbour", "similarity").rows()
    shown = [(name, float(cosine)) for name, _, cosine in nearest(found, 0)]
    assert [name for name, _ in shown] == [name for name, _ in wanted]
    assert np.allclose([x for _, x in shown], [x for _, x in wanted], atol=1e-4)


def test_a_head_becomes_a_network_without_a_warning(engine, monkeypatch):
    said = []
    monkeypatch.setattr("transformers.configuration_utils.logger.warning", said.append)
    score = score_of(engine, engine.heads["toy"])
    assert score.name == "toy: number" and not said
