"""Heads that answer: a linear model of embeddings, how sure it is, and where it was fitted."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import HfApi, snapshot_download
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from data_builders.labels.base import REGRESSION, TASK_TYPES
from data_builders.names import is_known_species, taxon
from data_builders.records import InputError, Transcript
from data_builders.storage import respect_umask
from data_builders.text import read_json
from isoclr.model_folder import HEAD_FILES, HEADS
from isoclr.repositories import hub_errors
from isoclr.shipped import DEFAULT_MODEL, resolve_model
from isoclr.statistics import Interval, aligned, plus_minus
from modeling_isoclr import IsoCLRConfig, IsoCLRForSequenceClassification, IsoCLRModel

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Shares of transcripts that an interval of a prediction is to cover."""

_FACTS, _ARRAYS, _ = HEAD_FILES
_SHAPES = ("weights", "intercept", "centre", "spread")
_READINGS = ("start_window", "residue_pairs")
_HEAD = "a head that isoclr head wrote"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a head was fitted to.

    Attributes:
        rows: labelled transcripts.
        groups: homology groups of these.
        species: of these, each once.
        ranges: "transcript", "5'UTR", "CDS" and "3'UTR" -> the lengths in nt that 99 % of the
            transcripts have; only what some have is there.
        always: what all have: of "CDS" and "known exons".
        farthest: of 99.5 % of the transcripts the embedding is nearer to the centre: the root of
            the mean square over columns in standard units.
    """

    rows: int
    groups: int
    species: tuple[str, ...]
    ranges: dict[str, tuple[int, int]]
    always: tuple[str, ...]
    farthest: float


@dataclass(frozen=True, kw_only=True)
class Head:
    """A linear model of the embeddings of one encoder.

    Attributes:
        name: of the head.
        predicts: what it predicts, for people.
        label: the column that it was fitted to.
        task: one of `data_builders.labels.base.TASK_TYPES`.
        classes: their names, of a multiclass or multilabel task.
        citation: where the measurements were published; may be empty.
        model: name of the encoder.
        encoder: `weights_digest` of the encoder.
        start_window: nt before the start codon that the encoder also reads by distance for this
            head, see `IsoCLRConfig`; 0: it is as the model has it.
        residue_pairs: whether it also reads pairs of neighbouring residues for this head.
        alpha: penalty.
        training: what it was fitted to.
        half_widths: share of transcripts, as text -> half the width of the interval that covers it,
            in units of the label; empty unless the label is a number.
        held_out: metric -> mean over splits and half-width of its interval, in which "coverage 0.9"
            is that of the intervals of that share.
        weights: of the columns as they are, (width, outputs).
        intercept: (outputs,).
        centre: of the columns over the training transcripts, (width,).
        spread: their standard deviation there, 0 of a constant, (width,).
    """

    name: str
    predicts: str
    label: str
    task: str
    classes: tuple[str, ...] = ()
    citation: str = ""
    model: str
    encoder: str
    start_window: int = 0
    residue_pairs: bool = False
    alpha: float
    training: Training
    half_widths: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, Interval] = field(default_factory=dict)
    weights: np.ndarray
    intercept: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    @property
    def readings(self) -> dict[str, int]:
        """What the encoder reads for this head and not by itself, as `read_also` takes it."""
        return {name: value for name in _READINGS if (value := getattr(self, name))}

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output is called: the classes, or the label."""
        return self.classes or (self.label,)

    def values(self, embeddings: np.ndarray) -> np.ndarray:
        """Return numbers, or the probability of yes or of each class: float64 (n, outputs)."""
        values = np.asarray(embeddings, np.float64) @ self.weights + self.intercept
        if self.task == REGRESSION:
            return values
        if self.task == "multiclass":
            shifted = np.exp(values - values.max(axis=1, keepdims=True))
            return shifted / shifted.sum(axis=1, keepdims=True)
        return 1 / (1 + np.exp(-values))

    def warnings(self, embeddings: np.ndarray, transcripts: Sequence[Transcript]) -> list[str]:
        """Say of each transcript in what it is unlike those that the head was fitted to.

        Args:
            embeddings: (n, width), of the head's encoder.
            transcripts: n of them.

        Returns:
            n texts, empty where nothing is unlike.
        """
        distances = distances_from_centre(embeddings, self.centre, self.spread)
        species = {taxon(name) for name in self.training.species}
        return [
            "; ".join(self._unlike(transcript, species, distance))
            for transcript, distance in zip(transcripts, distances, strict=True)
        ]

    def _unlike(self, transcript: Transcript, species: set[str], distance: float) -> list[str]:
        found, sizes = [], region_sizes(transcript)
        if is_known_species(transcript.species) and taxon(transcript.species) not in species:
            found.append(f"of {transcript.species}, fitted to {', '.join(self.training.species)}")
        if "CDS" in self.training.always and "CDS" not in sizes:
            found.append("no CDS, all of training have one")
        if "known exons" in self.training.always and transcript.exon_junctions is None:
            found.append("exons unknown, known of all of training")
        for part, size in sizes.items():
            if part not in self.training.ranges:
                found.append(f"a {part}, none of training has one")
                continue
            low, high = self.training.ranges[part]
            if not low <= size <= high:
                found.append(f"{part} of {size} nt, 99 % of training have {low} to {high}")
        if distance > self.training.farthest:
            found.append(
                f"embedding at a distance of {distance:.2f}, 99.5 % of training are within "
                f"{self.training.farthest:.2f}"
            )
        return found


