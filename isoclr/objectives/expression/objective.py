"""SCARF, VIME, BYOL, denoising and halves on bulk expression (btaf533)."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data_builders.text import read_json
from isoclr.objectives.base import Objective
from isoclr.objectives.card import CardFacts
from isoclr.objectives.expression.batches import (
    CORRUPTION,
    ExpressionBatch,
    ExpressionBatches,
    gene_modules,
    held_out_samples,
)
from isoclr.objectives.expression.recipe import ExpressionRecipe
from isoclr.objectives.expression.rows import load_training_data
from isoclr.training.curves import Panel
from isoclr.training.processes import gather_rows, sum_over_processes, summed_over_processes
from modeling_isoclr import ExpressionForPreTraining, contrastive_loss
from modeling_isoclr.modeling_expression import ExpressionBatchNorm

_MOST_HELD_OUT = 2048
_CITATION = """\
@article{dradjat2025expression,
  title = {Self-supervised learning on gene expression data},
  author = {Dradjat, Kevin and Hamidi, Massinissa and Bartet, Pierre and Hanczar, Blaise},
  journal = {Bioinformatics},
  volume = {41},
  number = {11},
  pages = {btaf533},
  year = {2025}
}"""
_COLLAPSED = 2.0  # an effective rank below this is a line or a point
_HELD_OUT_STEP = 1 << 40  # no step of training: its draws are those of evaluation


class ExpressionObjective(Objective[ExpressionRecipe, ExpressionBatches, ExpressionForPreTraining]):
    """Views of one sample attract each other, or restore it; see `Objective`."""

    recipe_class = ExpressionRecipe
    panels = (
        Panel("loss", (("loss", "training batches"), ("held_out_loss", "held-out samples"))),
        Panel("effective rank of embeddings", (("effective_rank", "held-out samples"),)),
    )

    def __init__(self, recipe: ExpressionRecipe, rank: int, world_size: int):
        super().__init__(recipe, rank, world_size)
        self.data = load_training_data(
            recipe, lambda groups: held_out_samples(groups, recipe.held_out_fraction, recipe.seed)
        )
        self.processor = self.data.processor
        self.config = recipe.encoder_config(len(self.processor.genes))
        modules = None
        if recipe.method == "halves" and recipe.gene_modules:
            modules = gene_modules(self.data.for_modules(), recipe.gene_modules, recipe.seed)
        self.batches = ExpressionBatches(
            self.data.train,
            recipe,
            dropout_shape=(self.config.num_hidden_layers, self.config.hidden_size),
            dropout=self.config.dropout,
            modules=modules,
            rank=rank,
            world_size=world_size,
        )
        self.fingerprint = [(Path(recipe.data).name, self.data.checksum)]
        self.steps_per_epoch = self.batches.order.steps_per_epoch
        if rank == 0:
            said = [
                *self.data.said,
                f"{len(self.data.train):,} samples to train on, "
                f"{len(self.data.held_out):,} held out; {len(self.processor.genes):,} genes",
            ]
            print("\n".join(said), file=sys.stderr)

    def build_model(self) -> ExpressionForPreTraining:
        """An encoder with the heads of its method."""
        model = ExpressionForPreTraining(self.config)
        if self.config.method == "byol":
            model.start_target()
        return model

    def loss_module(self, model: ExpressionForPreTraining) -> "ExpressionLoss":
        """The loss of the recipe's method."""
        if self.world_size > 1:
            for part in model.modules():
                if isinstance(part, ExpressionBatchNorm):
                    part.over_processes = summed_over_processes
        return ExpressionLoss(model)

    @torch.no_grad()
    def evaluate(self, model: ExpressionForPreTraining) -> dict[str, float]:
        """Loss on held-out samples, and what a collapse would show.

        Returns:
            `held_out_loss`; `effective_rank` of the embeddings (Roy & Vetterli 2007: the
            exponential of the entropy of their singular values); and of their two views
            `alignment` and `uniformity` (arXiv 2005.10242), where there are two. Nothing with fewer
            than two held-out samples; of more than 2,048 the first.
        """
        if len(self.data.held_out) < 2:
            return {}
        z = self.data.held_out[np.arange(min(len(self.data.held_out), _MOST_HELD_OUT))]
        views, mask = self.batches.views(z, self.batches.generator(CORRUPTION, _HELD_OUT_STEP))
        device = model.device
        first, *rest = (torch.from_numpy(view).to(device) for view in views)
        batch = ExpressionBatch(
            clean=torch.from_numpy(z).to(device),
            first=first,
            second=rest[0] if rest else None,
            mask=torch.from_numpy(mask).to(device),
            keep=None,
            rows_of_rank=[len(z)],
            sizes={},
        )
        model.eval()
        loss, output = loss_of(model, batch)
        embeddings = model.expression(batch.clean).pooler_output
        found = {"held_out_loss": loss.item(), "effective_rank": effective_rank(embeddings)}
        if output.second is not None:
            one, other = (
                nn.functional.normalize(each, dim=1) for each in (output.first, output.second)
            )
            found["alignment"] = (one - other).square().sum(1).mean().item()
            found["uniformity"] = torch.pdist(one).square().mul(-2).exp().mean().log().item()
        model.train()
        if found["effective_rank"] < _COLLAPSED:
            print(
                f"the embeddings have collapsed: effective rank {found['effective_rank']:.2f} of "
                f"{embeddings.shape[1]}",
                file=sys.stderr,
            )
        return found

    def describe(self, step: int) -> list[str]:
        """The samples of the whole batch."""
        return [self.data.samples[int(row)] for row in self.batches.rows(step)]

    @classmethod
    def card_facts(cls, folder: Path, recipe: dict, log: list[dict]) -> CardFacts:
        """What the card says beyond what is true for all objectives."""
        keys = ("method", "transform", "n_genes", "corruption", "replacement", "steps")
        held_out = next((r for r in reversed(log) if "held_out_loss" in r), None)
        return CardFacts(
            tags=("expression", "rna-seq", "biology", "self-supervised"),
            pipeline_tag="feature-extraction",
            encoder_prefix="expression.",
            embedding=read_json(folder / "config.json", ("hidden_size",), "a model")["hidden_size"],
            longest="the genes of its processor; others are left out",
            citation=_CITATION,
            recipe_keys=(*keys, "batch_size", "optimizer", "learning_rate", "seed"),
            template="card.md",
            template_folder=Path(__file__).parent,
            variables={
                "method": recipe.get("method", "scarf"),
                "held_out_record": held_out,
                "phenotypes": [
                    _phenotype(path, folder)
                    for path in sorted(folder.glob("results/*/phenotype.json"))
                ],
            },
        )


