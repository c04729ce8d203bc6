"""A linear probe that follows a run."""

import os

from data_builders.labels.base import REGRESSION
from data_builders.labels.source import LabelSource
from data_builders.labels.splits import SEEDS, Split, homology_split
from data_builders.records import InputError
from isoclr.evaluation.compare import compare
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.linear import Linear
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer


class LabelProbe:
    """Ridge regression on the frozen encoder, fitted on train, scored on the validation rows.

    The test rows stay unseen, so that a model may be chosen by what this says.

    Args:
        tokenizer: of the encoder.
        labels: table, as `read_labels` takes it.
        label: its column of numbers.
        groups: folder of isoform groups that has the transcripts, when the table has not.
        homology: table for `read_homology`, when it has.
        taxonomy: NCBI id of the species of labels without a column species.

    Raises:
        InputError: as in `LabelSource.read`, or labels that are no numbers.
    """

    def __init__(
        self,
        tokenizer: IsoCLRTokenizer,
        *,
        labels: str | os.PathLike,
        label: str,
        groups: str | os.PathLike | None = None,
        homology: str | os.PathLike | None = None,
        taxonomy: int = 9606,
    ):
        self.tokenizer = tokenizer
        source = LabelSource(
            path=labels,
            label=label,
            isoform_groups=groups,
            homology=homology,
            default_species=str(taxonomy),
        )
        self.labelled = source.read()
        if self.labelled.task != REGRESSION:
            raise InputError(f"{labels}: {label}: got {self.labelled.task}, wanted {REGRESSION}")
        train, validation, _ = homology_split(self.labelled.groups, SEEDS[0])
        self.split = Split(train, validation[:0], validation, SEEDS[0])

    def __call__(self, encoder: IsoCLRModel) -> dict[str, float]:
        """Return scores of `encoder`, which is put into evaluation mode temporarily."""
        encoder.eval()
        embeddings = embed_transcripts(
            encoder, self.tokenizer, self.labelled.transcripts, progress=False
        )
        encoder.train()
        predictors = {"probe": Linear(embeddings)}
        (run,) = compare(predictors, self.labelled, [self.split], progress=False).runs
        return {f"probe_{name}": value for name, value in (run.scores | run.choices).items()}
