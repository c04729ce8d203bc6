"""A linear probe that follows a run."""

import os

from data_builders.groups.parquet import read_groups
from data_builders.homology.homologous_genes import read_homology
from data_builders.labels.label_set import read_labels
from data_builders.labels.splits import SEEDS, homology_split
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.probe import ALPHAS, METRICS, fit_and_score
from modeling_isoclr import IsoCLRModel, IsoCLRTokenizer


class LabelProbe:
    """Ridge regression on the frozen encoder, fitted on train, scored on the validation rows.

    The test rows stay unseen, so that a model may be chosen by what this says.

    Args:
        tokenizer: of the encoder.
        labels: table, as `read_labels` takes it.
        label: its column.
        groups: folder of isoform groups that has the transcripts, when the table has not.
        homology: table for `read_homology`, when it has.
        taxonomy: NCBI id of the species of labels without a column species.
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
        self.labelled = read_labels(
            labels,
            label,
            homology=None if homology is None else read_homology(homology),
            isoform_groups=None if groups is None else read_groups(groups),
            species=str(taxonomy),
        )
        self.train, self.validation, _ = homology_split(self.labelled.groups, SEEDS[0])

    def __call__(self, encoder: IsoCLRModel) -> dict[str, float]:
        """Scores of `encoder`, which is put into evaluation mode temporarily."""
        encoder.eval()
        embeddings = embed_transcripts(
            encoder, self.tokenizer, self.labelled.transcripts, progress=False
        )
        encoder.train()
        scores = fit_and_score(
            "encoder", embeddings, self.labelled.targets, self.train, self.validation, ALPHAS
        )
        return {f"probe_{name}": score for name, score in zip(METRICS, scores, strict=True)}
