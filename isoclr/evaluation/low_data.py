"""How well a number is predicted from few labels and from many, by a model and its controls."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, few_rows
from data_builders.records import InputError
from isoclr.evaluation.controls import TOGETHER, boosting, control_features
from isoclr.evaluation.embed import load_model
from isoclr.evaluation.features import kmer_frequencies, structure_features
from isoclr.evaluation.finetune import embed_rows, frozen_head, split_rows, train_network
from isoclr.evaluation.linear import ALPHAS, METRICS, fit_and_score, score_numbers
from isoclr.evaluation.run import read_labelled
from isoclr.evaluation.statistics import aligned, mean_and_half_width, paired_gain, plus_minus
from isoclr.evaluation.supervised import (
    DEFAULTS,
    REGRESSION,
    Settings,
    fit_and_predict,
    predict,
    tokenize,
    untrained,
)
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer

# Name on the command line -> in tables and figures.
METHODS = {
    "probe": "linear probe",
    "finetune": "fine-tuned",
    "scratch": "from scratch",
    "random": "ridge, random weights",
    "structure": "ridge, structure",
    "codons": "ridge, codons + structure",
    "kmers": "ridge, structure + k-mers 1-6",
    "boosting": "gradient boosting",
    "saluki": "Saluki-like network",
}
FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
FEWEST_LABELS = 4

_SCORES = METRICS[:3]
# The model's own solid; the same shape without pre-training dashed; what needs no encoder dotted.
_STYLES = {
    "probe": ("#1f4e79", "-"),
    "finetune": ("#2f8fd0", "-"),
    "scratch": ("#c0562b", "--"),
    "random": ("#7a7a7a", "--"),
    "structure": ("#b5a51c", ":"),
    "codons": ("#3f7f3f", ":"),
    "kmers": ("#9acb7c", ":"),
    "boosting": ("#8a5ba8", ":"),
    "saluki": ("#d98841", "--"),
}


@dataclass(frozen=True)
class Run:
    """One method on the labels of one fraction and seed.

    Attributes:
        method: of METHODS.
        fraction: of the train rows whose labels are known.
        seed: of the split, of which rows are known, and of weights and training.
        labels: known train rows.
        validation: known validation rows.
        scores: "pearson", "spearman" and "mse" on all test rows.
        seconds: that it took; the first of a method also made its features.
    """

    method: str
    fraction: float
    seed: int
    labels: int
    validation: int
    scores: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class LowDataCurve:
    """Scores of methods over the number of labels.

    Attributes:
        about: what the runs have in common: "label", "rows", "groups", "split", "max_length",
            "cropped", "settings" and "fingerprint" of the model and the labels.
        runs: all that were made.
    """

    about: dict
    runs: tuple[Run, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Those with a run, in the order of METHODS."""
        there = {run.method for run in self.runs}
        return tuple(method for method in METHODS if method in there)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Those with a run, ascending."""
        return tuple(sorted({run.fraction for run in self.runs}))

    def labels(self, fraction: float) -> int:
        """Known train rows, the mean over seeds."""
        return round(float(np.mean([r.labels for r in self.runs if r.fraction == fraction])))

    def values(self, method: str, fraction: float, metric: str = "pearson") -> dict[int, float]:
        """Seed to score."""
        return {
            run.seed: run.scores[metric]
            for run in sorted(self.runs, key=lambda run: run.seed)
            if (run.method, run.fraction) == (method, fraction)
        }

    def mean(self, method: str, fraction: float, metric: str = "pearson"):
        """Mean over seeds and half the width of its 95 % interval; None of fewer than two runs."""
        values = list(self.values(method, fraction, metric).values())
        return mean_and_half_width(values) if len(values) > 1 else None

    def gain(self, method: str, fraction: float):
        """What the first method has over another in Pearson r, paired by seed; see `paired_gain`.

        None where fewer than two seeds have both.
        """
        first, other = (self.values(name, fraction) for name in (self.methods[0], method))
        seeds = sorted(first.keys() & other.keys())
        if len(seeds) < 2:
            return None
        return paired_gain([first[seed] for seed in seeds], [other[seed] for seed in seeds])

    def title(self) -> str:
        """What the scores are of."""
        about, cropped = self.about, ""
        if about["cropped"]:
            cropped = f", {about['cropped']:,} cropped to {about['max_length']:,} nt"
        return (
            f"{about['label']}: {about['rows']:,} transcripts{cropped}, {about['groups']:,} "
            f"homology groups, {about['split']} split, {self._seeds()} seeds"
        )

    def _seeds(self) -> str:
        """How many a mean is of: "3", or "2 to 5" where methods have unlike numbers."""
        counts = Counter((run.method, run.fraction) for run in self.runs).values()
        return " to ".join(map(str, sorted({min(counts), max(counts)})))

    def table(self) -> str:
        """Pearson r, a line a method, a column a number of labels, for reading."""
        lines = [("Pearson r with labels", *(f"{self.labels(f):,}" for f in self.fractions))]
        for method in self.methods:
            means = [self.mean(method, fraction) for fraction in self.fractions]
            lines.append((METHODS[method], *(plus_minus(*m) if m else "" for m in means)))
        return "\n".join([self.title(), aligned(lines)])

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes every run, and the summary that `mean` and `gain` give, as one JSON object."""
        summary = {
            METHODS[method]: [
                {
                    "fraction": fraction,
                    "labels": self.labels(fraction),
                    **{metric: self.mean(method, fraction, metric) for metric in _SCORES},
                    f"gain of {METHODS[self.methods[0]]}": self.gain(method, fraction),
                }
                for fraction in self.fractions
                if self.values(method, fraction)
            ]
            for method in self.methods
        }
        content = {**self.about, "runs": [asdict(run) for run in self.runs], "summary": summary}
        with open(path, "w") as file:
            json.dump(content, file, indent=1, allow_nan=False)
            file.write("\n")


