"""What the page says of expression profiles."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from data_builders.expression.matrix import ExpressionMatrix
from data_builders.expression.prepare import read_expression
from data_builders.records import InputError
from isoclr.app.figures import pixels_of
from isoclr.app.inputs import LIMITS, Limits, check_size, private_folder
from isoclr.evaluation.embed_expression import embed_expression, plot_embeddings
from modeling_isoclr import ExpressionModel, ExpressionProcessor

COLUMNS = ["sample", "nearest sample", "cosine"]

_NAME = "matrix"
_FEWEST = 3  # samples of a map


@dataclass(frozen=True, kw_only=True)
class ProfileModel:
    """An encoder of expression and what makes its inputs.

    Attributes:
        name: of the model.
        encoder: in evaluation mode.
        processor: of the encoder.
    """

    name: str
    encoder: ExpressionModel
    processor: ExpressionProcessor


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileStudy:
    """Samples and their embeddings; equal to itself alone.

    Attributes:
        matrix: the samples.
        embeddings: float32 (samples, width).
        notes: lines on what was read, and how its genes met those of the model.
    """

    matrix: ExpressionMatrix
    embeddings: np.ndarray
    notes: list[str]

    def nearest(self) -> list[list[str]]:
        """Return a row of `COLUMNS` for each sample; no row of a single sample."""
        if len(self.embeddings) < 2:
            return []
        rows = np.asarray(self.embeddings, np.float64)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        similar = rows @ rows.T
        np.fill_diagonal(similar, -np.inf)
        names, best = self.matrix.samples, similar.argmax(axis=1)
        return [
            [names[row], names[other], f"{similar[row, other]:.4f}"]
            for row, other in enumerate(best)
        ]

    def map(self, label: str | None) -> np.ndarray | None:
        """Draw two principal components, coloured by a column: uint8 (height, width, 3).

        Args:
            label: a column of what is known of the samples; None: one colour.

        Returns:
            None of fewer than three samples.

        Raises:
            InputError: a column that is not there.
        """
        if len(self.embeddings) < _FEWEST:
            return None
        labels = None if label is None else self.matrix.column(label)
        return pixels_of(partial(plot_embeddings, self.embeddings, labels, label or ""))


def study_profiles(model: ProfileModel, content: bytes, limits: Limits = LIMITS) -> ProfileStudy:
    """Embed the samples of a matrix.

    Args:
        model: of expression.
        content: a file that `isoclr expression embed` reads.
        limits: bounds.

    Raises:
        InputError: in one line without a path of this machine: too much, or what the reader or the
            model refuses.
    """
    if not content.strip():
        raise InputError(f"{_NAME}: got none, wanted a file")
    check_size(_NAME, len(content), limits)
    with private_folder() as folder:
        (folder / _NAME).write_bytes(content)
        matrix, report = read_expression([folder / _NAME])
        said = [line.replace(f"{folder}/", "") for line in report.lines()]
        if len(matrix.samples) > limits.samples:
            raise InputError(
                f"{_NAME}: got {len(matrix.samples):,} samples, wanted at most {limits.samples:,}"
            )
        embeddings, genes = embed_expression(model.encoder, model.processor, matrix)
    return ProfileStudy(matrix=matrix, embeddings=embeddings, notes=[*said, str(genes)])
