"""isoclr low-data: few labels to many, beside controls."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Homology, Option, numbers
from isoclr.cli.supervised import Supervised
from isoclr.shipped import resolve_model


def low_data(
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
) -> None:
    """Compare methods by how many labels they learn from.

    Example:
    isoclr low-data --labels half_life.parquet --fractions 0.01,0.1,1 --output low-data
    """
    from isoclr.evaluation.low_data import FRACTIONS, METHODS, low_data_of_model

    curve = low_data_of_model(
        resolve_model(supervised.model),
        supervised.labels,
        supervised.label,
        Path(output),
        homology=homology.made(),
        methods=tuple(methods.split(",")) if methods else tuple(METHODS),
        fractions=fractions or FRACTIONS,
        **supervised.made(),
    )
    print(curve.table())