def weights_digest(encoder: IsoCLRModel) -> str:
    """Return a digest of an encoder's weights and what it reads; a head belongs to one."""
    digest = hashlib.sha256()
    if encoder.config.start_window:
        digest.update(f"start_window {encoder.config.start_window}".encode())
    if encoder.config.residue_pairs:
        digest.update(b"residue_pairs")
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().float().numpy().tobytes())
    return digest.hexdigest()


def heads_of(model: str | os.PathLike = DEFAULT_MODEL) -> dict[str, Path]:
    """Return the folder of each head that a model brings, by name; the Hub's are downloaded."""
    source = resolve_model(model)
    folder = Path(source)
    if not folder.is_dir():
        with hub_errors(str(source), HfApi().endpoint):
            folder = Path(snapshot_download(str(source), allow_patterns=f"{HEADS}/*"))
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"{HEADS}/*/{_FACTS}"))}


def number_heads(model: str | os.PathLike = DEFAULT_MODEL) -> dict[str, Head]:
    """Return the heads that predict a number from the embeddings of a model as it is, by name."""
    heads = {name: read_head(folder) for name, folder in heads_of(model).items()}
    return {
        name: head for name, head in heads.items() if head.task == REGRESSION and not head.readings
    }


def find_head(head: str | os.PathLike, model: str | os.PathLike = DEFAULT_MODEL) -> Path:
    """Return the folder of a head by its name, or the folder that is given."""
    if (Path(head) / _FACTS).is_file():
        return Path(head)
    known = heads_of(model)
    if str(head) not in known:
        raise InputError(
            f"head '{head}': no such folder, and {model} has "
            f"{', '.join(known) or 'no heads'}, wanted one of them or {_HEAD}"
        )
    return known[str(head)]


