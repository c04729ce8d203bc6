"""isoclr phenotype: phenotypes from expression with few labels, beside plain baselines."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from data_builders.counts import counted
from data_builders.records import InputError
from isoclr.cli.expression import Reading
from isoclr.cli.options import Option, numbers
from isoclr.cli.printed import Printed
from isoclr.shipped import resolve_model


def phenotype(
    data: Annotated[str, typer.Argument(help="file of expression")],
    reading: Reading,
    label: Annotated[
        str, Option(metavar="COLUMN", help="what is predicted: classes, or the time of --event")
    ],
    output: Annotated[
        str, Option(metavar="DIR", help="folder of phenotype.json and .png; goes on with its runs")
    ],
    group: Annotated[
        str | None,
        Option(metavar="COLUMN", help="such as the donor, whose samples stay on one side"),
    ] = None,
    event: Annotated[
        str | None,
        Option(metavar="COLUMN", help="of survival: 1 seen, 0 censored; --label is the time"),
    ] = None,
    train_on: Annotated[
        str | None,
        Option(metavar="COLUMN=VALUE", help="samples to learn from, with --test-on; no folds"),
    ] = None,
    test_on: Annotated[
        str | None, Option(metavar="COLUMN=VALUE", help="samples to test on, with --train-on")
    ] = None,
    methods: Annotated[
        str | None,
        Option(
            metavar="NAME,...",
            help="scarf, vime, byol, denoising, halves; all by default, none beside --model",
        ),
    ] = None,
    model: Annotated[
        str | None,
        Option(metavar="DIR", help="pre-trained encoder that never saw the test samples, beside"),
    ] = None,
    labels: Annotated[
        tuple | None,
        Option(
            metavar="X,...",
            parser=numbers,
            help="shares of the train rows, or numbers above 1; by default one a class, 2, 5, 10, "
            "25, 50 and 100 %",
        ),
    ] = None,
    folds: Annotated[int, Option(help="how many, at least 2")] = 5,
    seeds: Annotated[int, Option(help="how many cuts into folds")] = 3,
    n_genes: Annotated[
        int | None, Option(help="most variable genes for the encoders; all by default")
    ] = None,
    transform: Annotated[
        Literal["log", "ranks", "quantile"], Option(help="of the encoders' input")
    ] = "log",
    steps: Annotated[
        str | None,
        Option(help='of pre-training, such as 200 or "50 epochs"; 300 epochs by default'),
    ] = None,
    controls: Annotated[
        bool, Option("--controls/--no-controls", help="boosting beside, which takes long")
    ] = True,
) -> Printed:
    """Compare self-supervised encoders with the same network from scratch and plain baselines.

    Example:
    isoclr phenotype expression.parquet --label tissue --group donor --output phenotype
    isoclr phenotype expression.parquet --label months --event died --group donor --output survival
    isoclr phenotype all.parquet --label organ --train-on source=a --test-on source=b --output out
    isoclr phenotype expression.parquet --label tissue --methods scarf --labels 0.1,1 --output out
    """
    from data_builders.expression.prepare import read_expression
    from isoclr.evaluation.phenotype import (
        METHODS,
        PhenotypeOptions,
        compare_phenotypes,
        of_sources,
        phenotype_labels,
        splits_across,
        survival_labels,
        with_label,
    )
    from isoclr.evaluation.phenotype_curves import (
        gains_over_scratch,
        gains_over_scratch_lines,
        labels_saved,
        labels_saved_lines,
    )

    chosen = tuple(methods.split(",")) if methods else () if model else tuple(METHODS)
    for name in chosen:
        if name not in METHODS:
            raise InputError(f"--methods: got {name!r}, wanted some of {', '.join(METHODS)}")
    for name, value, least in (("folds", folds, 2), ("seeds", seeds, 1)):
        if value < least:
            raise InputError(f"--{name}: got {value}, wanted at least {least}")
    if (train_on is None) != (test_on is None):
        raise InputError("--train-on, --test-on: got one of them, wanted both or none")
    options = PhenotypeOptions(
        methods=chosen,
        label_counts=None if labels is None else tuple(map(_count, labels)),
        folds=folds,
        seeds=tuple(range(seeds)),
        n_genes=n_genes,
        transform=transform,
        controls=controls,
        recipe={} if steps is None else {"steps": int(steps) if steps.isdecimal() else steps},
        model=_folder(model) if model else None,
    )
    matrix, report = read_expression([data], reading.made())
    print("\n".join(report.lines()), file=sys.stderr)
    sides = ()
    if train_on is not None and test_on is not None:
        sides = _named("--train-on", train_on), _named("--test-on", test_on)
        matrix, others = of_sources(matrix, sides)
        if others:
            print(f"left out {counted(others, 'sample')} of neither side", file=sys.stderr)
    columns = [label] if event is None else [label, event]
    matrix, without = with_label(matrix, *columns)
    if without:
        print(
            f"left out {counted(without, 'sample')} without {' and '.join(columns)}",
            file=sys.stderr,
        )
    if event is None:
        found = phenotype_labels(matrix, label, group)
    else:
        found = survival_labels(matrix, label, event, group)
    splits = splits_across(matrix, found, *sides, options.seeds) if sides else None
    results = compare_phenotypes(matrix, found, Path(output), options, splits)
    lines = [*gains_over_scratch_lines(results), *labels_saved_lines(results)]
    more = {"labels_saved": labels_saved(results), "over_scratch": gains_over_scratch(results)}
    return Printed(
        text="\n".join([results.table(), *lines]),
        data={"output": output, **results.as_dict(), **more},
    )


def _count(number: float) -> float | int:
    return number if number <= 1 else int(number)


def _folder(model: str) -> Path:
    from isoclr.evaluation.embed_expression import load_expression_model

    folder = Path(resolve_model(model))
    if not folder.is_dir():
        raise InputError(f"--model: got {model!r}, wanted the folder of a model")
    load_expression_model(folder)  # another family is refused before anything is computed
    return folder


def _named(option: str, text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals and value):
        raise InputError(f"{option}: got {text!r}, wanted COLUMN=VALUE such as source=gtex")
    return column, value
