"""isoclr windows: are windows of homologs found among those of other families?"""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Option
from isoclr.cli.printed import Printed, plain_data


def windows(
    model: Annotated[
        list[str],
        Option(metavar="DIR", help="trained on homologs; repeat it for others beside the first"),
    ],
    output: Annotated[str, Option(metavar="DIR", help="folder of the table and the figure")],
    families: Annotated[
        list[str] | None, Option(metavar="DIR", help="their data; else that of the recipe")
    ] = None,
    window: Annotated[int, Option(help="letters of a window")] = 100,
    bands: Annotated[
        str | None,
        Option(metavar="A-B,...", help="bands of distances of overlapping windows"),
    ] = None,
    draws: Annotated[int, Option(help="species of the candidates, one a draw")] = 20,
    seed: Annotated[int, Option(help="of the draws")] = 0,
) -> Printed:
    """Retrieve windows of held-out families, beside k-mers and an untrained encoder.

    The families are those that the first model's recipe holds out; so must those of others.

    Example:
    isoclr windows --model model --bands 0-0.1,0.1-0.5 --output windows
    """
    from isoclr.evaluation.homologs import retrieve_windows
    from isoclr.information.trained import parse_bands

    found = retrieve_windows(
        model,
        data=families or (),
        window=window,
        bands=parse_bands(bands),
        draws=draws,
        seed=seed,
    )
    found.save(Path(output))
    return Printed(text=found.table(), data={"output": output, **plain_data(found)})
