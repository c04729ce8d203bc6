"""How well scores of classes rank what is in them, as `isoclr probe` scores them."""

import datasets
import evaluate
import numpy as np

from data_builders.labels.base import MULTILABEL
from isoclr.evaluation.scores import score


class IsoCLRClassification(evaluate.Metric):
    """Areas under the ROC and the precision-recall curve, macro and micro, over classes."""

    def _info(self):
        number, present = datasets.Value("float64"), datasets.Value("bool")
        one = {"predictions": number, "references": present}
        many = {name: datasets.List(value) for name, value in one.items()}
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions, higher for likelier, and references, true or false: "
            "n each, or n lists of one a class",
            features=[datasets.Features(many), datasets.Features(one)],
        )

    def _compute(self, predictions, references):
        predicted, observed = np.array(predictions), np.array(references)
        rows = len(predicted)
        return score(MULTILABEL, predicted.reshape(rows, -1), observed.reshape(rows, -1))
