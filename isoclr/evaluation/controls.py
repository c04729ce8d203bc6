"""What an embedding should beat: features without a model, boosted trees on them, a network."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_builders.records import Transcript
from isoclr.evaluation.compare import Predictor
from isoclr.evaluation.features import (
    codon_frequencies,
    kmer_frequencies,
    site_features,
    structure_features,
)
from isoclr.evaluation.finetune import Saluki
from isoclr.evaluation.networks import tokenize
from isoclr.evaluation.predictors import Boosting
from modeling_isoclr import IsoCLRTokenizer

KMERS = ((1, 6), (3, 7))  # the second is mRNABench's
RANDOM = "random weights"
BOOSTING = "boosting"
SALUKI = "Saluki-like network"
TOGETHER = "codons + structure + k-mers 1-4"
WITH_SITES = "codons + structure + sites"


def control_features(
    transcripts: Sequence[Transcript], kmers: Sequence[tuple[int, int]] = KMERS
) -> dict[str, np.ndarray]:
    """Return the feature sets that need no model, by name, each float32 (n, width).

    They are k-mers, structure, codons, both, both with sites of decay, and both with short k-mers.
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
        WITH_SITES: np.hstack([both, site_features(transcripts)]),
        TOGETHER: np.hstack([both, kmer_frequencies(transcripts, 1, 4)]),
    }


def boosting_features(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what trees are boosted on: of `control_features` all but long k-mers."""
    sites = features[WITH_SITES][:, features["codons + structure"].shape[1] :]
    return np.hstack([features[TOGETHER], sites])


def control_predictors(
    features: Mapping[str, np.ndarray], transcripts: Sequence[Transcript], saluki: bool
) -> dict[str, Predictor]:
    """Return the controls that predict without a linear probe, by name.

    `features` are those of `control_features`. The network after Saluki takes long.
    """
    predictors: dict[str, Predictor] = {BOOSTING: Boosting(boosting_features(features))}
    if saluki:
        rows, _ = tokenize(IsoCLRTokenizer(), transcripts)
        predictors[SALUKI] = Saluki(rows)
    return predictors
