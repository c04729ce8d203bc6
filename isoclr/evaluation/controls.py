"""What an embedding should beat: features without a model, boosted trees on them, a network."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from data_builders.labels.label_set import LabelSet
from data_builders.records import Transcript
from isoclr.evaluation.features import codon_frequencies, kmer_frequencies, structure_features
from isoclr.evaluation.probe import Predictor, targets_of
from isoclr.evaluation.supervised import DEFAULTS, fit_and_predict, tokenize
from modeling_isoclr import IsoCLRTokenizer

KMERS = ((1, 6), (3, 7))  # the second is mRNABench's
BOOSTING = "boosting"
SALUKI = "Saluki-like network"
TOGETHER = "codons + structure + k-mers 1-4"

# Small steps and trees, for a few thousand rows; the validation rows say when to stop.
_BOOSTING = {
    "learning_rate": 0.05,
    "max_iter": 2000,
    "max_leaf_nodes": 15,
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "early_stopping": True,
    "n_iter_no_change": 50,
}


def control_features(
    transcripts: Sequence[Transcript], kmers: Sequence[tuple[int, int]] = KMERS
) -> dict[str, np.ndarray]:
    """The feature sets that need no model, by name.

    Args:
        transcripts: n of them.
        kmers: shortest and longest k-mers of the sets made of k-mers alone.

    Returns:
        Each float32 (n, width): k-mers, structure, codons, both, and both with short k-mers.
    """
    structure, codons = structure_features(transcripts), codon_frequencies(transcripts)
    both = np.hstack([codons, structure])
    words = {
        f"k-mers {low}-{high}": kmer_frequencies(transcripts, low, high) for low, high in kmers
    }
    return words | {
        "structure": structure,
        "codons": codons,
        "codons + structure": both,
        TOGETHER: np.hstack([both, kmer_frequencies(transcripts, 1, 4)]),
    }


def control_predictors(
    features: Mapping[str, np.ndarray], labels: LabelSet, saluki: Path | None
) -> dict[str, Predictor]:
    """The controls that predict without a linear probe, by name.

    Args:
        features: those of `control_features` among them, of n transcripts.
        labels: the transcripts and what is to be predicted of them.
        saluki: folder for `saluki_like`; None: without that network, which takes long.
    """
    targets, _ = targets_of(labels)
    predictors = {BOOSTING: boosting(features[TOGETHER], targets)}
    if saluki is not None:
        predictors[SALUKI] = saluki_like(labels, saluki)
    return predictors


def boosting(matrix: np.ndarray, targets: np.ndarray) -> Predictor:
    """Gradient boosted trees on fixed features, stopped by the validation rows.

    Args:
        matrix: (n, width).
        targets: float (n,), or bool (n,) or (n, classes): one model a class.
    """

    def predict(
        train: np.ndarray, validation: np.ndarray, test: np.ndarray, seed: int
    ) -> np.ndarray:
        def column(values: np.ndarray) -> np.ndarray:
            if (values[train] == values[train][0]).all():
                return values[train][:1].repeat(len(test)).astype(float)
            kind = HistGradientBoostingRegressor
            if values.dtype == bool:
                kind = HistGradientBoostingClassifier
            leaf = min(20, max(2, len(train) // 10))  # of few labels, or no tree ever splits
            model = kind(**_BOOSTING, min_samples_leaf=leaf, random_state=seed).fit(
                matrix[train], values[train], X_val=matrix[validation], y_val=values[validation]
            )
            if values.dtype == bool:
                return model.predict_proba(matrix[test])[:, 1]
            return model.predict(matrix[test])

        if targets.ndim == 1:
            return column(targets)
        return np.column_stack([column(values) for values in targets.T])

    return predict


def saluki_like(labels: LabelSet, folder: Path) -> Predictor:
    """A network after Saluki, trained by the default settings, as a predictor for `probe`.

    What each network predicts is kept in `folder`, in a file that is named by the digest of all
    that it comes from: a run that was stopped goes on there, and other runs never read it.

    Args:
        labels: transcripts and what is to be predicted of them.
        folder: to keep predictions in.

    Raises:
        InputError: on a transcript that the tokenizer refuses.
    """
    targets, _ = targets_of(labels)
    rows, _ = tokenize(IsoCLRTokenizer(), labels.transcripts)
    common = hashlib.sha256(repr(DEFAULTS.saluki_like).encode())
    labels.feed(common)

    def predict(train, validation, test, seed) -> np.ndarray:
        sides = [side.tolist() for side in (train, validation, test)]
        digest = common.copy()
        digest.update(repr((sides, seed)).encode())
        path = folder / f"{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            predicted = fit_and_predict(rows, targets, train, validation, test, seed)
            folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".partial")
            with beside.open("wb") as file:
                np.save(file, predicted)
            beside.replace(path)
        return np.load(path)

    return predict