def low_data(
    encoder: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    labels: LabelSet,
    output: Path,
    *,
    methods: Sequence[str] = tuple(METHODS),
    fractions: Sequence[float] = FRACTIONS,
    seeds: Sequence[int] = SEEDS[:3],
    split: Literal["homology", "random"] = "homology",
    settings: Settings = DEFAULTS,
    max_length: int | None = None,
    progress: bool = True,
) -> LowDataCurve:
    """Predicts a number from a part of the labels by a model and its controls.

    The known rows of a smaller fraction are among those of a larger one. Of the validation rows the
    same fraction is known, but at least ten: few labels are few for those who stop by them too.
    The test rows are all rows of the split. Each finished run is a line of `runs.jsonl` in
    `output`, and is not made again; the result has those of earlier calls too.

    Args:
        encoder: as `load_model` gives it; it stays as it is.
        tokenizer: of the encoder.
        labels: n transcripts with a number and a homology group each.
        output: folder of `runs.jsonl`.
        methods: of METHODS.
        fractions: of the train rows.
        seeds: of the splits, of which rows are known, and of weights and training.
        split: "homology" keeps every homology group on one side, "random" ignores them.
        settings: of the networks.
        max_length: longer transcripts are cropped for the networks, around the centre of their
            CDS, in nt; codons, structure and k-mers are those of whole transcripts.
        progress: show bars.

    Raises:
        InputError: labels of classes, an unknown method, a fraction that leaves fewer than four
            labels or is over 1, runs in `output` of something else, or as in `fit`.
    """
    if labels.classes:
        raise InputError(
            f"{labels.label}: got classes, wanted a number: the curve is of regression"
        )
    for method in methods:
        if method not in METHODS:
            raise InputError(f"method: got '{method}', wanted some of {', '.join(METHODS)}")
    rows, cropped = tokenize(tokenizer, labels.transcripts, max_length)
    about = {
        "label": labels.label,
        "rows": len(rows),
        "groups": len(set(labels.groups)),
        "split": split,
        "max_length": max_length,
        "cropped": cropped,
        "settings": asdict(settings),
        "fingerprint": _fingerprint(encoder, labels),
    }
    log = _RunFile(output / "runs.jsonl", about)
    predictors = _predictors(encoder, labels, rows, settings, progress)
    todo = []
    for seed in seeds:
        sides = split_rows(labels, split, seed)
        for fraction in fractions:
            size = _known(fraction, len(sides[0]))
            parts = *few_rows(*sides[:2], size, seed), sides[2]
            todo += [(method, fraction, seed, *parts) for method in methods]
    done = {(run.method, run.fraction, run.seed) for run in log.runs}
    # The quick first: what there is after an hour should say as much as it can.
    todo = sorted((t for t in todo if t[:3] not in done), key=lambda t: (t[1], t[2]))
    with tqdm(todo, desc="low data", unit="run", disable=not progress) as bar:
        for method, fraction, seed, train, validation, test in bar:
            bar.set_postfix_str(f"{METHODS[method]}, {len(train)} labels")
            began = time.perf_counter()
            scores = predictors[method](train, validation, test, seed)
            seconds = round(time.perf_counter() - began, 1)
            sizes = len(train), len(validation)
            log.write(Run(method, fraction, seed, *sizes, scores, seconds))
    order = list(METHODS)
    runs = sorted(log.runs, key=lambda run: (order.index(run.method), run.fraction, run.seed))
    return LowDataCurve(about, tuple(runs))


