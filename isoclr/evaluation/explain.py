"""What a prediction owes to each base: input gradients, and mutations made in silico."""

import json
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from data_builders.labels.base import BINARY, MULTILABEL, REGRESSION
from data_builders.labels.label_set import LabelSet
from data_builders.labels.splits import SEEDS, make_splits
from data_builders.records import InputError, Transcript
from isoclr.evaluation.compare import compare, fold_of
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.figures_explain import plot_explanation
from isoclr.evaluation.heads import Head, find_head, read_head, weights_digest, with_head
from isoclr.evaluation.linear import Linear, LinearModel
from isoclr.evaluation.networks import tokenize
from isoclr.evaluation.readings import encoder_of
from isoclr.evaluation.scores import METRICS
from isoclr.pretrained import load_model, load_pretrained, on_device
from isoclr.progress import Progress
from isoclr.progress import progress as progress_bar
from isoclr.shipped import resolve_model
from isoclr.statistics import aligned
from modeling_isoclr import IsoCLRForSequenceClassification, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import BASES, CODON_START_BIT, EXON_END_BIT
from modeling_isoclr.tokenization_isoclr import padded_length

REGIONS = ("5'UTR", "CDS", "3'UTR")
_NO_CDS = "no CDS"
_BASE = 7  # the bits of a token that are not marks
_Network = TypeVar("_Network", bound=PreTrainedModel)


@dataclass(frozen=True)
class Score:
    """A number that a network says of a transcript.

    Attributes:
        name: what it is.
        network: in evaluation mode, in float32 or float64.
        read: from the network's output to (batch,).
        quality: how well it predicts transcripts that it did not learn from, metric -> value; empty
            where that is not known. What a poor predictor goes by says little.
        learned_from: sequences whose label it was fitted to, as far as known.
    """

    name: str
    network: PreTrainedModel
    read: Callable[..., torch.Tensor]
    quality: dict[str, float] = field(default_factory=dict)
    learned_from: frozenset[str] = frozenset()

    def __call__(self, **inputs) -> torch.Tensor:
        """`input_ids` or `inputs_embeds` of unpadded rows of one length to (batch,)."""
        return self.read(self.network(**inputs))


def probe_score(
    encoder: IsoCLRModel,
    tokenizer: IsoCLRTokenizer,
    labels: LabelSet,
    class_name: str | None = None,
    *,
    progress: bool = True,
) -> Score:
    """Score what a linear probe predicts: a number in the label's units, or the logit of a class.

    The probe learns from the train side of a homology split, and its quality is that on the test
    side. A class that is not there, and one value for all of train or test, are an InputError.
    """
    encoder = _in_full_precision(encoder)
    name = class_name or labels.label
    column = _column(class_name, labels.classes, labels.label)
    if labels.classes:  # a probe of one class alone
        targets = labels.targets == column
        if labels.task == MULTILABEL:
            targets = labels.targets[:, column]
        labels = replace(labels, label=name, task=BINARY, targets=targets, classes=())
    x = embed_transcripts(encoder, tokenizer, labels.transcripts, progress=progress)
    (split,) = make_splits(labels, seeds=SEEDS[:1])
    probe = Linear(x)
    (run,) = compare({"probe": probe}, labels, [split], progress=False).runs
    head = _linear_layer(probe.fit(fold_of(labels, split))).to(encoder.device)
    shown = ("auroc", "auprc") if labels.task == BINARY else METRICS[REGRESSION]
    return Score(
        f"linear probe of {name}",
        encoder,
        lambda output: head(output.pooler_output)[:, 0],
        {metric: run.scores[metric] for metric in shown},
        frozenset(labels.transcripts[row].sequence for row in split.train),
    )


def _linear_layer(model: LinearModel) -> nn.Linear:
    """A fitted linear model as a layer on raw features."""
    weights, intercept = model.on_raw_features()
    layer = nn.Linear(*weights.shape).requires_grad_(False)
    layer.weight.copy_(torch.from_numpy(weights.T))
    layer.bias.copy_(torch.from_numpy(intercept))
    return layer


def head_score(network: IsoCLRForSequenceClassification, class_name: str | None = None) -> Score:
    """Score what a fine-tuned network predicts: a number in the label's units, or a class's logit.

    The class is None where there is one label; one that is not there is an InputError.
    """
    names = tuple(network.config.id2label[i] for i in range(network.config.num_labels))
    only = names[0]
    column = _column(class_name, names if len(names) > 1 else (), only)
    return Score(
        f"fine-tuned prediction of {names[column]}",
        _in_full_precision(network),
        lambda output: output.logits[:, column],
    )


