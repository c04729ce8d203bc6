"""Which RNAs and proteins interact: calibrated scores of pairs, and what one score owes to what."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HTTPError
from transformers import AutoModelForSequenceClassification

from data_builders.counts import counted
from data_builders.figures import new_figure, plain, save_figure
from data_builders.interactions.dataset import Molecule
from data_builders.records import InputError
from data_builders.storage import check_ending
from data_builders.tables import names_of_columns, read_table
from isoclr.objectives.interactions.batches import padded
from isoclr.objectives.interactions.known import FILE, Known
from isoclr.objectives.interactions.vectors import MoleculeVectors
from isoclr.pretrained import on_device, one_line
from isoclr.progress import progress
from isoclr.repositories import check_source
from isoclr.shipped import resolve_model
from modeling_isoclr import RPIForSequenceClassification, RPIProcessor
from modeling_isoclr.embedders_rpi import batches_of_like_length

FAR = 0.6
"""Identity with the nearest molecule in training below which there is a warning."""

MOLECULES = ("rna", "protein")
_NAMES = {"rna": "RNA", "protein": "protein"}
_SCHEMA = pa.schema(
    [
        ("rna_id", pa.string()),
        ("protein_id", pa.string()),
        ("probability", pa.float32()),
        ("interacts", pa.bool_()),
        ("rna_identity", pa.float32()),
        ("protein_identity", pa.float32()),
    ]
)
_PAIRS_A_BLOCK = 1 << 16
_POSITIONS_AT_ONCE = 1 << 16
_LARGEST_MAP = 300
_WORDS_SHOWN = 12


class PairModel:
    """A classifier of pairs, with what it was trained on.

    Args:
        model: the name of a shipped model, a folder that train.py wrote, or a repository on the
            Hub.

    Attributes:
        network: in evaluation mode, on the GPU if there is one.
        processor: of its inputs.
        known: the molecules that it was trained on; None where it does not say.

    Raises:
        InputError: it is none of these, of another family, damaged, or lacks weights.
    """

    def __init__(self, model: str | os.PathLike):
        model = resolve_model(model)
        check_source(model, "a model of interactions that train.py wrote", "config.json")
        with one_line(model):
            network, info = AutoModelForSequenceClassification.from_pretrained(
                model, output_loading_info=True
            )
        if not isinstance(network, RPIForSequenceClassification):
            kind = network.config.model_type
            raise InputError(f"{model}: got a model of type {kind}, wanted rpi")
        if info["missing_keys"]:
            raise InputError(f"{model}: got no weights {sorted(info['missing_keys'])[0]}")
        self.network = on_device(network.eval())
        self.processor = RPIProcessor.of(network.config)
        self.known = _known(model)

    @property
    def config(self):
        """The configuration."""
        return self.network.config

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits into calibrated probabilities."""
        return self.network.probabilities(torch.from_numpy(logits)).numpy()


