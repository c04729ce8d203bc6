"""isoclr low-data: few labels to many, beside controls."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Homology, Labels, Option, numbers
from isoclr.cli.printed import Printed
from isoclr.cli.supervised import Supervised
from isoclr.shipped import resolve_model


def low_data(
    labels: Labels,
    supervised: Supervised,
    homology: Homology,
    output: Annotated[
        str, Option(metavar="DIR", help="folder of low_data.json and .png; goes on with its runs")
    ],
    methods: Annotated[
        str | None, Option(metavar="NAME,...", help="see docs/EVALUATION.md; all by default")
    ] = None,
    fractions: Annotated[
        tuple | None,
        Option(metavar="X,...", parser=numbers, help="of the train rows; 0.005 to 1"),
    ] = None,
) -> Printed:
    """Compare methods by how many labels they learn from.

    Example:
    isoclr low-data --labels half_life.parquet --fractions 0.01,0.1,1 --output low-data
    """
    from isoclr.evaluation.low_data import FRACTIONS, METHODS, CurveOptions, low_data_of_model

    options = CurveOptions(
        methods=tuple(methods.split(",")) if methods else tuple(METHODS),
        fractions=fractions or FRACTIONS,
        **supervised.made(),
    )
    results = low_data_of_model(
        resolve_model(supervised.model), labels.made(homology), Path(output), options
    )
    return Printed(text=results.table(), data={"output": output, **results.as_dict()})