def low_data_of_model(
    model: str | os.PathLike,
    labels: str | os.PathLike,
    label: str | None,
    output: Path,
    *,
    isoform_groups: str | os.PathLike | None = None,
    homology: str | os.PathLike | Sequence | None = None,
    taxonomy: int = 9606,
    **options,
) -> LowDataCurve:
    """The curve of a model on a file of labels.

    Writes `low_data.json` and `low_data.png`, and `runs.jsonl`, from which it goes on.

    Args:
        model: as `load_model` takes it.
        labels: as `read_labelled` takes it.
        label: as `read_labelled` takes it.
        output: folder to write into.
        isoform_groups: as `read_labelled` takes them.
        homology: as `read_labelled` takes it.
        taxonomy: as `read_labelled` takes it.
        options: of `low_data`.

    Raises:
        InputError: as in `load_model`, `read_labelled` and `low_data`.
    """
    known = read_labelled(
        labels, label, isoform_groups=isoform_groups, homology=homology, taxonomy=taxonomy
    )
    curve = low_data(*load_model(model), known, output, **options)
    curve.to_json(output / "low_data.json")
    plot_low_data(curve, output / "low_data.png")
    return curve


def _known(fraction: float, rows: int) -> int:
    known = round(fraction * rows) if 0 < fraction <= 1 else 0
    if known < FEWEST_LABELS:
        raise InputError(
            f"fraction: got {fraction} of {rows} train rows, wanted at least {FEWEST_LABELS} rows "
            "and at most 1"
        )
    return known


