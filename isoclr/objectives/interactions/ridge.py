"""Kernel ridge regression over both molecules of pairs, in closed form.

The scores F of all RNAs with all proteins of training are Kr (Kr + λr)⁻¹ Y (Kp + λp)⁻¹ Kp: two-step
kernel ridge regression, which is made for pairs of two new molecules (Stock et al. 2018). Y has the
weights of the pairs that interact, less those of the negatives.

With one ridge λ for both they are those of ridge regression with the products of the kernels,
Kr ⊗ Kp (Kr ⊗ Kp + λ)⁻¹ Y, which is Kronecker kernel ridge regression.
"""

import numpy as np
import torch

from isoclr.objectives.interactions.batches import Pairs
from modeling_isoclr.kernel_rpi import RPIKernel

_LEAST = 1e-9  # of the largest eigenvalue: directions below it are rounding


def fit_kernels(
    kernels: tuple[RPIKernel, RPIKernel],
    means: tuple[np.ndarray, np.ndarray],
    pairs: Pairs,
    ridge: tuple[float, float] | float,
) -> None:
    """Place kernels of RNAs and proteins at the molecules of training, and weigh them.

    Their components are the rank to which the scores of training are approximated. Places of the
    pairs are rows of `means`, float64 (molecules, size). The ridges λr and λp are in units of the
    mean diagonal of a centred kernel; a single λ is in units of the product of these diagonals.
    """
    table = np.zeros((len(means[0]), len(means[1])))
    signed = np.where(pairs.label == 1, pairs.weight, -pairs.weight)
    np.add.at(table, (pairs.rna, pairs.protein), signed)
    sides = []
    for kernel, vectors in zip(kernels, means, strict=True):
        kernel.place(torch.from_numpy(vectors))
        # In float64: the kernel of a copy, so that nothing that is stored is rounded twice.
        sides.append(_Side(_kernels(kernel)))
    rna, protein = sides
    inner = rna.axes.T @ table @ protein.axes / _damping(rna, protein, ridge)
    inner *= np.sqrt(rna.values)[:, None] * np.sqrt(protein.values)
    left, sizes, right = np.linalg.svd(inner, full_matrices=False)
    rank = min(len(kernels[0].weight), len(sizes))
    left, sizes, right = left[:, :rank], sizes[:rank], right[:rank].T
    # The sign of a direction is arbitrary; its largest number becomes positive.
    sign = np.sign(left[np.abs(left).argmax(0), np.arange(rank)])
    weights = [rna.of(left * sign * np.sqrt(sizes)), protein.of(right * sign * np.sqrt(sizes))]
    scores = (rna.kernel @ weights[0]) @ (protein.kernel @ weights[1]).T
    spread = scores[pairs.rna, pairs.protein].std()
    for kernel, side, weight in zip(kernels, sides, weights, strict=True):
        whole = np.zeros((len(kernel.weight), len(weight)))
        whole[:rank] = weight.T / np.sqrt(max(spread, 1e-12))
        kernel.weigh(torch.from_numpy(whole / side.scale), torch.from_numpy(side.centre))


def _damping(rna: "_Side", protein: "_Side", ridge: tuple[float, float] | float) -> np.ndarray:
    """By what each pair of an RNA's and a protein's direction is divided, (RNA's, protein's)."""
    if isinstance(ridge, tuple):
        return (rna.values[:, None] + ridge[0]) * (protein.values + ridge[1])
    return rna.values[:, None] * protein.values + ridge


class _Side:
    """A centred kernel of one side.

    Args:
        kernel: (n, n), not centred.

    Attributes:
        kernel: centred, of mean diagonal 1.
        centre: mean of each column of what was given.
        scale: mean diagonal of the centred kernel, by which it was divided.
        axes: eigenvectors with an eigenvalue above rounding, (n, kept).
        values: of each, the eigenvalue.
    """

    def __init__(self, kernel: np.ndarray):
        self.centre = kernel.mean(0)
        centred = kernel - self.centre - self.centre[:, None] + self.centre.mean()
        self.scale = max(float(np.trace(centred)) / len(centred), 1e-12)
        self.kernel = centred / self.scale
        values, axes = np.linalg.eigh(self.kernel)
        kept = values > _LEAST * max(values[-1], 1e-12)
        self.axes, self.values = axes[:, kept], values[kept]

    def of(self, directions: np.ndarray) -> np.ndarray:
        """Weights of the centred kernels (n, rank), of directions scaled by roots of `values`."""
        return self.axes @ (directions / np.sqrt(self.values)[:, None])


def _kernels(kernel: RPIKernel) -> np.ndarray:
    """The kernels of the molecules of training with each other, float64."""
    scaled = (kernel.landmarks * kernel.scale).double().numpy()
    squares = (scaled**2).sum(1)
    apart = squares[:, None] + squares - 2 * scaled @ scaled.T
    return np.exp(-np.maximum(apart, 0))
