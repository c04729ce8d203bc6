"""isoclr search-axes: axes in which plain cosine finds relatives."""

from pathlib import Path
from typing import Annotated

from data_builders.counts import counted
from isoclr.cli.options import Choice, Groups, Option, SampleSeed
from isoclr.cli.printed import Printed


def search_axes(
    groups: Groups,
    choice: Choice,
    output: Annotated[
        str, Option(metavar="DIR", help="folder of search.safetensors, such as the model's own")
    ],
    transcripts: Annotated[int, Option(help="to fit to, at most")] = 20_000,
    seed: SampleSeed = 0,
) -> Printed:
    """Fit axes of search to isoform groups, for isoclr neighbours and retrieve.

    Example:
    isoclr search-axes --groups groups --output model
    """
    from isoclr.evaluation.search import make_search_axes

    axes, count = make_search_axes(
        groups,
        Path(output),
        transcripts=transcripts,
        seed=seed,
        choice=choice.made(),
    )
    width = axes.axes.shape[1]
    return Printed(
        text=f"{output}: vectors of {width} numbers, fitted to {counted(count, 'group')}",
        data={"output": output, "width": width, "groups": count},
    )