def _predictors(
    encoder: IsoCLRModel,
    labels: LabelSet,
    rows: list[np.ndarray],
    settings: Settings,
    progress: bool,
) -> dict[str, Callable]:
    """Method -> (train, validation, test, seed) -> scores on test."""
    targets, transcripts = labels.targets, labels.transcripts
    column, budget = targets[:, None], settings.fine_tuned.tokens_per_batch

    @cache
    def features(name: str) -> np.ndarray:
        if name == "embeddings":
            return embed_rows(encoder, rows, budget, progress)
        if name == "random":
            random = untrained(encoder.config, 0)
            return embed_rows(random, rows, budget, progress)
        if name == "kmers":
            kmers = kmer_frequencies(transcripts, 1, 6)
            return np.hstack([structure_features(transcripts), kmers])
        return control_features(transcripts, kmers=())[name]

    def scored(predicted, test):
        return dict(zip(_SCORES, score_numbers(predicted, targets[test]), strict=True))

    def ridge(name, train, validation, test, seed):
        scores = fit_and_score(name, features(name), targets, train, test, ALPHAS)
        return dict(zip(_SCORES, scores, strict=False))

    def trees(train, validation, test, seed):
        return scored(boosting(features(TOGETHER), targets)(train, validation, test, seed), test)

    def saluki(train, validation, test, seed):
        options = {"settings": settings.saluki_like, "progress": False}
        predicted = fit_and_predict(rows, targets, train, validation, test, seed, **options)
        return scored(predicted, test)

    def network(kind, train, validation, test, seed):
        known = column, train, validation
        options = {"problem": REGRESSION, "settings": settings, "seed": seed, "progress": False}
        head = None
        if kind == "finetune":
            head = frozen_head(features("embeddings"), *known, **options)
        model, _ = train_network(encoder, head, rows, *known, **options)
        return scored(predict(model, rows, test, budget)[:, 0], test)

    return {
        **{kind: partial(network, kind) for kind in ("finetune", "scratch")},
        "saluki": saluki,
        "probe": partial(ridge, "embeddings"),
        "codons": partial(ridge, "codons + structure"),
        **{name: partial(ridge, name) for name in ("random", "structure", "kmers")},
        "boosting": trees,
    }


class _RunFile:
    """Finished runs, a JSON line each, after a line that says what they have in common.

    Raises:
        InputError: the file's runs are of something else.
    """

    def __init__(self, path: Path, about: dict):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # A last line without its end was cut short; it does not count.
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        head = records[0] if records else about
        for key, value in about.items():
            if head.get(key) != value:
                raise InputError(
                    f"{path}: {key}: got {head.get(key)!r} in it, wanted {value!r} as in this run: "
                    "choose another output"
                )
        self.runs = [Run(**record) for record in records[1:]]
        whole = [head, *records[1:]]
        beside = path.with_name(f".{path.name}")
        beside.write_text("".join(json.dumps(record) + "\n" for record in whole))
        beside.replace(path)

    def write(self, run: Run) -> None:
        self.runs.append(run)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run), allow_nan=False) + "\n")


def _fingerprint(encoder: IsoCLRModel, labels: LabelSet) -> str:
    """Of the weights, the transcripts, their labels and their groups."""
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().to(torch.float32).numpy().tobytes())
    labels.feed(digest)
    return digest.hexdigest()[:16]


def plot_low_data(curve: LowDataCurve, path: str | os.PathLike) -> None:
    """Draws Pearson r of every method over the number of labels, with 95 % intervals.

    Args:
        curve: of `low_data`.
        path: the image to write; its suffix names the format.
    """
    figure = Figure(figsize=(8.5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i, method in enumerate(curve.methods):
        points = [(curve.labels(f), curve.mean(method, f)) for f in curve.fractions]
        points = [(n, *mean) for n, mean in points if mean is not None]
        if not points:
            continue
        n, means, half_widths = map(np.array, zip(*points, strict=True))
        # Side by side, so that intervals don't hide each other.
        n = n * 1.025 ** (i - (len(curve.methods) - 1) / 2)
        colour, line = _STYLES[method]
        style = {"fmt": "o", "ls": line, "c": colour, "ms": 4, "lw": 1.5}
        bars = {"capsize": 2, "elinewidth": 0.8}
        axes.errorbar(n, means, half_widths, **style, **bars, label=METHODS[method])
    ticks = [curve.labels(fraction) for fraction in curve.fractions]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=45)
    axes.minorticks_off()
    axes.set_xlabel("labels to train on")
    axes.set_ylabel("Pearson r on test rows")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle(f"{curve.title()}\nMean and 95 % interval.", fontsize=9, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