def ready_score(encoder: IsoCLRModel, head: Head, class_name: str | None = None) -> Score:
    """Score what a ready-made head predicts: a number in its units, or a class's logit.

    Args:
        encoder: that of the head.
        head: as `read_head` gives it.
        class_name: of a head with several outputs, the one to score.

    Raises:
        InputError: a head of another encoder, or a class that is not there.
    """
    if head.encoder != weights_digest(encoder):
        raise InputError(
            f"head '{head.name}': got one of another encoder, wanted one of this model"
        )
    score = head_score(with_head(encoder, head), class_name)
    output = class_name or head.outputs[0]
    quality = {
        name: mean for name, (mean, _) in head.held_out.items() if not name.startswith("coverage")
    }
    return replace(score, name=f"{head.name}: {output}", quality=quality)


def similarity_score(encoder: IsoCLRModel, tokenizer: IsoCLRTokenizer, other: Transcript) -> Score:
    """Score the cosine similarity of the embedding to that of another transcript."""
    encoder = _in_full_precision(encoder)
    embedding = torch.from_numpy(encoder.embed(tokenize(tokenizer, [other])[0])[0])
    embedding = embedding.to(encoder.device)
    return Score(
        f"similarity to {other.transcript_id}",
        encoder,
        lambda output: torch.cosine_similarity(output.pooler_output, embedding, dim=1),
    )


