"""isoclr reproduce: the results of a model card once more."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Option
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def reproduce(
    data: Annotated[str, Option(metavar="DIR", help="folder of labels and annotations")],
    output: Annotated[str, Option(metavar="DIR", help="folder of what is made anew")],
    model: Annotated[
        str, Option(help="folder of a model with results/commands.yaml, or a shipped one's name")
    ] = DEFAULT_MODEL,
    only: Annotated[
        list[str] | None, Option(metavar="NAME", help="of a result; repeat it; without any, all")
    ] = None,
    slow: Annotated[
        bool, Option("--slow", help="also what trains networks for hours, as the card has it")
    ] = False,
) -> Printed:
    """Make the tables and figures of a card anew, and say which numbers differ.

    The exit status is 1 if any differs.

    Example:
    isoclr reproduce --model model_cards/isoclr-small --data ../shared/data --output results
    """
    from isoclr.reproduce import reproduce as make
    from isoclr.reproduce import table_of

    found = make(Path(resolve_model(model)), Path(data), Path(output), only=only or (), slow=slow)
    return Printed(
        text=table_of(found),
        data={"output": output, "files": found},
        status=int(any(each.differ for each in found)),
    )
