"""The embedder as a step of scikit-learn."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts
from isoclr.pretrained import load_model
from isoclr.sklearn import TranscriptEmbedder, as_transcripts

RECORD = {"sequence": "ACGATGGCCTAAGG", "cds": (3, 12), "exon_junctions": [7]}


def sequences(n):
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACGT"), size=40 + i)) for i in range(n)]


def test_parameters_are_got_set_and_cloned(model_folder):
    embedder = TranscriptEmbedder(model_folder, guess_cds=9)
    assert embedder.get_params() == {
        "model": model_folder,
        "guess_cds": 9,
        "tokens_per_batch": 1 << 16,
        "progress": False,
    }
    copy = clone(embedder.fit([]))
    assert copy.get_params() == embedder.get_params() and not hasattr(copy, "encoder_")
    assert copy.set_params(guess_cds=None).guess_cds is None


def test_embeddings_are_those_of_the_command(model_folder):
    wanted = [
        Transcript("row 0", "row 0", "unknown", "ACGATGGCCTAAGG", 3, 12, (7,)),
        Transcript("row 1", "row 1", "unknown", "acgu"),
        Transcript("c", "c", "fly", "ACGTTT", exon_junctions=()),
    ]
    given = [RECORD, "acgu", wanted[2]]
    assert as_transcripts(given) == wanted
    embedder = TranscriptEmbedder(model_folder)
    found = embedder.fit_transform(given)
    plain = embed_transcripts(*load_model(model_folder), wanted, progress=False)
    np.testing.assert_array_equal(found, plain)
    assert found.dtype == np.float32
    names = embedder.get_feature_names_out()
    assert names.shape == (found.shape[1],) and names[1] == "isoclr1"


def test_a_pipeline_is_fitted_scored_and_searched(model_folder):
    X = sequences(24)
    y = np.array([x.count("G") / len(x) for x in X])
    pipeline = make_pipeline(TranscriptEmbedder(model_folder), StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"ridge__alpha": [0.01, 1000.0]}, cv=2).fit(X, y)
    assert search.predict(X[:3]).shape == (3,)
    assert search.cv_results_["mean_test_score"].shape == (2,)
    embedder = pipeline.named_steps["transcriptembedder"]
    again = make_pipeline(embedder, StandardScaler(), Ridge()).fit(X, y)
    by_hand = StandardScaler().fit_transform(embedder.transform(X))
    np.testing.assert_allclose(again.predict(X), Ridge().fit(by_hand, y).predict(by_hand))


def test_a_guessed_cds_is_that_of_the_record(model_folder):
    guessed = TranscriptEmbedder(model_folder, guess_cds=9).fit([]).transform([RECORD["sequence"]])
    record = (
        TranscriptEmbedder(model_folder)
        .fit([])
        .transform([{"sequence": RECORD["sequence"], "cds": (3, 12)}])
    )
    np.testing.assert_array_equal(guessed, record)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("ACGT", "X: got one str, wanted a sequence of transcripts"),
        ([3], "X: row 0: got int, wanted a Transcript"),
        (["A", {"seq": "A"}], "X: row 1: got dict"),
        ([{**RECORD, "cdss": (3, 12)}], "X: row 0: got the key cdss, wanted cds, exon_junctions"),
        ([{**RECORD, "cds": (3, 99)}], "row 0"),
        (["ACGX"], "row 0"),
    ],
)
def test_what_is_no_transcript_is_named_by_its_row(model_folder, wrong, message):
    with pytest.raises(InputError, match=message):
        TranscriptEmbedder(model_folder).fit(wrong).transform(wrong)