def _phenotype(path: Path, folder: Path) -> dict:
    """What `isoclr phenotype` found, as the card shows it.

    Returns:
        What phenotype.json has; beside it the label counts as `points`, the methods as `names`, the
        first of them as `reference`, the first frozen encoder as `frozen` (None: there is none),
        the smallest label count as `few`, the metric and its `key`, and the `figure`.
    """
    keys = ("label", "rows", "groups", "unit", "group_unit", "split", "interval", "summary")
    found = read_json(path, (*keys, "few_labels", "train_rows"), "what isoclr phenotype writes")
    points = [*found["few_labels"], found]
    names = list(dict.fromkeys(name for point in points for name in point["summary"]))
    key = next(iter(found["summary"][names[0]]))
    figure = path.with_name("phenotype.png")
    known = [point for point in points if any("frozen" in name for name in point["summary"])]
    return found | {
        "points": points,
        "names": names,
        "reference": names[0],
        "frozen": next((name for name in names if "frozen" in name), None),
        "few": (known or points)[0],
        "metric": key.replace("_", " "),
        "key": key,
        "figure": figure.relative_to(folder).as_posix() if figure.exists() else None,
    }


class ExpressionLoss(nn.Module):
    """The loss of a batch, of which this process has some rows."""

    def __init__(self, model: ExpressionForPreTraining):
        super().__init__()
        self.model = model

    def forward(self, batch: ExpressionBatch) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss whose gradient, averaged over processes, is that of the whole batch."""
        if self.model.config.method == "byol":
            self.model.update_target()
        loss, _ = loss_of(self.model, batch)
        shown = loss.detach().double()
        if self.model.config.method not in ("scarf", "halves"):  # a sum of each process's rows
            shown = sum_over_processes(shown) / len(batch.rows_of_rank)
        return loss, {"loss": shown.item()}


def loss_of(model: ExpressionForPreTraining, batch: ExpressionBatch):
    """The loss of a batch and the model's output.

    Contrastive losses are taken over the rows of all processes. The others are means over rows;
    each process takes its rows, weighted so that the mean over processes is the mean over rows.
    """
    keep = None if batch.keep is None else tuple(batch.keep)
    output = model(batch.first, batch.second, keep)
    config, sizes = model.config, batch.rows_of_rank
    with torch.autocast(output.first.device.type, enabled=False):
        first = output.first.float() if output.first.dtype != torch.float64 else output.first
        if config.method in ("scarf", "halves"):
            second = output.second.to(first.dtype)
            first, second = gather_rows(first, sizes), gather_rows(second, sizes)
            return contrastive_loss(first, second, "nt_xent", config.contrast_temperature), output
        share = len(sizes) * len(first) / sum(sizes)
        if config.method == "byol":
            return share * _byol(first, output, first.dtype), output
        loss = (first - batch.clean).square().mean()
        if config.method == "vime":
            cross_entropy = nn.functional.binary_cross_entropy_with_logits
            mask = cross_entropy(output.mask_logits.to(first.dtype), batch.mask.to(first.dtype))
            loss = mask + config.value_weight * loss
        return share * loss, output


def _byol(first, output, dtype) -> torch.Tensor:
    """Mean squared distance, on the unit sphere, of predictions and the other view's targets."""
    one, other = output.targets
    pairs = ((first, other), (output.second.to(dtype), one))
    cosines = [
        nn.functional.cosine_similarity(online, target.detach().to(dtype), dim=1)
        for online, target in pairs
    ]
    return 2 - torch.stack(cosines).mean() * 2


def effective_rank(embeddings: torch.Tensor) -> float:
    """The exponential of the entropy of the singular values of centred rows; 0 where all agree."""
    centred = (embeddings - embeddings.mean(0)).double()
    values = torch.linalg.svdvals(centred)
    if values.sum() <= 1e-12:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(torch.exp(-(shares * shares.log()).sum()))
