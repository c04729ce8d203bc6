"""Predictors of any task on fixed features that are not linear: boosted trees and neighbours."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from data_builders.labels.base import MULTICLASS, MULTILABEL, REGRESSION
from isoclr.evaluation.compare import Fold, Indexed, Prediction
from isoclr.evaluation.linear import standard_sides
from isoclr.evaluation.scores import METRICS, score

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


@dataclass(frozen=True)
class Boosting:
    """Gradient boosted trees, stopped by the validation rows; of a multilabel task a model a class.

    Args:
        features: (n, width), or anything that an array of row numbers indexes to such rows.
    """

    features: Indexed

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it."""
        if fold.task != MULTILABEL:
            return self._fit(fold, fold.train_targets, fold.validation_targets)
        columns = zip(fold.train_targets.T, fold.validation_targets.T, strict=True)
        found = [self._fit(fold, *column) for column in columns]
        return Prediction(test=np.column_stack([each.test for each in found]))

    def _fit(self, fold: Fold, train: np.ndarray, validation: np.ndarray) -> Prediction:
        if (train == train[0]).all():
            return Prediction(test=np.full(len(fold.test), float(train[0])))
        kind = HistGradientBoostingClassifier
        if fold.task == REGRESSION:
            kind = HistGradientBoostingRegressor
        leaf = min(20, max(2, len(train) // 10))  # of few labels, or no tree ever splits
        model = kind(**_BOOSTING, min_samples_leaf=leaf, random_state=fold.seed)
        rows, known = self.features[fold.validation], np.isin(validation, train)
        if fold.task != MULTICLASS:
            known[:] = True  # a class that train lacks cannot say when to stop
        model.fit(self.features[fold.train], train, X_val=rows[known], y_val=validation[known])
        return Prediction(
            test=_predict(model, self.features[fold.test], fold),
            validation=_predict(model, rows, fold),
        )


@dataclass(frozen=True)
class Neighbours:
    """The mean label of the nearest train rows by cosine, on columns in standard units of train.

    Args:
        features: (n, width), or anything that an array of row numbers indexes to such rows.
        sizes: numbers of neighbours to choose from by the first metric on the validation rows.
    """

    features: Indexed
    sizes: tuple[int, ...] = (1, 3, 5, 10, 20, 50)

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it; "neighbours" is the chosen number."""
        train, validation, test = standard_sides(self.features, fold)
        kind = KNeighborsRegressor if fold.task == REGRESSION else KNeighborsClassifier
        targets = fold.train_targets
        if fold.task == MULTILABEL:
            kind, targets = KNeighborsRegressor, targets.astype(float)
        models = []
        for size in sorted({min(size, len(train)) for size in self.sizes}):
            model = kind(size, metric="cosine").fit(train, targets)
            on_validation = _predict(model, validation, fold)
            models.append((self._quality(on_validation, fold), -size, model, on_validation))
        _, size, model, on_validation = max(models, key=lambda each: each[:2])
        return Prediction(
            test=_predict(model, test, fold),
            validation=on_validation,
            choices={"neighbours": -size},
        )

    @staticmethod
    def _quality(predicted: np.ndarray, fold: Fold) -> float:
        observed = fold.validation_targets
        if fold.task == MULTILABEL:
            usable = observed.any(axis=0) & ~observed.all(axis=0)
            predicted, observed = predicted[:, usable], observed[:, usable]
        if not observed.size or (observed == observed[:1]).all():
            return 0.0
        return score(fold.task, predicted, observed, threshold=0.5)[METRICS[fold.task][0]]


def _predict(model, x: np.ndarray, fold: Fold) -> np.ndarray:
    """Predictions in the form of `Prediction`; a class that train lacks has probability 0."""
    if not hasattr(model, "predict_proba"):
        return model.predict(x)
    probabilities = model.predict_proba(x)
    if fold.task != MULTICLASS:
        return probabilities[:, 1]
    every = np.zeros((len(x), fold.classes))
    every[:, model.classes_] = probabilities
    return every
