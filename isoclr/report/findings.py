"""What a report says of transcripts, as numbers; `page` draws them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from data_builders.records import InputError, Transcript
from isoclr import __version__
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.embedding_files import read_embedded
from isoclr.evaluation.planes import MAPS, Map, map_of
from isoclr.evaluation.search import WORDS, read_search_axes, search_words, whitened
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.pretrained import load_model
from isoclr.report.predictions import Prediction, choose_heads, predictions_of
from isoclr.report.structure import Structure, structure_of, warnings_of
from isoclr.report.switches import Switch, find_switches
from isoclr.shipped import DEFAULT_MODEL, resolve_model
from isoclr.statistics import unit_vectors
from isoclr.training.yaml_file import read_yaml

_EMBEDDINGS = "whitened embeddings"


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """The transcript that is most similar.

    Attributes:
        transcript_id: of the neighbour.
        gene_id: of the neighbour.
        similarity: product of their vectors of length 1.
    """

    transcript_id: str
    gene_id: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a page shows.

    Attributes:
        title: of the page.
        transcripts: n of them.
        structures: of each.
        warnings: of each, see `warnings_of`.
        embeddings: float32 (n, width).
        map: None for fewer than three transcripts.
        neighbours: of each, None where there is no other gene.
        neighbours_among: what neighbours were looked for in.
        switches: of genes with several isoforms.
        predictions: of the models that ship.
        facts: how it was made: name -> text.
        counts: reason -> records that were skipped or changed while the files were read.
    """

    title: str
    transcripts: Sequence[Transcript]
    structures: Sequence[Structure]
    warnings: Sequence[Sequence[str]]
    embeddings: np.ndarray
    map: Map | None
    neighbours: Sequence[Neighbour | None]
    neighbours_among: str
    switches: Sequence[Switch]
    predictions: Sequence[Prediction] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def make_report(
    transcripts: Sequence[Transcript],
    model: str | os.PathLike = DEFAULT_MODEL,
    *,
    title: str = "Transcripts",
    heads: Sequence[str] = (),
    map_by: str = "pca",
    reference: str | os.PathLike | None = None,
    progress: bool = True,
) -> Report:
    """Embed transcripts and find out what there is to say of them.

    Args:
        transcripts: n of them.
        model: as `load_model` takes it.
        title: of the page.
        heads: of the model, by name; empty: those fitted to a species of the transcripts, see
            `choose_heads`.
        map_by: one of `MAPS`.
        reference: Parquet that `isoclr embed` wrote by the same model, to find neighbours in; None:
            they are looked for among the transcripts.
        progress: show bars.

    Raises:
        InputError: no transcript, an unknown map or one whose package is not installed, a head that
            is not there, a reference of another width, or what the model refuses.
    """
    if not transcripts:
        raise InputError("got no transcript, wanted at least one")
    if map_by not in MAPS:
        raise InputError(f"map: got {map_by!r}, wanted one of {', '.join(MAPS)}")
    chosen = choose_heads(model, transcripts, heads)
    encoder, tokenizer = load_model(model)
    embed = partial(embed_transcripts, encoder, tokenizer, progress=progress)
    embeddings = embed(transcripts)
    if reference is None:
        compared, vectors = _vectors_to_compare(transcripts, model, embeddings, progress)
        neighbours = nearest_of_other_genes(transcripts, vectors)
        among = "these transcripts, those of its own gene left out"
    else:
        compared, neighbours = _EMBEDDINGS, nearest_of(reference, embeddings)
        among = f"those of {Path(reference).name}"
    among += f", by the cosine of {compared}"
    longest = trained_length(model)
    return Report(
        title=title,
        transcripts=transcripts,
        structures=[structure_of(transcript) for transcript in transcripts],
        warnings=[warnings_of(transcript, longest) for transcript in transcripts],
        embeddings=embeddings,
        map=map_of(embeddings, map_by),
        neighbours=neighbours,
        neighbours_among=among,
        switches=find_switches(transcripts, embeddings, embed),
        predictions=predictions_of(chosen, embeddings, transcripts),
        facts={
            "model": Path(model).name,
            "embedding": f"{embeddings.shape[1]:,} numbers a transcript",
            "isoclr": __version__,
        },
    )


def trained_length(model: str | os.PathLike) -> int | None:
    """Return the longest transcript that a model was trained on, None where that is not known."""
    path = Path(resolve_model(model)) / "recipe.yaml"
    if not path.is_file():
        return None
    recipe = read_yaml(path, "recipe")
    default = IsoformRecipe.model_fields["max_length"].default
    return recipe.get("max_length", default) if isinstance(recipe, dict) else None


def _vectors_to_compare(transcripts, model, embeddings, progress) -> tuple[str, np.ndarray]:
    """Return what neighbours are compared by, as `isoclr neighbours` does, and its name."""
    axes = read_search_axes(model)
    if axes is None:
        return _EMBEDDINGS, unit_vectors(whitened(embeddings))
    words = search_words(transcripts, progress=progress)
    return f"{WORDS} along the model's axes of search", axes.vectors(words)


def nearest_of(
    reference: str | os.PathLike, embeddings: np.ndarray, block: int = 1024
) -> list[Neighbour]:
    """Return the transcript of a file of `isoclr embed` that is nearest to each embedding.

    Both are whitened together. Embeddings of another width are an InputError.
    """
    table, known = read_embedded(reference)
    if known.shape[1:] != embeddings.shape[1:] or not len(known):
        raise InputError(
            f"{reference}: got {len(known)} embeddings of {known.shape[-1]} numbers, wanted some "
            f"of {embeddings.shape[1]}, by the same model"
        )
    both = unit_vectors(whitened(np.concatenate([embeddings, known])))
    unit, others = both[: len(embeddings)], both[len(embeddings) :]
    found = []
    for start in range(0, len(unit), block):
        similar = unit[start : start + block] @ others.T
        for row, best in zip(similar, similar.argmax(axis=1), strict=True):
            found.append(
                Neighbour(
                    transcript_id=table["transcript_id"][int(best)],
                    gene_id=table["gene_id"][int(best)],
                    similarity=float(row[best]),
                )
            )
    return found


def nearest_of_other_genes(
    transcripts: Sequence[Transcript], unit: np.ndarray, block: int = 1024
) -> list[Neighbour | None]:
    """Return the nearest transcript of another gene, by the product of vectors of length 1."""
    names: dict[tuple[str, str], int] = {}
    genes = np.array([names.setdefault((t.species, t.gene_id), len(names)) for t in transcripts])
    found: list[Neighbour | None] = []
    for start in range(0, len(unit), block):
        similar = unit[start : start + block] @ unit.T
        similar[genes[start : start + block, None] == genes] = -np.inf
        for row, best in zip(similar, similar.argmax(axis=1), strict=True):
            neighbour = transcripts[best]
            found.append(
                Neighbour(
                    transcript_id=neighbour.transcript_id,
                    gene_id=neighbour.gene_id,
                    similarity=float(row[best]),
                )
                if np.isfinite(row[best])
                else None
            )
    return found
