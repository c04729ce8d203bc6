"""How well predicted numbers fit measured ones, as `isoclr probe` scores them."""

import datasets
import evaluate
import numpy as np

from data_builders.labels.base import REGRESSION
from isoclr.evaluation.scores import score


class IsoCLRRegression(evaluate.Metric):
    """Pearson and Spearman correlation, 0 for predictions that do not vary, and squared error."""

    def _info(self):
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions and references: n numbers each",
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions, references):
        return score(REGRESSION, np.array(predictions), np.array(references))
