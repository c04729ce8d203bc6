"""What homologs have in common: the last part of an encoder, found in closed form from groups."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import eigh

from data_builders.counts import counted
from data_builders.figures import new_axes, save_figure
from data_builders.groups.parquet import read_groups
from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts
from isoclr.hub.card import write_card
from isoclr.model_folder import write_model_folder
from isoclr.pretrained import load_model, on_device
from isoclr.statistics import standardised
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.pooling_isoclr import CODONS

_PER_GROUP = 3
# Of the mean variance within groups, added to that of every column: what hardly varies within the
# groups at hand is not all that is known to be shared.
_SHRINKAGE = 1.0
_HELD_OUT = 10
# What a model folder tells of its training, beside config and weights.
_HISTORY = ("recipe.yaml", "log.jsonl", "curves.png", "speed.json", "NOTES.md")


@dataclass(frozen=True)
class Discriminants:
    """What was fitted, to what.

    Attributes:
        groups: with several transcripts, all of those that were taken.
        transcripts: of these groups.
        ratios: of the variance between groups to that within, of each discriminant.
        held_out: the same, of a tenth of the groups, on axes fitted to the others.
    """

    groups: int
    transcripts: int
    ratios: tuple[float, ...]
    held_out: tuple[float, ...]

    def title(self) -> str:
        """Say what was fitted, in one line."""
        return (
            f"{len(self.ratios)} linear discriminants of {self.groups:,} groups, "
            f"{self.transcripts:,} transcripts"
        )

    def table(self) -> str:
        """Return both ratios of each discriminant, for reading."""
        pairs = zip(self.ratios, self.held_out, strict=True)
        return (
            f"{self.title()}\nvariance between groups / within, of all and of a tenth left out:\n"
            + ", ".join(f"{of_all:.2f} {left_out:.2f}" for of_all, left_out in pairs)
        )


def linear_discriminants(
    matrix: np.ndarray, groups: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the axes along which groups differ most for how much their members do.

    Linear discriminants (Fisher 1936; Rao 1948) of rows (n, width), whose groups are alike for the
    rows of a group. Columns are standardised, and the covariance within groups is shrunk towards a
    multiple of one.

    It returns the centre (width,), axes (width, n) and the ratio of the variance between groups
    to the shrunk one within of each, descending, (n,). `(matrix - centre) @ axes` has variances in
    proportion to the ratios, 1 on average. Fewer axes along which groups differ are an InputError.
    """
    standard = standardised(matrix)
    within = covariance_within(standard, groups)
    between = standard.T @ standard / len(matrix) - within
    shrunk = within + _SHRINKAGE * within.trace() / len(within) * np.eye(len(within))
    # Columns that do not vary have no place in the problem, nor on an axis.
    varying = np.flatnonzero(standard.any(axis=0))
    most = min(n, len(varying))
    ratios, axes = eigh(
        between[np.ix_(varying, varying)],
        shrunk[np.ix_(varying, varying)],
        subset_by_index=(len(varying) - most, len(varying) - 1),
    )
    ratios, axes = ratios[::-1], axes[:, ::-1]
    if (found := int((ratios > 0).sum())) < n:
        raise InputError(f"discriminants: got {n}, wanted at most {found}, as many as groups have")
    axes = axes * np.sqrt(ratios / ratios.mean()) / (standard[:, varying] @ axes).std(axis=0)
    raw = np.zeros((matrix.shape[1], n))
    raw[varying] = axes / matrix[:, varying].std(axis=0, dtype=np.float64)[:, None]
    return matrix.mean(axis=0, dtype=np.float64), raw, ratios


def fit_discriminants(
    model: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    transcripts: Sequence[Transcript],
    groups: np.ndarray,
    *,
    discriminants: int = 24,
    features: int = 1024,
    progress: bool = True,
) -> tuple[IsoCLRModel, Discriminants]:
    """Return an encoder of the same weights that also reads out discriminants of homologs.

    `model` pools by regions; discriminants that it has are left out. `groups` (n,) are alike for
    transcripts of one isoform group, at least ten groups of two or more. `features` are random
    features of the discriminants, columns of the embedding. Anything else is an InputError.
    """
    config = model.config
    if config.pooling != "regions":
        raise InputError(f"pooling: got a model with '{config.pooling}', wanted 'regions'")
    for name, value in (("discriminants", discriminants), ("features", features)):
        if value < 1:
            raise InputError(f"{name}: got {value}, wanted at least 1")
    names, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < _HELD_OUT or sizes.min() < 2:
        raise InputError(
            f"groups: got {len(names)}, the smallest of "
            f"{counted(min(sizes, default=0), 'transcript')}, wanted at least "
            f"{_HELD_OUT}, each of several"
        )
    embeddings = embed_transcripts(model, tokenizer, transcripts, progress=progress)
    fixed = config.layout_size + CODONS
    near = slice(-config.contrasted_size, -config.content_size)
    columns = np.hstack([embeddings[:, :fixed], embeddings[:, near]])
    left_out = numbers % _HELD_OUT == 0
    centre, axes, _ = linear_discriminants(columns[~left_out], groups[~left_out], discriminants)
    held_out = _ratios((columns[left_out] - centre) @ axes, groups[left_out])
    centre, axes, _ = linear_discriminants(columns, groups, discriminants)
    about = Discriminants(
        len(names),
        len(transcripts),
        tuple(_ratios((columns - centre) @ axes, groups)),
        tuple(held_out),
    )
    sizes = {"discriminants": discriminants, "discriminant_size": features}
    fitted = IsoCLRModel(IsoCLRConfig.from_dict({**config.to_dict(), **sizes})).eval()
    weights = model.state_dict()
    weights |= {
        name: part for name, part in fitted.state_dict().items() if ".discriminants." in name
    }
    weights["pooling.discriminants.centre"] = torch.from_numpy(centre)
    weights["pooling.discriminants.axes"] = torch.from_numpy(axes)
    fitted.load_state_dict(weights)
    return on_device(fitted, model.device), about