def write_head(head: Head, folder: Path) -> None:
    """Write `head.json` and `head.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(getattr(head, name)) for name in _SHAPES}
    save_file(arrays, folder / _ARRAYS)
    respect_umask(folder / _ARRAYS)
    text = json.dumps(facts_of(head), indent=1, ensure_ascii=False)
    (folder / _FACTS).write_text(text + "\n", "utf-8")


def facts_of(head: Head) -> dict:
    """Return all that a head says of itself but its weights, for JSON."""
    return {name: value for name, value in asdict(head).items() if name not in _SHAPES}


def read_head(folder: str | os.PathLike) -> Head:
    """Read what `write_head` wrote; what is damaged, or does not fit together, is an InputError."""
    path, arrays = Path(folder) / _FACTS, Path(folder) / _ARRAYS
    wanted = [f.name for f in fields(Head) if f.name not in (*_SHAPES, *_READINGS)]
    facts = read_json(path, wanted, _HEAD)  # heads of before lack readings
    try:
        facts["training"] = _read_training(**facts["training"])
        facts["classes"] = tuple(map(str, facts["classes"]))
        facts["half_widths"] = {key: float(value) for key, value in facts["half_widths"].items()}
        facts["held_out"] = {key: (a, b) for key, (a, b) in facts["held_out"].items()}
        found = load_file(arrays)
        shaped: dict[str, Any] = {name: found[name] for name in _SHAPES}
        head = Head(**facts, **shaped)
    except (TypeError, ValueError, LookupError, AttributeError, SafetensorError) as error:
        raise InputError(f"{folder}: got '{' '.join(str(error).split())}', wanted {_HEAD}") from (
            error
        )
    if head.task not in TASK_TYPES:
        raise InputError(f"{path}: task: got '{head.task}', wanted one of {', '.join(TASK_TYPES)}")
    width, outputs = head.centre.size, len(head.outputs)
    shapes = {"weights": (width, outputs), "intercept": (outputs,)}
    shapes |= {"centre": (width,), "spread": (width,)}
    for name, shape in shapes.items():
        array = getattr(head, name)
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(
                f"{arrays}: {name}: got {array.dtype} {array.shape}, wanted finite numbers {shape}"
            )
    return head


def _read_training(*, species, always, ranges, **others) -> Training:
    """Make a `Training` of what JSON has: lists for tuples."""
    return Training(
        species=tuple(map(str, species)),
        always=tuple(map(str, always)),
        ranges={part: (int(low), int(high)) for part, (low, high) in ranges.items()},
        **others,
    )


def with_head(encoder: IsoCLRModel, head: Head) -> IsoCLRForSequenceClassification:
    """Return the encoder with the head as its classification head, which gives the same numbers.

    The logits are numbers of a regression, and logits of classes. Arithmetic is float32 there, so
    they agree with `Head.values` to rounding.
    """
    problem = {REGRESSION: REGRESSION, "multiclass": "single_label_classification"}
    names = dict(enumerate(head.outputs))
    of_head = {
        "classifier_hidden_size": 0,
        # Beside `num_labels`, transformers warns of the encoder's own names, two by default.
        "id2label": names,
        "label2id": {name: number for number, name in names.items()},
    }
    config = IsoCLRConfig.from_dict({**encoder.config.to_dict(), **of_head})
    config.problem_type = problem.get(head.task, "multi_label_classification")
    classifier = IsoCLRForSequenceClassification(config).eval()
    classifier.isoclr.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        classifier.classifier.weight.copy_(torch.from_numpy(head.weights.T))
        classifier.classifier.bias.copy_(torch.from_numpy(head.intercept))
    return classifier


def table_of(heads: Sequence[Head]) -> str:
    """Return what heads predict and how well, one aligned line each, for reading."""
    lines = [("head", "labels", "species", "held-out score", "90 % intervals cover")]
    for head in heads:
        metric = next(iter(head.held_out))
        cover = head.held_out.get("coverage 0.9")
        lines.append(
            (
                head.name,
                f"{head.training.rows:,}",
                ", ".join(head.training.species),
                f"{metric} {plus_minus(*head.held_out[metric])}",
                plus_minus(*cover) if cover else "",
            )
        )
    return aligned(lines)


def region_sizes(transcript: Transcript) -> dict[str, int]:
    """Lengths of the transcript and, with a CDS, of its regions, in nt."""
    sizes = {"transcript": len(transcript.sequence)}
    if transcript.cds_start >= 0:
        sizes["5'UTR"] = transcript.cds_start
        sizes["CDS"] = transcript.cds_end - transcript.cds_start
        sizes["3'UTR"] = len(transcript.sequence) - transcript.cds_end
    return sizes


def distances_from_centre(
    embeddings: np.ndarray, centre: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Root of the mean square over the columns that vary, in standard units: (n,)."""
    varies = spread > 0
    units = (np.asarray(embeddings, np.float64)[:, varies] - centre[varies]) / spread[varies]
    return np.sqrt((units**2).mean(axis=1)) if varies.any() else np.zeros(len(embeddings))
