"""isoclr interact: which RNAs and proteins interact."""

from contextlib import ExitStack
from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed, reason_lines, reasons


def interact(
    model: Annotated[str, typer.Argument(help="shipped model, folder, or repository on the Hub")],
    rna: Annotated[
        list[str], Option(metavar="FILE", help="FASTA, or a table of id and sequence; repeat it")
    ],
    protein: Annotated[list[str], Option(metavar="FILE", help="the same of proteins")],
    output: Annotated[
        str,
        Option(metavar="FILE", help=".parquet or .tsv: a line a pair, as they come"),
        (".parquet", ".tsv"),
    ],
    pairs: Annotated[
        str | None,
        Option(metavar="FILE", help="table of rna_id and protein_id; by default all of all"),
    ] = None,
    heat_map: Annotated[
        str | None,
        Option(metavar="FILE", help="figure of all probabilities, .png or .pdf"),
        (".png", ".pdf", ".svg"),
    ] = None,
    explain: Annotated[
        str | None,
        Option(metavar="RNA,PROTEIN", help="draw what the score of one pair owes to what"),
    ] = None,
    figure: Annotated[
        str,
        Option(metavar="FILE", help="of the pair that --explain names"),
        (".png", ".pdf", ".svg"),
    ] = "pair.png",
    rna_vectors: Annotated[
        str | None,
        Option(metavar="FILE", help="safetensors by id, for a model of precomputed vectors"),
    ] = None,
    protein_vectors: Annotated[
        str | None, Option(metavar="FILE", help="the same of proteins")
    ] = None,
    cache: Annotated[
        str | None,
        Option(metavar="DIR", help="keep what encoders make, for a run that is cut off"),
    ] = None,
) -> Printed:
    """Write calibrated probabilities of interaction, and how far molecules are from training.

    Every molecule is embedded once. What models know and do not know is in docs/INTERACTIONS.md.

    Example:
    isoclr interact model --rna rnas.fa --protein proteins.fa --output scores.tsv
    isoclr interact model --rna rnas.fa --protein proteins.fa --pairs pairs.tsv --output out.parquet
    isoclr interact model --rna a.fa --protein b.fa --output s.tsv --explain MALAT1,SRSF1
    """
    from tempfile import TemporaryDirectory

    from data_builders.homology.alphabets import PROTEIN, RNA
    from data_builders.interactions.sequences import read_molecules
    from data_builders.text import Tally
    from isoclr.evaluation.interact import (
        PairModel,
        Queries,
        Scorer,
        explain_pair,
        plot_explained_pair,
        plot_matrix,
        read_query_pairs,
    )
    from isoclr.evaluation.interact import interact as score

    tally = Tally()
    rnas = tuple(read_molecules(rna, RNA, tally).values())
    proteins = tuple(read_molecules(protein, PROTEIN, tally).values())
    chosen = None if pairs is None else read_query_pairs(pairs, rnas, proteins)
    queries = Queries(rnas=rnas, proteins=proteins, pairs=chosen)
    pair = None if explain is None else _place(explain, rnas, proteins)
    loaded = PairModel(model)
    given = {"rna": rna_vectors, "protein": protein_vectors}
    files = {name: file for name, file in given.items() if file is not None}
    with ExitStack() as stack:
        folder = cache or stack.enter_context(TemporaryDirectory())
        scorer = Scorer(loaded, queries, cache=folder, files=files)
        found = score(loaded, queries, output, scorer)
        figures = []
        if heat_map is not None:
            plot_matrix(queries, found, heat_map)
            figures.append(heat_map)
        if pair is not None:
            plot_explained_pair(explain_pair(loaded, queries, scorer, pair), figure)
            figures.append(figure)
    first, *more = found.lines(queries, loaded.config)
    return Printed(
        text="\n".join([f"{output}: {first}", *more, *reason_lines(tally), *figures]),
        data={
            "output": output,
            "pairs": found.pairs,
            "interacting": found.interacting,
            "threshold": loaded.config.threshold,
            "long": found.long,
            "far": found.far,
            "figures": figures,
            **reasons(tally),
        },
    )


def _place(text: str, rnas, proteins) -> tuple[int, int]:
    """The places of `RNA,PROTEIN`."""
    found = [
        (i, j)
        for i, first in enumerate(rnas)
        for j, second in enumerate(proteins)
        if f"{first.id},{second.id}" == text
    ]
    if not found:
        raise InputError(f"--explain: got {text!r}, wanted the ids of an RNA and a protein")
    return found[0]
