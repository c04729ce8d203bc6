"""Objectives: contrastive over pairs of embeddings, and supervised over tables with holes.

The contrastive ones pull z1[i] and z2[i] together and push everything else apart, at temperature t,
with s(a, b) the cosine similarity; each is the mean of both directions. For the direction 1 → 2,
with P_i = s(z1_i, z2_i)/t and sums over j:

- `dcl`: -w_i P_i + log Σ_{j≠i} exp s(z1_i, z1_j)/t + log Σ_{j≠i} exp s(z1_i, z2_j)/t.
  IsoCLR (arXiv 2310.08738) as its code computes it: two log-sum-exps, added.
- `dcl_paper`: -w_i P_i + log Σ_{j≠i} [exp s(z1_i, z1_j)/t + exp s(z1_i, z2_j)/t].
  Decoupled contrastive learning as printed (arXiv 2110.06848, eq. 6): one log-sum-exp.
- `nt_xent`: as `dcl_paper` with the positive kept in the sum (SimCLR, arXiv 2002.05709, eq. 1).
- `info_nce`: -w_i P_i + log Σ_j exp s(z1_i, z2_j)/t (CLIP's symmetric cross-entropy).

No matrix of similarities is ever held: they are taken tile by tile, once for the sums and once more
for their gradient, so memory grows with batch · dim.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .fused_isoclr import at_least_float32

LOSS_FORMS = ("dcl", "dcl_paper", "nt_xent", "info_nce")
TILE = 512  # rows and columns of similarities at a time: 1 MB in float32, near the processor


def transcript_count_weights(
    counts: torch.Tensor, offset: float = 0.4, scale: float = 0.802
) -> torch.Tensor:
    """Weight of each positive term, ln(n + offset) / scale (IsoCLR, section 3).

    Args:
        counts: transcripts in the group of each pair, shape (batch,), at least 1.
        offset: added to the count, so that a group of one still counts.
        scale: chosen by the paper so that the mean weight over its groups is 1.

    Returns:
        Weights of shape (batch,).
    """
    return torch.log(counts.to(torch.get_default_dtype()) + offset) / scale


def contrastive_loss(
    z1: torch.Tensor,
    z2: torch.Tensor,
    form: str = "dcl",
    temperature: float = 0.1,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Contrastive loss of a batch of pairs; see the module for the forms.

    Computed in float32, or in float64 where the views are, under autocast too.

    Args:
        z1: first views, shape (batch, dim); normalised here.
        z2: second views, shape (batch, dim); row i is the partner of row i of `z1`.
        form: one of `LOSS_FORMS`.
        temperature: divides the cosine similarities.
        weights: multiplies the positive terms, shape (batch,); None means 1.

    Returns:
        A scalar.

    Raises:
        ValueError: on an unknown form, shapes that do not fit, or fewer than two pairs.
    """
    return contrastive_loss_and_accuracy(z1, z2, form, temperature, weights)[0]