def add_discriminants(
    model: str | os.PathLike,
    folder: str | os.PathLike,
    output: Path,
    *,
    discriminants: int = 24,
    features: int = 1024,
    transcripts: int = 20_000,
    seed: int = 0,
) -> Discriminants:
    """Fit discriminants to isoform groups, and writes the encoder that has them.

    Beside the model, `discriminants.json` and `discriminants.png` say how well groups are told
    apart. Heads of pre-training are left out, and results, which are of another model.

    Args:
        model: as `load_model` takes it; of a folder, what tells of training comes along.
        folder: of isoform groups; those of one transcript say nothing and are passed over.
        output: folder to write into.
        discriminants: as `fit_discriminants` takes them.
        features: as `fit_discriminants` takes them.
        transcripts: how many are enough; up to three of a group, groups in random order.
        seed: of that order and of which three.

    Raises:
        InputError: as `load_model` and `fit_discriminants`.
    """
    encoder, tokenizer = load_model(model)
    chosen, groups = draw_members(folder, transcripts, _PER_GROUP, seed)
    fitted, about = fit_discriminants(
        encoder,
        tokenizer,
        chosen,
        groups,
        discriminants=discriminants,
        features=features,
    )
    write_model_folder(fitted, tokenizer, output)
    for source, target in ((Path(model) / name, output / name) for name in _HISTORY):
        if source.resolve() != target.resolve():
            target.unlink(missing_ok=True)  # of a model that lay there before
            if source.exists():
                shutil.copy(source, target)
    write_card(output)
    (output / "discriminants.json").write_text(json.dumps(asdict(about), indent=1) + "\n")
    plot_discriminants(about, output / "discriminants.png")
    return about


def draw_members(
    folder: str | os.PathLike, transcripts: int, per_group: int, seed: int
) -> tuple[list[Transcript], np.ndarray]:
    """Draw some of the transcripts of groups that have several, groups in random order.

    It returns the transcripts, at most so many, and the number of the group of each, (n,).
    """
    rng = np.random.default_rng(seed)
    several = [group for group in read_groups(folder) if len(group.transcripts) > 1]
    chosen: list[Transcript] = []
    groups: list[int] = []
    for number in rng.permutation(len(several)):
        of_group = several[number].transcripts
        rows = rng.permutation(len(of_group))[:per_group]
        if len(chosen) + len(rows) > transcripts:
            break
        chosen += [of_group[row] for row in rows]
        groups += [number] * len(rows)
    return chosen, np.array(groups, int)


def plot_discriminants(about: Discriminants, path: str | os.PathLike) -> None:
    """Draw the ratio of variances of every discriminant."""
    figure, axes = new_axes(6, 3.6)
    x = np.arange(1, len(about.ratios) + 1)
    axes.plot(x, about.ratios, "o-", ms=4, c="#1f4e79", label="fitted to all groups")
    axes.plot(x, about.held_out, "o--", ms=4, c="#c0562b", label="a tenth that was left out")
    axes.set(xlabel="discriminant", ylabel="variance between groups / within")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, about.title(), path)


def covariance_within(matrix: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the covariance within groups, (width, width), of rows (n, width)."""
    names, numbers, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), matrix.shape[1]))
    np.add.at(sums, numbers, matrix)
    differences = matrix - (sums / counts[:, None])[numbers]
    return differences.T @ differences / (len(matrix) - len(names))


def _ratios(projected: np.ndarray, groups: np.ndarray) -> list[float]:
    """Variance between groups over that within, of each column."""
    within = covariance_within(projected, groups).diagonal()
    return (projected.var(axis=0) / within - 1).tolist()
