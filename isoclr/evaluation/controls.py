"""What an embedding should beat: features without a model, and boosted trees on them."""

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from data_builders.records import Transcript
from isoclr.evaluation.features import codon_frequencies, kmer_frequencies, structure_features
from isoclr.evaluation.probe import Predictor

KMERS = ((1, 6), (3, 7))  # the second is mRNABench's
BOOSTING = "boosting"
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
