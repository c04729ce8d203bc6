"""isoclr probe: linear probes beside baselines."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from data_builders.records import InputError
from isoclr.cli.options import (
    MODEL_HELP,
    Homology,
    Labels,
    Option,
    Saluki,
    whole_numbers,
)
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def _ranges(value: str) -> tuple[tuple[int, int], ...]:
    found = [re.fullmatch(r"([1-9])-([1-9])", part) for part in value.split(",")]
    ranges = tuple((int(match[1]), int(match[2])) for match in found if match)
    if len(ranges) < len(found) or any(low > high for low, high in ranges):
        raise typer.BadParameter(f"got '{value}', wanted lengths up to 9, such as 1-6,3-7")
    return ranges


def _columns(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)-(\d+)", value)
    if not found:
        raise typer.BadParameter(f"got '{value}', wanted columns such as 0-127")
    return int(found[1]), int(found[2]) + 1


def _named_files(values: list[str] | None) -> dict[str, str]:
    files = {}
    for value in values or ():
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            raise InputError(f"--embeddings: got '{value}', wanted NAME=FILE, such as a=a.parquet")
        if name in files:
            raise InputError(f"--embeddings: got the name '{name}' twice, wanted others")
        files[name] = path
    return files


def probe(
    homology: Homology,
    labels: Labels,
    output: Annotated[str, Option(metavar="DIR", help="folder of probe.json and probe.png")],
    model: Annotated[
        list[str],
        Option(
            metavar="MODEL",
            help=f"{MODEL_HELP}, or any encoder that AutoModel loads; repeat it to compare others "
            "with the first",
        ),
    ] = [DEFAULT_MODEL],  # noqa: B006  nothing changes it
    embeddings: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=FILE",
            help="table of transcript_id and embedding, of a model that ran elsewhere; repeat it",
        ),
    ] = None,
    split: Annotated[
        Literal["homology", "random", "chromosome", "k-mer"] | None,
        Option(help="what keeps train and test rows apart; that of the task, or homology"),
    ] = None,
    chromosomes: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="table of gene_id or transcript_id and chromosome; none: the labels have them",
        ),
    ] = None,
    few_labels: Annotated[
        tuple | None, Option(metavar="N,...", parser=whole_numbers, help="such as 85,171")
    ] = None,
    kmers: Annotated[
        tuple | None,
        Option(
            metavar="LOW-HIGH,...",
            parser=_ranges,
            help="lengths in each control of k-mers; 1-6,3-7 by default",
        ),
    ] = None,
    columns: Annotated[
        tuple | None,
        Option(
            metavar="A-B",
            parser=_columns,
            help="also probe these alone, of the first model's embedding and of random weights', "
            "counted from 0, both among them",
        ),
    ] = None,
    start_window: Annotated[
        int,
        Option(
            metavar="NT",
            help="also read so many nt before the start codon by distance, a multiple of 24, in "
            "rows of their own beside controls that read the same; 0: do not",
        ),
    ] = 0,
    saluki: Saluki = False,
) -> Printed:
    """Compare linear probes of embeddings with baselines on the same labels.

    Example:
    isoclr probe --labels half_life.parquet --output probe
    isoclr probe --model mine --model theirs --labels half_life.parquet --few-labels 85,171 --output probe
    isoclr probe --embeddings theirs=theirs.parquet --labels half_life.parquet --output probe
    """  # noqa: E501  a command line to copy
    from isoclr.evaluation.controls import KMERS
    from isoclr.evaluation.probe import ProbeOptions, probe_models

    options = ProbeOptions(
        split=split,
        chromosomes=chromosomes,
        kmers=kmers or KMERS,
        saluki=saluki,
        few_labels=few_labels or (),
        embeddings=_named_files(embeddings),
        start_window=start_window,
        columns=columns,
    )
    models = [resolve_model(name) for name in model]
    results = probe_models(models, labels.made(homology), Path(output), options)
    return Printed(text=results.table(), data={"output": output, **results.as_dict()})
