"""Embeddings as a step of scikit-learn: `make_pipeline(TranscriptEmbedder(), Ridge())`."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from data_builders.records import InputError, Transcript
from isoclr.evaluation.embed import embed_transcripts, guess_cds
from isoclr.pretrained import load_model
from isoclr.shipped import DEFAULT_MODEL

_KEYS = {"sequence", "cds", "exon_junctions"}


class TranscriptEmbedder(TransformerMixin, BaseEstimator):
    """Embed transcripts; nothing is learned from those that `fit` gets.

    `X` is a sequence of n transcripts, each a `Transcript`, a sequence (text), or a mapping of
    `sequence` with `cds` (start and end, 0-based, half-open, with the stop codon) and
    `exon_junctions` (first base of every exon but the first) where they are known. All else of a
    transcript may be mixed within one `X`.

    Args:
        model: the name of a shipped model, a folder, or a repository on the Hub.
        guess_cds: where there is no CDS, take the longest reading frame of at least so many nt;
            None: take none.
        tokens_per_batch: nucleotides that go through the encoder at once, padding included.
        progress: show a bar.

    Attributes:
        encoder_: the model, after `fit`.
        tokenizer_: of the model.
    """

    def __init__(
        self,
        model: str | os.PathLike = DEFAULT_MODEL,
        *,
        guess_cds: int | None = None,
        tokens_per_batch: int = 1 << 16,
        progress: bool = False,
    ):
        self.model = model
        self.guess_cds = guess_cds
        self.tokens_per_batch = tokens_per_batch
        self.progress = progress

    def fit(self, X, y=None) -> "TranscriptEmbedder":
        """Load the model; X and y are not looked at."""
        self.encoder_, self.tokenizer_ = load_model(self.model)
        return self

    def transform(self, X) -> np.ndarray:
        """Embed transcripts: float32 (n, width), in the order given."""
        check_is_fitted(self)
        transcripts = as_transcripts(X)
        if self.guess_cds is not None:
            transcripts, _ = guess_cds(transcripts, self.guess_cds)
        return embed_transcripts(
            self.encoder_,
            self.tokenizer_,
            transcripts,
            tokens_per_batch=self.tokens_per_batch,
            progress=self.progress,
        )

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return the names of the columns: isoclr0, isoclr1, and so on."""
        check_is_fitted(self)
        names = [f"isoclr{i}" for i in range(self.encoder_.config.pooled_size)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        """Return that `X` is no matrix of numbers, and that `fit` learns nothing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = True
        tags.no_validation = True
        return tags


def as_transcripts(X: Sequence) -> list[Transcript]:
    """Return transcripts of records, texts or mappings; those without a name are called by row."""
    if isinstance(X, str | Mapping | Transcript):
        raise InputError(f"X: got one {type(X).__name__}, wanted a sequence of transcripts")
    return [_as_transcript(entry, row) for row, entry in enumerate(X)]


def _as_transcript(entry, row: int) -> Transcript:
    if isinstance(entry, Transcript):
        return entry
    name = f"row {row}"
    if isinstance(entry, str):
        entry = {"sequence": entry}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("sequence"), str):
        raise InputError(
            f"X: {name}: got {type(entry).__name__}, wanted a Transcript, a sequence, or a "
            f"mapping with one of {', '.join(sorted(_KEYS))}"
        )
    if unknown := sorted(map(str, entry.keys() - _KEYS)):
        raise InputError(f"X: {name}: got the key {unknown[0]}, wanted {', '.join(sorted(_KEYS))}")
    start, end = entry.get("cds") or (-1, -1)
    junctions = entry.get("exon_junctions")
    return Transcript(
        transcript_id=name,
        gene_id=name,
        species="unknown",
        sequence=entry["sequence"],
        cds_start=int(start),
        cds_end=int(end),
        exon_junctions=None if junctions is None else tuple(map(int, junctions)),
    )
