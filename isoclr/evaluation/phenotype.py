"""Phenotypes from expression with few labels: self-supervision beside what a statistician does.

Every transformation is fitted on the train side of a split, that is on all rows but those of test,
whose labels nobody sees; few labels are a part of it.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data_builders.counts import counted
from data_builders.expression.matrix import ExpressionMatrix, write_matrix
from data_builders.labels.base import MULTICLASS, SURVIVAL, Labels
from data_builders.labels.splits import Split, group_folds, transfer_splits
from data_builders.records import InputError
from data_builders.text import sha256_of
from isoclr.evaluation.compare import ALL, Fold, Prediction, Predictor, Results, RunLog, compare
from isoclr.evaluation.figures_phenotype import plot_phenotypes
from isoclr.evaluation.fit import fit, outputs_of, predict_fold
from isoclr.evaluation.linear import Linear
from isoclr.evaluation.networks import seeded
from isoclr.evaluation.phenotype_curves import FROM_SCRATCH, gains_over_scratch, labels_saved
from isoclr.evaluation.predictors import Boosting, Neighbours
from isoclr.evaluation.settings import FitSettings
from isoclr.evaluation.survival import Cox
from isoclr.objectives.expression.recipe import ExpressionRecipe
from isoclr.train import hold_output, train
from isoclr.training.recipe import check_recipe
from isoclr.training.signals import StopRequest
from modeling_isoclr import (
    ExpressionConfig,
    ExpressionForSequenceClassification,
    ExpressionModel,
    ExpressionProcessor,
)

# Components keep their own weights: in units of each, noise would count as much as the first.
ON_COMPONENTS = partial(Linear, least_spread=10.0, alphas=(1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0))
COX_ON_COMPONENTS = partial(Cox, least_spread=10.0, alphas=(1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0))

LABEL_SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, ALL)
_FEWEST_LABELS = 10  # of a share; one a class may be fewer
COMPONENTS = 128
VARIABLE_GENES = 1000
CLIP = 10.0
_KEPT_BYTES = 1 << 27  # of the features of one kind
NETWORK = FitSettings(
    learning_rate=1e-3, batch_size=32, evaluate_every=10, patience=10, evaluations=40
)
FINE_TUNED = NETWORK.model_copy(update={"learning_rate": 3e-4})

METHODS = {
    name: {"method": name, "steps": "300 epochs", "learning_rate": 3e-4, **more}
    for name, more in {
        "scarf": {},
        "vime": {},
        "byol": {"model": {"head_sizes": [1024, 256]}},
        "denoising": {},
        "halves": {"gene_modules": 64, "model": {"contrast_temperature": 0.2}},
    }.items()
}
"""Laptop recipes of the methods; the paper's own are in `recipes/expression/`."""


@dataclass(frozen=True, kw_only=True)
class PhenotypeOptions:
    """What is compared, and how.

    Attributes:
        methods: names of `METHODS`.
        label_counts: shares of the train rows, or numbers of labels; None: see
            `usual_label_counts`.
        folds: of a group-aware cut.
        seeds: one cut each.
        n_genes: the most variable genes that encoders take; None: all that vary.
        transform: of the encoders' processor: log, ranks or quantile.
        controls: False leaves out boosting, which takes longest.
        recipe: keys of `ExpressionRecipe` that replace those of `METHODS`.
        model: folder of a pre-trained encoder that stands beside the methods as it is, which must
            not have seen the test rows; None: none.
    """

    methods: Sequence[str] = tuple(METHODS)
    label_counts: Sequence[float | int] | None = None
    folds: int = 5
    seeds: Sequence[int] = (0, 1, 2)
    n_genes: int | None = None
    transform: str = "log"
    controls: bool = True
    recipe: dict = field(default_factory=dict)
    model: Path | None = None