def _known(model: str | os.PathLike) -> Known | None:
    if Path(model).is_dir():
        return Known(model) if Known.there(model) else None
    try:
        return Known(Path(hf_hub_download(str(model), FILE)).parent)
    except EntryNotFoundError:
        return None
    except HTTPError as error:
        raise InputError(f"{model}: {FILE} cannot be had: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Queries:
    """RNAs and proteins, and which of their pairs are asked for.

    Attributes:
        rnas: each once.
        proteins: each once.
        pairs: places of RNAs and proteins, int64 (pairs, 2); None: all of all.
    """

    rnas: Sequence[Molecule]
    proteins: Sequence[Molecule]
    pairs: np.ndarray | None = None

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.rnas) * len(self.proteins) if self.pairs is None else len(self.pairs)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the pairs, some ten thousands at once, int64 (pairs, 2)."""
        for start in range(0, len(self), _PAIRS_A_BLOCK):
            stop = min(start + _PAIRS_A_BLOCK, len(self))
            if self.pairs is not None:
                yield self.pairs[start:stop]
            else:
                rows = np.arange(start, stop)
                yield np.column_stack(np.divmod(rows, len(self.proteins)))


def read_query_pairs(
    path: str | os.PathLike, rnas: Sequence[Molecule], proteins: Sequence[Molecule]
) -> np.ndarray:
    """Read which pairs are asked for: places of RNAs and proteins, int64 (pairs, 2).

    The table has the columns rna_id and protein_id; no pair, or an id without a sequence, is an
    InputError.
    """
    table = read_table(path)
    columns = []
    for name, molecules in (("rna_id", rnas), ("protein_id", proteins)):
        if name not in table.columns:
            raise InputError(f"{path}: columns: got {names_of_columns(table)}, wanted {name} too")
        places = {molecule.id: place for place, molecule in enumerate(molecules)}
        ids = table[name].cast(pl.String).to_list()
        missing = [row for row, each in enumerate(ids, 1) if each not in places]
        if missing:
            raise InputError(
                f"{path}: row {missing[0]}: {name}: got {ids[missing[0] - 1]!r}, wanted an id of "
                f"the sequences; so it is with {len(missing):,} of {len(ids):,} rows"
            )
        columns.append([places[each] for each in ids])
    if not columns[0]:
        raise InputError(f"{path}: got no pair, wanted at least one")
    return np.array(columns, np.int64).T


class Scorer:
    """Logits of pairs; what makes vectors sees each molecule once.

    Vectors of an encoder are kept in the folder `cache`, or in memory. `files` are precomputed
    arrays, by `rna` and `protein`.
    """

    def __init__(
        self,
        model: PairModel,
        queries: Queries,
        *,
        cache: str | os.PathLike | None = None,
        files: Mapping[str, str] | None = None,
    ):
        self.model = model
        self.vectors = {
            name: MoleculeVectors(
                name, molecules, model.config, cache=cache, file=(files or {}).get(name)
            )
            for name, molecules in zip(MOLECULES, (queries.rnas, queries.proteins), strict=True)
        }
        apart = model.config.design != "attention"
        self._encoded = {name: self._encode(name) for name in MOLECULES} if apart else None
        if not apart:
            self._seen: dict[tuple[str, int], np.ndarray] = {}

    @torch.inference_mode()
    def _encode(self, molecule: str) -> torch.Tensor:
        """The vector of each molecule, where these do not attend to each other."""
        vectors, network = self.vectors[molecule], self.model.network
        found = torch.empty(len(vectors), network.config.hidden_size)
        batches = batches_of_like_length(vectors.lengths, _POSITIONS_AT_ONCE)
        for rows in progress(batches, f"{molecule} vectors", unit="batch"):
            inputs = self.model.processor.pad(molecule, [vectors[i] for i in rows])
            tensors = [torch.from_numpy(each).to(network.device) for each in inputs.values()]
            found[rows] = network.rpi.encode(molecule, *tensors).float().cpu()
        return found

    @torch.inference_mode()
    def __call__(self, pairs: np.ndarray) -> np.ndarray:
        """Return the logits float32 (pairs,) of places of RNAs and proteins, (pairs, 2)."""
        network = self.model.network
        if self._encoded is not None:
            rna, protein = (
                self._encoded[name][torch.from_numpy(pairs[:, i])]
                for i, name in enumerate(MOLECULES)
            )
            return network.classifier((rna * protein).to(network.device))[:, 0].cpu().numpy()
        lengths = sum(self.vectors[name].lengths[pairs[:, i]] for i, name in enumerate(MOLECULES))
        found = np.empty(len(pairs), np.float32)
        for rows in batches_of_like_length(lengths, _POSITIONS_AT_ONCE):
            arrays = [
                [self._vector(name, int(place)) for place in pairs[rows, i]]
                for i, name in enumerate(MOLECULES)
            ]
            inputs = padded(self.model.processor, *arrays)
            inputs = {name: value.to(network.device) for name, value in inputs.items()}
            found[rows] = network(**inputs).logits[:, 0].float().cpu().numpy()
        return found

    def _vector(self, molecule: str, place: int) -> np.ndarray:
        key = molecule, place
        if key not in self._seen:
            self._seen[key] = self.vectors[molecule][place]
        return self._seen[key]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What became of queries.

    Attributes:
        pairs: how many were scored.
        interacting: of them, at or above the threshold.
        long: molecules longer than the model sees whole, by `rna` and `protein`.
        far: molecules that are like none in training, by `rna` and `protein`; empty where that is
            not known.
        matrix: probabilities, (RNAs, proteins), NaN where not asked for; None of many.
    """

    pairs: int
    interacting: int
    long: Mapping[str, int]
    far: Mapping[str, int]
    matrix: np.ndarray | None

    def lines(self, queries: Queries, config) -> list[str]:
        """Say it in lines."""
        said = [
            f"{counted(self.pairs, 'pair')}, {self.interacting:,} of a probability of at least "
            f"{config.threshold}"
        ]
        sizes: dict[str, int] = dict(
            zip(MOLECULES, (len(queries.rnas), len(queries.proteins)), strict=True)
        )
        done = "cut" if config.long == "cut" else "seen by windows"
        said += [
            f"{done}, being longer than {config.max_positions:,} positions: {count:,} of "
            f"{counted(sizes[name], f'{_NAMES[name]} sequence')}"
            for name, count in self.long.items()
            if count
        ]
        said += [
            f"warning: like none in training (identity below {FAR}): {count:,} of "
            f"{counted(sizes[name], f'{_NAMES[name]} sequence')}; do not rely on such scores"
            for name, count in self.far.items()
            if count
        ]
        return said