@torch.no_grad()
def pair_accuracy(z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    """How often the partner ranks first among all second views, by cosine similarity.

    Args:
        z1: first views, shape (batch, dim).
        z2: second views, shape (batch, dim).

    Returns:
        A fraction, as a scalar tensor; a tie for the first rank is a miss.

    Raises:
        ValueError: on shapes that do not fit, or fewer than two pairs.
    """
    return contrastive_loss_and_accuracy(z1, z2, "info_nce")[1]


def contrastive_loss_and_accuracy(
    z1: torch.Tensor,
    z2: torch.Tensor,
    form: str = "dcl",
    temperature: float | torch.Tensor = 0.1,
    weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`contrastive_loss` and, from the same similarities, `pair_accuracy`."""
    if form not in LOSS_FORMS:
        raise ValueError(f"form: got {form!r}, wanted one of {', '.join(LOSS_FORMS)}")
    if z1.shape != z2.shape or z1.ndim != 2:
        raise ValueError(
            f"z1, z2: got shapes {tuple(z1.shape)}, {tuple(z2.shape)}, wanted twice (batch, dim)"
        )
    pairs = len(z1)
    if pairs < 2:
        raise ValueError(f"z1, z2: got {pairs} pairs, wanted at least two, for negatives")
    if weights is not None and weights.shape != (pairs,):
        raise ValueError(f"weights: got shape {tuple(weights.shape)}, wanted ({pairs},)")
    z = at_least_float32(torch.cat([z1, z2]))
    z = nn.functional.normalize(z, dim=1) * temperature**-0.5  # products: similarity / temperature
    log_sum_exps = _LogSumExps.apply if pairs <= TILE else _uncompiled_log_sum_exps
    (within, across), accuracy = log_sum_exps(z, form != "info_nce")
    positives = (z[:pairs] * z[pairs:]).sum(1)
    if form == "dcl":
        repulsion = within + across
    elif form == "dcl_paper":
        repulsion = torch.logaddexp(within, across)
    elif form == "nt_xent":
        repulsion = torch.logaddexp(torch.logaddexp(within, across), positives.repeat(2))
    else:
        repulsion = torch.logaddexp(across, positives.repeat(2))
    attraction = positives if weights is None else weights.to(positives) * positives
    return repulsion.mean() - attraction.mean(), accuracy


class _LogSumExps(torch.autograd.Function):
    """Log-sum-exps over the negatives of every view: those in its own half, and in the other.

    The matrix of all products is symmetric, so its upper triangle of tiles is enough: each serves
    its rows and, transposed, its columns.
    """

    @staticmethod
    def forward(ctx, z, with_own_half):
        """Views (2 · pairs, dim) to log-sum-exps (own half | other half, 2 · pairs), accuracy."""
        sums = z.new_full((2, len(z)), -torch.inf)
        partner, nearest = sums.new_empty(len(z)), sums[0].clone()
        for other_half, aligned, rows, columns, tile in _tiles(z, with_own_half):
            if aligned:
                if other_half:  # not as a sum of products: ties must be rounded alike
                    partner[rows] = tile.diagonal()
                tile.fill_diagonal_(-torch.inf)
            if other_half:
                nearest[rows] = torch.maximum(nearest[rows], tile.amax(1))
            mine = sums[other_half]
            mine[rows] = torch.logaddexp(mine[rows], tile.logsumexp(1))
            if rows != columns:
                mine[columns] = torch.logaddexp(mine[columns], tile.logsumexp(0))
        ctx.save_for_backward(z, sums)
        ctx.with_own_half = with_own_half
        pairs = len(z) // 2
        accuracy = (partner > nearest)[:pairs].float().mean()
        ctx.mark_non_differentiable(accuracy)
        return sums, accuracy

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sums, _):
        """Takes every tile again: the gradient of a log-sum-exp is its softmax."""
        z, sums = ctx.saved_tensors
        grad_z = torch.zeros_like(z)
        for other_half, aligned, rows, columns, tile in _tiles(z, ctx.with_own_half):
            if aligned:
                tile.fill_diagonal_(-torch.inf)
            mine, grad = sums[other_half], grad_sums[other_half]
            by_row = (tile - mine[rows, None]).exp_().mul_(grad[rows, None])
            by_column = tile.sub_(mine[columns]).exp_().mul_(grad[columns])
            grad_tile = by_row.add_(by_column)
            grad_z[rows].addmm_(grad_tile, z[columns])
            if rows != columns:
                grad_z[columns].addmm_(grad_tile.T, z[rows])
        return grad_z, None


# A compiler unrolls the loop over tiles: good for a few of them, endless for hundreds.
_uncompiled_log_sum_exps: Callable = torch.compiler.disable(_LogSumExps.apply)


def _tiles(z, with_own_half):
    """The upper triangle of z @ z.T in tiles that do not cross the border between the halves.

    Yields:
        Whether rows and columns are of different halves (as an index), whether they are of the
        same pairs, the slices of both, and the tile, which is the caller's to change.
    """
    pairs = len(z) // 2
    blocks = [
        slice(start, min(start + TILE, half + pairs))
        for half in (0, pairs)
        for start in range(half, half + pairs, TILE)
    ]
    for number, rows in enumerate(blocks):
        for columns in blocks[number:]:
            other_half = rows.start < pairs <= columns.start
            if other_half or with_own_half:
                with torch.autocast(z.device.type, enabled=False):
                    tile = z[rows] @ z[columns].T
                aligned = rows.start % pairs == columns.start % pairs
                yield int(other_half), aligned, rows, columns, tile


def supervised_loss(
    logits: torch.Tensor, labels: torch.Tensor, problem_type: str | None
) -> torch.Tensor:
    """Mean loss over the labels that are there: -100 and NaN do not count.

    Args:
        logits: (..., num_labels).
        labels: classes of shape (...), or values or 0/1 of shape (..., num_labels), or (...) when
            num_labels is 1.
        problem_type: `regression` (squared error), `single_label_classification` (cross-entropy) or
            `multi_label_classification` (binary cross-entropy); None: as transformers guesses, by
            num_labels and the type of the labels.

    Returns:
        A scalar; 0, with a gradient of 0, when no label is there.

    Raises:
        ValueError: on an unknown problem type or shapes that do not fit.
    """
    if problem_type is None:
        integers = not labels.is_floating_point()
        problem_type = "multi_label_classification"
        if logits.shape[-1] == 1:
            problem_type = "regression"
        elif integers and labels.ndim < logits.ndim:
            problem_type = "single_label_classification"
    by_label = {
        "regression": nn.functional.mse_loss,
        "multi_label_classification": nn.functional.binary_cross_entropy_with_logits,
    }
    single = problem_type == "single_label_classification"
    if not single and problem_type not in by_label:
        raise ValueError(
            f"problem_type: got {problem_type!r}, wanted single_label_classification, "
            f"{' or '.join(by_label)}"
        )
    if not single and logits.shape[-1] == 1 and labels.ndim < logits.ndim:
        labels = labels.unsqueeze(-1)
    if labels.shape != (logits.shape[:-1] if single else logits.shape):
        raise ValueError(
            f"labels: got shape {tuple(labels.shape)} for {problem_type}, "
            f"wanted that of the logits, {tuple(logits.shape)}" + ", but the last" * single
        )
    there = (labels != -100) & ~labels.isnan()
    labels = torch.where(there, labels, 0)
    logits = logits.float()
    if single:
        losses = nn.functional.cross_entropy(
            logits.flatten(0, -2), labels.flatten().long(), reduction="none"
        ).view_as(labels)
    else:
        losses = by_label[problem_type](logits, labels.float(), reduction="none")
    return torch.where(there, losses, 0).sum() / there.sum().clamp(min=1)