def phenotype_labels(matrix: ExpressionMatrix, label: str, group: str | None) -> Labels:
    """Classes of the samples by a column of `obs`; a group's samples stay on one side.

    Every sample has the label, see `with_label`. Without a group each is on its own.
    """
    names, targets = np.unique(matrix.column(label).astype(str), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"{label}: got one class, {names[0]!r}, wanted two or more")
    return Labels(
        label=label,
        task=MULTICLASS,
        targets=targets,
        groups=_groups_of(matrix, group),
        classes=tuple(names),
        unit="samples",
        group_unit="samples" if group is None else "groups",
    )


def survival_labels(matrix: ExpressionMatrix, time: str, event: str, group: str | None) -> Labels:
    """Time to an event, and whether it was seen, by two columns of `obs`.

    Times, in any unit, are above 0; events are 1 where the event was seen, and 0 where the sample
    was censored. Anything else, and no event at all, are an InputError.
    """
    columns = []
    for name in (time, event):
        values = []
        for sample, value in zip(matrix.samples, matrix.column(name), strict=True):
            try:
                values.append(float(value))
            except (TypeError, ValueError):
                values.append(np.nan)
            right = values[-1] in (0, 1) if name == event else 0 < values[-1] < np.inf
            if not right:
                wanted = "0 or 1" if name == event else "a number above 0"
                raise InputError(f"{name}: sample {sample!r}: got {value!r}, wanted {wanted}")
        columns.append(values)
    targets = np.column_stack(columns)
    if not targets[:, 1].any():
        raise InputError(f"{event}: got 0 for all {len(targets)} samples, wanted some events")
    return Labels(
        label=f"{time} to {event}",
        task=SURVIVAL,
        targets=targets,
        groups=_groups_of(matrix, group),
        unit="samples",
        group_unit="samples" if group is None else "groups",
    )


def _groups_of(matrix: ExpressionMatrix, group: str | None) -> Sequence[str]:
    return matrix.samples if group is None else matrix.column(group).astype(str).tolist()


def with_label(matrix: ExpressionMatrix, *columns: str) -> tuple[ExpressionMatrix, int]:
    """The samples that have a value in every one of some columns, and how many have not."""
    found = [[v is not None and v == v for v in matrix.column(name)] for name in columns]
    known = np.flatnonzero(np.all(found, axis=0))
    if not len(known):
        names = " and ".join(columns)
        raise InputError(
            f"{names}: got no label in {counted(len(matrix.samples), 'sample')}, wanted some"
        )
    return matrix.select(known), len(matrix.samples) - len(known)


def of_sources(
    matrix: ExpressionMatrix, sources: Sequence[tuple[str, str]]
) -> tuple[ExpressionMatrix, int]:
    """The samples of some sources, each a column of `obs` and a value, and how many are of none."""
    inside = np.zeros(len(matrix.samples), bool)
    for column, value in sources:
        values = matrix.column(column).astype(str)
        if not (values == value).any():
            known = ", ".join(map(repr, sorted(set(values.tolist()))[:10]))
            raise InputError(f"{column}: got no sample of {value!r}, wanted one of {known}")
        inside |= values == value
    return matrix.select(np.flatnonzero(inside)), int((~inside).sum())


def splits_across(
    matrix: ExpressionMatrix,
    labels: Labels,
    train_on: tuple[str, str],
    test_on: tuple[str, str],
    seeds: Sequence[int],
) -> list[Split]:
    """Splits that learn from the samples of one source, and test on those of another.

    A source is a column of `obs` and a value of it. Seeds differ in the samples that validate.
    """
    of_sources(matrix, (train_on, test_on))  # which says what is not there
    sides = [
        np.flatnonzero(matrix.column(column).astype(str) == value)
        for column, value in (train_on, test_on)
    ]
    classes = labels.targets[:, 1] if labels.task == SURVIVAL else labels.targets
    return transfer_splits((sides[0], sides[1]), labels.groups, classes, seeds)