def interact(
    model: PairModel, queries: Queries, output: str | os.PathLike, scorer: Scorer
) -> Scores:
    """Score pairs and write them as they come.

    The table, .parquet or .tsv, has the columns rna_id, protein_id, probability, interacts, and
    rna_identity and protein_identity: with the nearest molecule in training, empty where the model
    does not say what it was trained on.
    """
    check_ending(output, ".parquet", ".tsv")
    molecules = dict(zip(MOLECULES, (queries.rnas, queries.proteins), strict=True))
    identities = {name: _identities(model.known, name, found) for name, found in molecules.items()}
    ids = {name: pa.array([each.id for each in found]) for name, found in molecules.items()}
    small = max(len(queries.rnas), len(queries.proteins)) <= _LARGEST_MAP
    matrix = np.full((len(queries.rnas), len(queries.proteins)), np.nan) if small else None
    interacting = 0
    output = Path(output)
    partial = output.with_name(f".{output.name}.partial")
    with (
        _writer(partial, output.suffix) as write,
        progress(None, "scores", unit="pair", total=len(queries)) as bar,
    ):
        for pairs in queries.blocks():
            found = model.probabilities(scorer(pairs))
            called = found >= model.config.threshold
            places = {name: pairs[:, i] for i, name in enumerate(MOLECULES)}
            columns = [ids[name].take(pa.array(places[name])) for name in MOLECULES]
            columns += [pa.array(found.astype(np.float32)), pa.array(called)]
            columns += [
                pa.array(identities[name][places[name]].astype(np.float32), from_pandas=True)
                for name in MOLECULES
            ]
            write(pa.table(columns, schema=_SCHEMA))
            interacting += int(called.sum())
            if matrix is not None:
                matrix[tuple(pairs.T)] = found
            bar.update(len(pairs))
    partial.replace(output)
    far = {} if model.known is None else {n: int((v < FAR).sum()) for n, v in identities.items()}
    return Scores(
        pairs=len(queries),
        interacting=interacting,
        long={name: vectors.long for name, vectors in scorer.vectors.items()},
        far=far,
        matrix=matrix,
    )


@contextmanager
def _writer(path: Path, suffix: str) -> Iterator[Callable[[pa.Table], None]]:
    """Yield what appends a table to a file."""
    if suffix == ".parquet":
        with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
            yield writer.write
        return
    with path.open("wb") as file:
        file.write(("\t".join(_SCHEMA.names) + "\n").encode())
        yield lambda table: _frame(table).write_csv(file, separator="\t", include_header=False)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


def _identities(known: Known | None, name: str, molecules: Sequence[Molecule]) -> np.ndarray:
    if known is None:
        return np.full(len(molecules), np.nan)
    rows = progress(molecules, f"nearest {name} in training", unit=name)
    return np.array([known.nearest(name, each.sequence)[1] for each in rows])


def plot_matrix(queries: Queries, scores: Scores, path: str | os.PathLike) -> None:
    """Draw probabilities of RNAs (rows) and proteins (columns), each in an order of likeness."""
    if scores.matrix is None:
        raise InputError(
            f"--heat-map: got {len(queries.rnas):,} RNAs and {len(queries.proteins):,} proteins, "
            f"wanted at most {_LARGEST_MAP} of each"
        )
    matrix = scores.matrix
    rows, columns = _order(matrix), _order(matrix.T)
    figure = new_figure(min(4.5 + 0.16 * len(columns), 14), min(1.8 + 0.16 * len(rows), 12))
    axes = figure.subplots()
    image = axes.imshow(matrix[np.ix_(rows, columns)], cmap="RdBu_r", vmin=0, vmax=1, aspect="auto")
    figure.colorbar(image, ax=axes, label="probability", shrink=0.8)
    names = [queries.proteins[i].id for i in columns], [queries.rnas[i].id for i in rows]
    for axis, shown, what in zip((axes.xaxis, axes.yaxis), names, ("protein", "RNA"), strict=True):
        axis.set_label_text(what)
        if len(shown) <= 80:
            axis.set_ticks(range(len(shown)), [plain(each, 20) for each in shown], fontsize=6)
    axes.tick_params(axis="x", rotation=90)
    save_figure(figure, "RNA–protein pairs: calibrated probability of interaction", path)


