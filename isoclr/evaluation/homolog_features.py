"""Features that homologs teach: a small network on what an encoder reads, trained by contrast."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from data_builders.figures import new_axes, save_figure
from data_builders.records import Transcript
from isoclr.evaluation.discriminants import (
    check_refinable,
    draw_members,
    held_out_tenth,
    write_refined,
)
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.linear import LEAST_SPREAD, spread_of
from isoclr.evaluation.networks import seeded
from isoclr.evaluation.readings import read_also
from isoclr.pretrained import load_model, on_device
from isoclr.progress import progress as progress_bar
from modeling_isoclr import (
    IsoCLRConfig,
    IsoCLRModel,
    IsoCLRTokenizer,
    contrastive_loss_and_accuracy,
)
from modeling_isoclr.codons_isoclr import CODONS, RESIDUE_PAIRS
from modeling_isoclr.pooling_isoclr import IsoCLRHomologFeatures

_PER_GROUP = 3
_LOOKS = 15  # at the held-out groups
# Chosen on validation rows of half-life, see docs/log/pretext.md.
_BATCH, _RATE, _DECAY, _DROPOUT, _PROJECTION = 512, 1e-3, 0.01, 0.85, 128


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """How a network is taught.

    Attributes:
        features: columns of the embedding that come of it.
        hidden: width of the hidden layer.
        steps: of at most 512 pairs.
        seed: of the weights, the pairs and what is dropped.
    """

    features: int = 512
    hidden: int = 256
    steps: int = 600
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class HomologFeatures:
    """How a network was taught.

    Attributes:
        features: that it gives.
        groups: with several transcripts, all of those that were taken; a tenth is held out.
        transcripts: of these groups.
        held_out: of these groups.
        steps: at which it was looked at.
        accuracy: how often the partner came first in the batch of that step.
        held_out_accuracy: the same among pairs of all groups that were held out.
    """

    features: int
    groups: int
    transcripts: int
    held_out: int
    steps: tuple[int, ...]
    accuracy: tuple[float, ...]
    held_out_accuracy: tuple[float, ...]

    def title(self) -> str:
        """Say what was taught and by what, in one line."""
        return (
            f"{self.features} features taught by {self.groups:,} groups, "
            f"{self.transcripts:,} transcripts, in {self.steps[-1]:,} steps"
        )

    def table(self) -> str:
        """Return what is known at the end, for reading."""
        return (
            f"{self.title()}\npartner first among those of {self.held_out:,} groups that were held "
            f"out: {self.held_out_accuracy[-1]:.1%}, of the last batch {self.accuracy[-1]:.1%}"
        )


def fit_homolog_features(
    model: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    transcripts: Sequence[Transcript],
    groups: np.ndarray,
    options: NetworkOptions | None = None,
    *,
    progress: bool = True,
) -> tuple[IsoCLRModel, HomologFeatures]:
    """Return an encoder of the same weights that also has features taught by homologs.

    A network of one hidden layer sees codon usage, sites of decay where the encoder has them, pairs
    of residues, stem and content of a transcript, and learns by contrast (NT-Xent, SimCLR) which
    two of a batch are of one group. Layout is kept from it: isoforms differ in just this. Most of
    its input is dropped at each step, as there are few groups.

    Args:
        model: pools by regions; features of homologs that it has are left out.
        tokenizer: of the model.
        transcripts: n of them.
        groups: alike for transcripts of one isoform group, (n,); at least ten groups of two or
            more.
        options: of the network; None: as they are by default.
        progress: show bars.

    Raises:
        InputError: another pooling, other groups, or a number below 1.
    """
    options = options or NetworkOptions()
    numbers = {name: value for name, value in asdict(options).items() if name != "seed"}
    check_refinable(model.config, **numbers)
    count, left_out = held_out_tenth(groups)
    sizes = {"homolog_features": options.features, "homolog_hidden": options.hidden}
    config = IsoCLRConfig.from_dict({**model.config.to_dict(), **sizes})
    fitted = seeded(lambda: IsoCLRModel(config), options.seed).cpu().eval()
    weights = {k: part for k, part in model.state_dict().items() if ".homologs." not in k}
    fitted.load_state_dict(fitted.state_dict() | weights)
    columns = _columns(model, tokenizer, transcripts, progress)
    network = cast(IsoCLRHomologFeatures, fitted.get_submodule("pooling.homologs"))
    network.centre.copy_(torch.from_numpy(columns.mean(axis=0)))
    # In its own units a column that hardly varies would be rounding alone.
    network.spread.copy_(torch.from_numpy(spread_of(columns, LEAST_SPREAD)))
    standard = network.standard(torch.from_numpy(columns))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        looks = _teach(network, standard, groups, left_out, options, progress=progress)
    about = HomologFeatures(
        features=options.features,
        groups=count,
        transcripts=len(transcripts),
        held_out=len(np.unique(groups[left_out])),
        **looks,
    )
    return on_device(fitted, model.device), about


def add_homolog_features(
    model: str | os.PathLike,
    folder: str | os.PathLike,
    output: Path,
    options: NetworkOptions | None = None,
    *,
    transcripts: int = 20_000,
) -> HomologFeatures:
    """Teach features by isoform groups, and write the encoder that has them.

    Beside the model, `homolog_features.json` and `homolog_features.png` say how well it learned.
    Heads of pre-training are left out, and results, which are of another model.

    Args:
        model: as `load_model` takes it; of a folder, what tells of training comes along.
        folder: of isoform groups; those of one transcript say nothing and are passed over.
        output: folder to write into.
        options: as `fit_homolog_features` takes them; their seed also draws the groups.
        transcripts: how many are enough; up to three of a group, groups in random order.

    Raises:
        InputError: as `load_model` and `fit_homolog_features`.
    """
    options = options or NetworkOptions()
    encoder, tokenizer = load_model(model)
    chosen, groups = draw_members(folder, transcripts, _PER_GROUP, options.seed)
    fitted, about = fit_homolog_features(encoder, tokenizer, chosen, groups, options)
    write_refined(fitted, tokenizer, model, output)
    (output / "homolog_features.json").write_text(json.dumps(asdict(about), indent=1) + "\n")
    plot_homolog_features(about, output / "homolog_features.png")
    return about


def plot_homolog_features(about: HomologFeatures, path: str | os.PathLike) -> None:
    """Draw how often partners came first, by step."""
    figure, axes = new_axes(6, 3.6)
    batch = f"batch of the step, {_DROPOUT:.0%} of columns dropped"
    axes.plot(about.steps, about.accuracy, "o-", ms=4, c="#1f4e79", label=batch)
    label = f"{about.held_out:,} groups held out"
    axes.plot(about.steps, about.held_out_accuracy, "o--", ms=4, c="#c0562b", label=label)
    axes.set(xlabel="step", ylabel="partner first (fraction)", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, about.title(), path)


def _columns(model, tokenizer, transcripts, progress: bool) -> np.ndarray:
    """What the network sees of transcripts, in the order of `IsoCLRHomologFeatures`."""
    reader = read_also(model, residue_pairs=True)
    embeddings = embed_transcripts(reader, tokenizer, transcripts, progress=progress)
    config = model.config
    codons = config.layout_size
    sites = codons + CODONS + (config.discriminant_size if config.discriminants else 0)
    pairs = sites + config.sites_size + config.homolog_features
    parts = [(codons, CODONS), (sites, config.sites_size), (pairs, RESIDUE_PAIRS)]
    parts.append((embeddings.shape[1] - config.contrasted_size, config.contrasted_size))
    return np.hstack([embeddings[:, start : start + size] for start, size in parts])


def _teach(
    network: IsoCLRHomologFeatures,
    standard: torch.Tensor,
    groups: np.ndarray,
    left_out: np.ndarray,
    options: NetworkOptions,
    *,
    progress: bool,
) -> dict[str, tuple]:
    """Train the network on pairs of the groups that are not left out, and look at the others."""
    weights = (network.hidden, network.hidden_bias, network.output, network.output_bias)
    projector = nn.Linear(network.output.shape[1], _PROJECTION)
    optimizer = torch.optim.AdamW([*weights, *projector.parameters()], _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, options.steps + 1, pct_start=0.05
    )

    def contrast(pairs, dropout):
        seen = [nn.functional.dropout(standard[pairs[:, view]], dropout) for view in (0, 1)]
        views = (projector(network.seen(each)) for each in seen)
        return contrastive_loss_and_accuracy(*views, form="nt_xent")

    rng = np.random.default_rng(options.seed)
    rows = np.arange(len(groups))
    train, held_out = (_members(rows[side], groups[side]) for side in (~left_out, left_out))
    unseen = _pairs(held_out, rng)
    looks: list[tuple[int, float, float]] = []
    for weight in weights:
        weight.requires_grad_()
    numbers = range(1, options.steps + 1)
    for step in progress_bar(numbers, "features", unit="step", show=progress):
        chosen = rng.permutation(len(train))[:_BATCH]
        loss, accuracy = contrast(_pairs([train[number] for number in chosen], rng), _DROPOUT)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step == options.steps or step % max(options.steps // _LOOKS, 1) == 0:
            with torch.no_grad():
                looks.append((step, accuracy.item(), contrast(unseen, 0.0)[1].item()))
    for weight in weights:
        weight.requires_grad_(False)
    return dict(
        zip(("steps", "accuracy", "held_out_accuracy"), zip(*looks, strict=True), strict=True)
    )


def _members(rows: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """The rows of each group."""
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    return np.split(rows[order], starts[1:])


def _pairs(members: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Two rows of each group at random, (groups, 2)."""
    return np.array([rng.permutation(of_group)[:2] for of_group in members])