def compare_phenotypes(
    matrix: ExpressionMatrix,
    labels: Labels,
    output: Path,
    options: PhenotypeOptions | None = None,
    splits: Sequence[Split] | None = None,
) -> Results:
    """Compare self-supervised encoders, the same network from scratch, and plain baselines.

    The matrix is log2(x + 1), in memory. The folder gets phenotype.json and .png,
    labels_saved.json, over_scratch.json, the runs, and the pre-trained encoders; a comparison that
    was stopped goes on with them. Without splits, folds keep groups on one side.
    """
    options = options or PhenotypeOptions()
    if splits is None:
        classes = labels.targets[:, 1] if labels.task == SURVIVAL else labels.targets
        splits = [
            split
            for seed in options.seeds
            for split in group_folds(labels.groups, classes, options.folds, seed)
        ]
    output.mkdir(parents=True, exist_ok=True)
    about = {
        "genes": len(matrix.genes),
        "methods": {name: METHODS[name] | options.recipe for name in options.methods},
        "n_genes": options.n_genes,
        "transform": options.transform,
    }
    if options.model is not None:
        about["model"] = sha256_of(options.model / "model.safetensors")
    results = compare(
        phenotype_predictors(matrix, output / "pretrained", options, labels.task),
        labels,
        splits,
        usual_label_counts(labels, splits)
        if options.label_counts is None
        else options.label_counts,
        log=RunLog(output / "runs.jsonl", about),
    )
    results.to_json(output / "phenotype.json")
    if len(results.label_counts) > 1:
        plot_phenotypes(results, output / "phenotype.png")
        _write(labels_saved(results), output / "labels_saved.json")
    else:
        results.figure(output / "phenotype.png")
    _write(gains_over_scratch(results), output / "over_scratch.json")
    return results


def usual_label_counts(labels: Labels, splits: Sequence[Split]) -> tuple[float | int, ...]:
    """Return one label a class, and those of `LABEL_SHARES` that are ten labels or more."""
    train = min((len(split.train) for split in splits), default=0)
    shares = [s for s in LABEL_SHARES if s == ALL or round(s * train) >= _FEWEST_LABELS]
    one_each = len(labels.classes)
    taken = {round(share * len(split.train)) for share in shares for split in splits}
    if labels.task != MULTICLASS or one_each in taken or one_each >= train:
        return tuple(shares)
    return one_each, *shares


def _write(found: dict, path: Path) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def phenotype_predictors(
    matrix: ExpressionMatrix, folder: Path, options: PhenotypeOptions, task: str = MULTICLASS
) -> dict[str, Predictor]:
    """Every predictor of a comparison by name; the first, on components, is the reference.

    Of survival these are Cox models of features, and networks trained by Cox's loss; of classes,
    boosting and neighbours too. Pre-trained encoders lie in the folder.
    """
    if task == SURVIVAL:
        head, linear, on_components = "Cox", Cox, COX_ON_COMPONENTS
    else:
        head, linear, on_components = "logistic", Linear, ON_COMPONENTS
    values = matrix.values if isinstance(matrix.values, np.ndarray) else matrix.values.toarray()
    ranks = ExpressionProcessor(transform="ranks")._transform(values).astype(np.float32)
    pca = fitted_to_train(values, principal_components)
    of_ranks = fitted_to_train(ranks, principal_components)
    variable = fitted_to_train(values, most_variable)
    projected = fitted_to_train(values, random_projection)
    predictors: dict[str, Predictor] = {
        f"PCA-{COMPONENTS} + {head}": OnFeatures(pca, on_components),
        f"ranks + PCA-{COMPONENTS} + {head}": OnFeatures(of_ranks, on_components),
        f"{VARIABLE_GENES:,} most variable genes + {head}": OnFeatures(variable, linear),
        f"random projection to {COMPONENTS} + {head}": OnFeatures(projected, linear),
    }
    if options.controls and task != SURVIVAL:
        predictors["boosting"] = OnFeatures(pca, Boosting)
    if task != SURVIVAL:
        predictors["nearest neighbours"] = OnFeatures(pca, Neighbours)
    processed = Processed(matrix, values, options)
    predictors[f"untrained encoder + {head}"] = OnFeatures(encoded(processed, None), linear)
    predictors[FROM_SCRATCH] = FineTuned(processed, None)
    encoders: dict[str, Callable[[Fold], Path]] = {
        method: Pretrained(processed, method, folder) for method in options.methods
    }
    if options.model is not None:
        given = options.model
        encoders[given.resolve().name] = lambda fold: given
    for method, pretrained in encoders.items():
        frozen = encoded(processed, pretrained)
        predictors[f"{method}, frozen + {head}"] = OnFeatures(frozen, linear)
        predictors[f"{method}, fine-tuned"] = FineTuned(processed, pretrained)
    return predictors


