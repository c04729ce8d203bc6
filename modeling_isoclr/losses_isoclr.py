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
"""

import torch
from torch import nn

LOSS_FORMS = ("dcl", "dcl_paper", "nt_xent", "info_nce")


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

    Args:
        z1: first views, shape (batch, dim); normalised here.
        z2: second views, shape (batch, dim); row i is the partner of row i of `z1`.
        form: one of `LOSS_FORMS`.
        temperature: divides the cosine similarities.
        weights: multiplies the positive terms, shape (batch,); None means 1.

    Returns:
        A scalar.

    Raises:
        ValueError: on an unknown form, unequal shapes, or fewer than two pairs.
    """
    if form not in LOSS_FORMS:
        raise ValueError(f"form: got {form!r}, wanted one of {', '.join(LOSS_FORMS)}")
    if z1.shape != z2.shape or z1.ndim != 2:
        raise ValueError(
            f"z1, z2: got shapes {tuple(z1.shape)}, {tuple(z2.shape)}, wanted twice (batch, dim)"
        )
    if len(z1) < 2:
        raise ValueError("z1, z2: got one pair, wanted at least two: one pair has no negatives")
    z1, z2 = nn.functional.normalize(z1, dim=1), nn.functional.normalize(z2, dim=1)
    across = z1 @ z2.T / temperature  # (batch, batch); the diagonal holds the positives
    positives = across.diagonal()
    weighted = positives if weights is None else weights.to(positives) * positives
    repulsions = [
        _repulsion(form, z @ z.T / temperature, similarities)
        for z, similarities in ((z1, across), (z2, across.T))
    ]
    return sum(repulsions) / 2 - weighted.mean()


@torch.no_grad()
def pair_accuracy(z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    """How often the partner ranks first among all second views, by cosine similarity.

    Args:
        z1: first views, shape (batch, dim).
        z2: second views, shape (batch, dim).

    Returns:
        A fraction, as a scalar tensor.
    """
    similarity = nn.functional.normalize(z1, dim=1) @ nn.functional.normalize(z2, dim=1).T
    own = torch.arange(len(z1), device=z1.device)
    return (similarity.argmax(1) == own).float().mean()


def _repulsion(form: str, within: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    """Mean log-sum-exp part of one direction; both arguments of shape (batch, batch)."""
    own = torch.eye(len(within), dtype=torch.bool, device=within.device)
    within_others = within.masked_fill(own, -torch.inf)
    across_others = across.masked_fill(own, -torch.inf)
    if form == "dcl":
        return (within_others.logsumexp(1) + across_others.logsumexp(1)).mean()
    if form == "dcl_paper":
        return torch.cat([within_others, across_others], 1).logsumexp(1).mean()
    if form == "nt_xent":
        return torch.cat([within_others, across], 1).logsumexp(1).mean()
    return across.logsumexp(1).mean()


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