def input_gradients(score: Score, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of a score along each track at each nucleotide, and the tracks.

    Twice (length, n_tracks): A C G T, codon starts, exon ends. Their product is gradient × input.
    """
    tracks = _tracks(score.network, tokens).requires_grad_()
    (gradient,) = torch.autograd.grad(score(inputs_embeds=tracks).sum(), tracks)
    return gradient[0].cpu().numpy(), tracks[0].detach().cpu().numpy()


def mutate(
    score: Score,
    tokens: np.ndarray,
    positions: Sequence[int] | None = None,
    *,
    tokens_per_batch: int = 1 << 16,
    progress: bool = True,
) -> np.ndarray:
    """Return how each substitution of one base changes a score: in-silico mutagenesis.

    Marks of codon starts and exon ends stay where they are, also where a substitution makes or
    breaks a start or stop codon. The cost is that of three passes of the transcript for each
    position, so it grows with the square of the length.

    Args:
        score: of what.
        tokens: of one transcript, uint8 (length,).
        positions: where, 0-based; None: everywhere.
        tokens_per_batch: nucleotides that go through the network at once.
        progress: show a bar of substitutions.

    Returns:
        float64 (length, 4), for A C G T: score with that base minus score as it is. 0 for the base
        that is there; NaN at other positions, and where N is.
    """
    chosen = np.arange(len(tokens)) if positions is None else np.asarray(positions)
    chosen = chosen[(tokens & _BASE)[chosen] < BASES]
    effects = np.full((len(tokens), BASES), np.nan)
    effects[chosen] = 0
    where = np.repeat(chosen, BASES)
    bases = np.tile(np.arange(BASES, dtype=np.uint8), len(chosen))
    other = bases != tokens[where] & _BASE
    where, bases = where[other], bases[other]
    with _bar(len(where), progress) as bar:
        changed = tokens[where] & ~np.uint8(_BASE) | bases
        effects[where, bases] = _changes(score, tokens, where, changed, tokens_per_batch, bar)
    return effects


def exon_end_contributions(
    score: Score, tokens: np.ndarray, *, tokens_per_batch: int = 1 << 16
) -> np.ndarray:
    """Return what each mark of an exon's end adds to a score: the score less that without it.

    Marks are counted by thresholds in some poolings, where no gradient passes. float64 (length,),
    NaN where no exon ends.
    """
    where = np.flatnonzero(tokens & EXON_END_BIT)
    contributions = np.full(len(tokens), np.nan)
    unmarked = tokens[where] & ~np.uint8(EXON_END_BIT)
    contributions[where] = -_changes(score, tokens, where, unmarked, tokens_per_batch)
    return contributions


def _changes(
    score: Score,
    tokens: np.ndarray,
    where: np.ndarray,
    changed: np.ndarray,
    tokens_per_batch: int,
    bar: Progress | None = None,
) -> np.ndarray:
    """How a score changes with each of n tokens changed alone: float64 (n,)."""
    rows = max(tokens_per_batch // padded_length(len(tokens)), 1)
    device = next(score.network.parameters()).device

    def value(batch: np.ndarray) -> np.ndarray:
        return score(input_ids=torch.from_numpy(batch).to(device)).double().cpu().numpy()

    changes = np.empty(len(where))
    with torch.inference_mode():
        unchanged = value(tokens[None].copy())
        for start in range(0, len(where), rows):
            part = slice(start, start + rows)
            batch = np.repeat(tokens[None], len(where[part]), axis=0)
            batch[np.arange(len(batch)), where[part]] = changed[part]
            changes[part] = value(batch) - unchanged
            if bar is not None:
                bar.update(len(batch))
    return changes


def base_contributions(effects: np.ndarray) -> np.ndarray:
    """Return what each base adds to the score beside the mean of the three others, (length,).

    That is minus the mean effect of its three substitutions, NaN where there are none.
    """
    return -effects.sum(axis=1) / (BASES - 1)


@dataclass(frozen=True)
class Explanation:
    """What a score owes to each base of a transcript.

    Attributes:
        transcript: of which.
        score: what was explained.
        value: the score of the transcript as it is.
        tokens: of the transcript, uint8 (length,).
        gradient: slopes, (length, n_tracks), see `input_gradients`.
        tracks: (length, n_tracks).
        effects: of substitutions, (length, 4), see `mutate`.
        exon_ends: contributions of their marks, (length,), see `exon_end_contributions`.
    """

    transcript: Transcript
    score: Score
    value: float
    tokens: np.ndarray
    gradient: np.ndarray
    tracks: np.ndarray
    effects: np.ndarray
    exon_ends: np.ndarray

    @property
    def gradient_x_input(self) -> np.ndarray:
        """Gradient × input, (length, n_tracks)."""
        return self.gradient * self.tracks

    @property
    def expected_effects(self) -> np.ndarray:
        """What the gradient expects of `effects`, (length, 4); exact for a linear model.

        The slope along the new base less that along the old one, so that what the slopes of all
        four bases share, which no substitution can show, cancels (Majdandzic et al. 2023).
        """
        expected = self.gradient[:, :BASES] - self.gradient_x_input[:, :BASES].sum(1, keepdims=True)
        return np.where((self.tokens & _BASE < BASES)[:, None], expected, np.nan)

    @property
    def contributions(self) -> dict[str, np.ndarray]:
        """What each base adds, "by gradient" and "by mutation", see `base_contributions`."""
        return {
            "by gradient": base_contributions(self.expected_effects),
            "by mutation": base_contributions(self.effects),
        }

    @property
    def regions(self) -> np.ndarray:
        """The region of each position: strings (length,)."""
        start, end = self.transcript.cds_start, self.transcript.cds_end
        if start < 0:
            return np.full(len(self.tokens), _NO_CDS)
        return np.repeat(REGIONS, (start, end - start, len(self.tokens) - end))

    def summary(self) -> dict:
        """Say what was explained, how gradient and mutations agree, and the share of each region.

        Returns:
            JSON's types. "agreement" is the Pearson correlation of the contributions by gradient
            and by mutation, None where either does not vary; "regions" has, of each, its positions,
            the mean size of the contributions of its bases, None where there are none, and the exon
            ends marked in it with the sum of their contributions.
        """
        by_gradient, by_mutation = self.contributions.values()
        both = np.isfinite(by_mutation)
        varies = both.any() and np.ptp(by_gradient[both]) > 0 and np.ptp(by_mutation[both]) > 0
        agreement = np.corrcoef(by_gradient[both], by_mutation[both])[0, 1] if varies else None
        names = self.regions
        regions = {}
        for name in dict.fromkeys(names.tolist()):
            here = names == name
            regions[name] = {
                "positions": int(here.sum()),
                "gradient": _mean_size(by_gradient[here]),
                "mutation": _mean_size(by_mutation[here]),
                "exon_ends": int(np.isfinite(self.exon_ends[here]).sum()),
                "exon_ends_add": float(np.nansum(self.exon_ends[here])),
            }
        return {
            "transcript_id": self.transcript.transcript_id,
            "gene_id": self.transcript.gene_id,
            "species": self.transcript.species,
            "length": len(self.tokens),
            "unknown_bases": int((self.tokens & _BASE >= BASES).sum()),
            "score": self.score.name,
            "value": self.value,
            "quality": self.score.quality,
            "learned_from_it": self.transcript.sequence in self.score.learned_from,
            "mutated_positions": int(both.sum()),
            "agreement": None if agreement is None else float(agreement),
            "regions": regions,
        }

    def title(self) -> str:
        """Say what was explained, in one line."""
        quality = ", ".join(f"{name} {value:.2f}" for name, value in self.score.quality.items())
        held_out = f" (on held-out transcripts: {quality})" if quality else ""
        return f"{self.transcript.transcript_id}: {self.score.name} {self.value:.3g}{held_out}"

    def table(self) -> str:
        """Return what `summary` says, with one aligned line a region, for reading."""
        found = self.summary()
        notes = [self.title()]
        if found["learned_from_it"]:
            notes.append("the probe was fitted to this transcript too")
        if found["agreement"] is not None:
            notes.append(
                f"gradient and mutation agree by r {found['agreement']:.3f} over "
                f"{found['mutated_positions']:,} positions"
            )
        lines: list[tuple[str, ...]] = [
            ("region", "nt", "by gradient", "by mutation", "exon ends", "they add")
        ]
        for name, region in found["regions"].items():
            sizes = (region["gradient"], region["mutation"])
            cells = ["" if size is None else f"{size:.3g}" for size in sizes]
            ends = (str(region["exon_ends"]), f"{region['exon_ends_add']:+.3g}")
            lines.append((name, f"{region['positions']:,}", *cells, *ends))
        notes.append("mean size of what a base adds beside the mean of the three others:")
        return "\n".join([*notes, aligned(lines)])

    def positions(self) -> pl.DataFrame:
        """Return one row a position, 0-based; null where nothing was computed."""
        columns = {
            "position": np.arange(len(self.tokens)),
            "base": list(self.transcript.sequence),
            "region": self.regions,
            "codon_start": self.tokens & CODON_START_BIT > 0,
            "exon_end": self.tokens & EXON_END_BIT > 0,
        }
        names = [*"ACGT", "codon_start", "exon_end"]
        names += [f"track_{i}" for i in range(len(names), self.gradient.shape[1])]
        for name, values in zip(names, self.gradient.T, strict=False):
            columns[f"gradient_{name}"] = values
        columns["gradient_x_input"] = self.gradient_x_input[:, :BASES].sum(1)
        for name, values in zip("ACGT", self.effects.T, strict=True):
            columns[f"mutation_to_{name}"] = values
        columns |= {f"contribution {name}": values for name, values in self.contributions.items()}
        columns["contribution of exon_end"] = self.exon_ends
        return pl.DataFrame(columns).fill_nan(None)

    def write(self, output: Path) -> None:
        """Write `explain.json`, the summary; `explain.tsv`, the positions; and `explain.png`."""
        output.mkdir(parents=True, exist_ok=True)
        summary = json.dumps(self.summary(), indent=1, allow_nan=False)
        (output / "explain.json").write_text(summary + "\n")
        self.positions().write_csv(output / "explain.tsv", separator="\t")
        plot_explanation(
            self.transcript,
            self.contributions,
            self.effects,
            self.exon_ends,
            self.title(),
            output / "explain.png",
        )


def explain(
    score: Score,
    tokenizer: IsoCLRTokenizer,
    transcript: Transcript,
    *,
    window: tuple[int, int] | None = None,
    stride: int = 1,
    tokens_per_batch: int = 1 << 16,
    progress: bool = True,
) -> Explanation:
    """Take gradients of a score at a transcript, and mutate it in silico.

    The window is of positions to mutate, 0-based and half-open, every `stride` of them. One outside
    the transcript, and a stride below 1, are an InputError.
    """
    (tokens,), _ = tokenize(tokenizer, [transcript])
    start, end = window or (0, len(tokens))
    if not 0 <= start < end <= len(tokens):
        raise InputError(
            f"transcript '{transcript.transcript_id}': window: got {start} to {end}, wanted "
            f"0 <= start < end <= {len(tokens)}"
        )
    if stride < 1:
        raise InputError(f"stride: got {stride}, wanted at least 1")
    gradient, tracks = input_gradients(score, tokens)
    with torch.inference_mode():
        value = float(score(inputs_embeds=_tracks(score.network, tokens)))
    positions = range(start, end, stride)
    effects = mutate(score, tokens, positions, tokens_per_batch=tokens_per_batch, progress=progress)
    exon_ends = exon_end_contributions(score, tokens, tokens_per_batch=tokens_per_batch)
    return Explanation(transcript, score, value, tokens, gradient, tracks, effects, exon_ends)


def explain_model(
    model: str | os.PathLike,
    transcripts: Sequence[Transcript] | None,
    transcript_id: str,
    output: Path,
    *,
    labels: LabelSet | None = None,
    head: str | os.PathLike | None = None,
    class_name: str | None = None,
    similar_to: str | None = None,
    **options,
) -> Explanation:
    """Explain what a model says of a transcript: a head, a probe, a similarity, or its prediction.

    Writes `explain.json`, `explain.tsv` and `explain.png`. The transcript, and the one that it is
    `similar_to`, are looked for among the transcripts, or those of the labels. With labels, a
    linear probe of them is explained; with a head, as `find_head` takes it, what that predicts;
    `class_name` is of theirs, or of a fine-tuned model. `options` are those of `explain`. More than
    one of labels, head and similar transcript, none for a model that predicts nothing by itself,
    and an id that none or several transcripts have, are an InputError.
    """
    if head is not None and (labels is not None or similar_to is not None):
        raise InputError(f"head '{head}': got labels or a similar transcript beside it, wanted one")
    if labels is not None and similar_to is not None:
        raise InputError(f"similar to '{similar_to}': got labels beside it, wanted one of them")
    if transcripts is None:
        if labels is None:
            raise InputError(
                f"transcript '{transcript_id}': got nothing to find it in, wanted some"
            )
        transcripts = labels.transcripts
    transcript = _find(transcripts, transcript_id)
    encoder, tokenizer = load_model(model)
    if head is not None:
        fitted = read_head(find_head(head, model))
        score = ready_score(encoder_of(fitted, encoder), fitted, class_name)
    elif labels is not None:
        score = probe_score(encoder, tokenizer, labels, class_name)
    elif similar_to is not None:
        score = similarity_score(encoder, tokenizer, _find(transcripts, similar_to))
    else:
        # A model of train.py has no such head: transformers would make one of random weights.
        architectures = encoder.config.architectures or []
        if "IsoCLRForSequenceClassification" not in architectures:
            raise InputError(
                f"{model}: got {', '.join(architectures) or 'an encoder'}, wanted a fine-tuned "
                "model, or a head, labels for a probe, or a transcript to be similar to"
            )
        network = load_pretrained(AutoModelForSequenceClassification, resolve_model(model))
        score = head_score(on_device(network.eval(), encoder.device), class_name)
    explanation = explain(score, tokenizer, transcript, **options)
    explanation.write(output)
    return explanation


def _tracks(network: PreTrainedModel, tokens: np.ndarray) -> torch.Tensor:
    """Tracks of one transcript, (1, length, n_tracks), not part of any graph."""
    device = next(network.parameters()).device
    with torch.no_grad():
        return network.get_input_embeddings()(torch.from_numpy(tokens)[None].to(device))


def _in_full_precision(network: _Network) -> _Network:
    """The network itself, or a copy in float32: half precision rounds one base's effect away."""
    if all(parameter.dtype.itemsize >= 4 for parameter in network.parameters()):
        return network
    return deepcopy(network).float()


def _column(class_name: str | None, classes: tuple[str, ...], label: str) -> int:
    if not classes and class_name is None:
        return 0
    if class_name not in classes:
        wanted = f"one of {', '.join(classes[:5])}{' …' * (len(classes) > 5)}"
        raise InputError(
            f"{label}: class: got {class_name!r}, wanted {wanted if classes else 'none'}"
        )
    return classes.index(class_name)


def _find(transcripts: Sequence[Transcript], transcript_id: str) -> Transcript:
    found = {t for t in transcripts if t.transcript_id == transcript_id}
    if len(found) != 1:
        raise InputError(
            f"transcript '{transcript_id}': got {len(found) or 'none'} among {len(transcripts)} "
            "transcripts, wanted one"
        )
    return found.pop()


def _mean_size(values: np.ndarray) -> float | None:
    known = np.abs(values[np.isfinite(values)])
    return float(known.mean()) if len(known) else None


def _bar(substitutions: int, show: bool) -> Progress:
    return progress_bar(description="mutating", total=substitutions, unit="base", show=show)