class PerFold:
    """Features (n, width) of all rows that depend on the fold; some folds' are kept.

    A comparison comes back to every fold with each number of labels.
    """

    def __init__(self, make: Callable[[Fold], np.ndarray]):
        self.make, self._kept = make, {}

    def __call__(self, fold: Fold) -> np.ndarray:
        """Features, (n, width)."""
        key = (fold.seed, fold.test.tobytes())
        if key not in self._kept:
            found = self.make(fold)
            while self._kept and (len(self._kept) + 1) * found.nbytes > _KEPT_BYTES:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = found
        return self._kept[key]


def fitted_to_train(values: np.ndarray, make: Callable) -> PerFold:
    """Return features that `make` makes of values (n, genes), row numbers of train, and a seed."""
    return PerFold(lambda fold: make(values, train_side(fold, len(values)), fold.seed))


def train_side(fold: Fold, n: int) -> np.ndarray:
    """Row numbers of all but the test rows."""
    return np.setdiff1d(np.arange(n), fold.test)


def standardised(values: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
    """z-scores by the train side, clipped to ±10; genes constant there are 0."""
    mean, spread = values[side].mean(0), values[side].std(0)
    return np.clip((values - mean) / np.where(spread > 0, spread, np.inf), -CLIP, CLIP)


def principal_components(values: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
    """Scores of the principal components of z-scores."""
    from sklearn.decomposition import PCA

    z = standardised(values, side, seed)
    n = min(COMPONENTS, len(side) - 1, z.shape[1])
    scores = PCA(n, random_state=seed).fit(z[side]).transform(z)
    return scores.astype(np.float32)


def most_variable(values: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
    """z-scores of the genes of the greatest variance in the train side."""
    order = np.argsort(-values[side].var(0), kind="stable")[:VARIABLE_GENES]
    return standardised(values[:, np.sort(order)], side, seed)


def random_projection(values: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
    """z-scores projected at random."""
    z = standardised(values, side, seed)
    directions = np.random.default_rng(seed).normal(size=(z.shape[1], COMPONENTS))
    return (z @ (directions / np.sqrt(z.shape[1]))).astype(np.float32)


@dataclass(frozen=True)
class OnFeatures:
    """A predictor on features of all rows, (n, width), that are made for each fold."""

    features: Callable[[Fold], np.ndarray]
    predictor: Callable = Linear

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it."""
        found = self.predictor(self.features(fold))(fold)
        return found if isinstance(found, Prediction) else Prediction(test=found)


class Processed:
    """What encoders take, by a processor fitted to the train side of each fold."""

    def __init__(self, matrix: ExpressionMatrix, values: np.ndarray, options: PhenotypeOptions):
        self.matrix, self.values, self.options = matrix, values, options
        self.features = fitted_to_train(values, self._make)

    def processor(self, side: np.ndarray) -> ExpressionProcessor:
        """Fitted to some rows."""
        return ExpressionProcessor.fit(
            self.values[side],
            self.matrix.genes,
            n_genes=self.options.n_genes,
            transform=self.options.transform,
            clip=CLIP,
        )

    def by(self, folder: Path) -> np.ndarray:
        """What the processor of a model makes of all rows; too few genes are an InputError."""
        processor = ExpressionProcessor.from_pretrained(folder)
        try:
            return processor(self.values, self.matrix.genes)["values"]
        except ValueError as error:
            raise InputError(f"{folder}: {error}") from None

    def _make(self, values: np.ndarray, side: np.ndarray, seed: int) -> np.ndarray:
        return self.processor(side)(values, self.matrix.genes)["values"]


class Pretrained:
    """Encoders pre-trained by train.py on the train side of each fold, kept in a folder."""

    def __init__(self, processed: Processed, method: str, folder: Path):
        self.processed, self.method, self.folder = processed, method, folder

    def __call__(self, fold: Fold) -> Path:
        """The model folder of a fold; it is trained if it is not there, or not to its end."""
        matrix, options = self.processed.matrix, self.processed.options
        side = train_side(fold, len(matrix.samples))
        # Of the test rows themselves: an encoder of another fold has seen them.
        name = f"{fold.seed}-{hashlib.sha256(fold.test.tobytes()).hexdigest()[:16]}"
        data = self.folder / "data" / f"{name}.parquet"
        if not data.exists():
            write_matrix([replace(matrix.select(side), obs={})], data)
        output = self.folder / self.method / name
        if (output / "model.safetensors").exists():
            return output
        keys = {
            "objective": "expression",
            "data": str(data),
            "output": str(output),
            "n_genes": options.n_genes,
            "transform": options.transform,
            "held_out_fraction": 0.1,
            "optimizer": "adam",
            "weight_decay": 0.0,
            "batch_size": 128,
            "evaluate_every": 200,
            "checkpoint_every": 10_000,
            "tracker": None,
            "seed": fold.seed,
        }
        recipe = check_recipe(
            keys | METHODS[self.method] | options.recipe, ExpressionRecipe, self.method
        )
        with hold_output(recipe.output), StopRequest() as stop:
            train(recipe, stop)
        return output


def encoded(processed: Processed, pretrained: Callable[[Fold], Path] | None) -> PerFold:
    """Return embeddings by an encoder, float32 (n, hidden), pre-trained or with random weights."""

    def embed(fold: Fold) -> np.ndarray:
        if pretrained is None:
            features = processed.features(fold)
            model = seeded(lambda: ExpressionModel(_config(features)), fold.seed).eval()
        else:
            folder = pretrained(fold)
            model = ExpressionModel.from_pretrained(folder).eval()
            features = processed.by(folder)
        with torch.inference_mode():
            return model(torch.from_numpy(features).to(model.device)).pooler_output.cpu().numpy()

    return PerFold(embed)


def _config(features: np.ndarray, **more) -> ExpressionConfig:
    return ExpressionConfig(n_genes=features.shape[1], **more)


class _Logits(nn.Module):
    """A model of phenotypes as the training loop takes it: a tensor in, logits out."""

    def __init__(self, model: ExpressionForSequenceClassification):
        super().__init__()
        self.model = model

    @property
    def classifier(self) -> nn.Linear:
        """The last layer."""
        return self.model.classifier

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(batch, genes) to (batch, outputs)."""
        return self.model(values).logits


class FineTuned:
    """The network trained on labels, from pre-trained weights or from scratch."""

    def __init__(self, processed: Processed, pretrained: Callable[[Fold], Path] | None):
        self.processed, self.pretrained = processed, pretrained

    def __call__(self, fold: Fold) -> Prediction:
        """Fit to a fold and predict it."""
        settings = NETWORK if self.pretrained is None else FINE_TUNED
        if self.pretrained is None:
            features, trained = self.processed.features(fold), None
        else:
            folder = self.pretrained(fold)
            trained = ExpressionModel.from_pretrained(folder)
            features = self.processed.by(folder)
        config = _config(features) if trained is None else trained.config
        config.num_labels = outputs_of(fold)
        network = seeded(lambda: ExpressionForSequenceClassification(config), fold.seed)
        if trained is not None:
            network.expression.load_state_dict(trained.state_dict())
        model = _Logits(network)
        few = max(3, min(settings.batch_size, len(fold.train)))
        fit(model, features, fold, settings.model_copy(update={"batch_size": few}), progress=False)
        return predict_fold(model, features, fold, 1 << 20)