def _order(matrix: np.ndarray) -> np.ndarray:
    """Rows by likeness: along the first component of the matrix."""
    filled = np.where(np.isnan(matrix), np.nanmean(matrix), matrix)
    left, _, _ = np.linalg.svd(filled - filled.mean(0), full_matrices=False)
    return np.argsort(left[:, 0], kind="stable")


@dataclass(frozen=True, kw_only=True)
class PairExplanation:
    """What the logit of a pair owes to what.

    Attributes:
        rna: of the pair.
        protein: of the pair.
        probability: of the pair.
        contributions: gradient × input, by `rna` and `protein`: of each position, (positions,), or
            of each word, (words,).
        words: names of the words, where contributions are of words.
        attention: mean over heads, from the RNA to the protein, (RNA positions, protein positions);
            None where the molecules do not attend to each other.
    """

    rna: Molecule
    protein: Molecule
    probability: float
    contributions: Mapping[str, np.ndarray]
    words: Mapping[str, list[str]]
    attention: np.ndarray | None


def explain_pair(model: PairModel, queries: Queries, scorer: Scorer, pair: tuple[int, int]):
    """Find what the logit of a pair owes to positions, or to words: a `PairExplanation`."""
    network = model.network
    arrays = [[scorer.vectors[name][place]] for name, place in zip(MOLECULES, pair, strict=True)]
    inputs = {k: v.to(network.device) for k, v in padded(model.processor, *arrays).items()}
    for name in MOLECULES:
        inputs[f"{name}_embeds"].requires_grad_()
    attends = network.config.design == "attention"
    with torch.enable_grad():
        output = network(**inputs, output_attentions=attends)
        embeds = [inputs[f"{name}_embeds"] for name in MOLECULES]
        gradients = torch.autograd.grad(output.logits.sum(), embeds)
    contributions, words = {}, {}
    for name, embed, gradient in zip(MOLECULES, embeds, gradients, strict=True):
        product = (embed * gradient)[0].detach().cpu().numpy()
        # Encoders have no words, and are not to be loaded for their names: the vectors are there.
        if getattr(model.processor, f"{name}_embedder").get("kind") == "kmers":
            words[name] = model.processor.embedder(name).names()
            contributions[name] = product[0]
        else:
            contributions[name] = product.sum(1)
    attention = output.attentions[0][0].mean(0).detach().cpu().numpy() if attends else None
    logit = output.logits[0].detach().cpu().numpy()
    return PairExplanation(
        rna=queries.rnas[pair[0]],
        protein=queries.proteins[pair[1]],
        probability=float(model.probabilities(logit)[0]),
        contributions=contributions,
        words=words,
        attention=attention,
    )


def plot_explained_pair(explained: PairExplanation, path: str | os.PathLike) -> None:
    """Draw contributions of both molecules, and the attention between them where there is any."""
    shown = 2 + (explained.attention is not None)
    figure = new_figure(9, 2.2 * shown + (1.5 if shown > 2 else 0))
    panels = figure.subplots(shown, 1, height_ratios=[1, 1, 2][:shown])
    for axes, name in zip(panels, MOLECULES, strict=False):
        values = explained.contributions[name]
        if name in explained.words:
            top = np.argsort(-np.abs(values), kind="stable")[:_WORDS_SHOWN]
            labels = [plain(explained.words[name][i]) for i in top]
            axes.bar(range(len(top)), values[top], color=_colours(values[top]))
            axes.set_xticks(range(len(top)), labels, fontsize=7)
        else:
            axes.bar(range(len(values)), values, width=1, color=_colours(values))
            axes.set_xlabel("position of the vectors, 5'→3'" if name == "rna" else "position")
        axes.axhline(0, c="k", lw=0.5)
        axes.set_ylabel(f"{'RNA' if name == 'rna' else name}\ngradient × input")
        axes.spines[["top", "right"]].set_visible(False)
    if explained.attention is not None:
        axes = panels[2]
        image = axes.imshow(explained.attention, aspect="auto", cmap="viridis")
        axes.set_xlabel("protein position")
        axes.set_ylabel("RNA position")
        figure.colorbar(image, ax=axes, label="attention")
    title = (
        f"{plain(explained.rna.id)} and {plain(explained.protein.id)}: probability "
        f"{explained.probability:.2f}; above 0 speaks for an interaction"
    )
    save_figure(figure, title, path)


def _colours(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, "#c0562b", "#1f4e79")
