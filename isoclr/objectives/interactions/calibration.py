"""Logits to probabilities: Platt's line, fitted on validation pairs."""

import numpy as np

_STEPS = 100


def platt(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Fit slope and intercept that turn a logit into the logit of a probability.

    Maximises the likelihood of smoothed labels, (N+ + 1)/(N+ + 2) and 1/(N− + 2), by Newton's
    method (Platt 1999, Lin et al. 2007). A slope below zero, of logits that say the contrary, is
    kept: the model is then no better than chance on these pairs. Both labels, 1 and 0, occur.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels) == 1
    positives, negatives = labels.sum(), (~labels).sum()
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scale = max(float(np.abs(logits).max(initial=0)), 1e-12)
    design = np.column_stack([logits / scale, np.ones(len(logits))])
    found = np.zeros(2)

    def loss(line: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, design @ line) - targets * (design @ line)))

    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        gradient = design.T @ (p - targets) / len(p)
        curvature = (design * (p * (1 - p))[:, None]).T @ design / len(p) + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while loss(found - step) > loss(found) + 1e-15 and np.abs(step).max() > 1e-12:
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-10:
            break
    return float(found[0] / scale), float(found[1])
