"""isoclr retrieve: ranks of isoforms and homologs."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Choice, Groups, Model, Option, SampleSeed
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def retrieve(
    groups: Groups,
    choice: Choice,
    output: Annotated[str, Option(metavar="DIR", help="folder of retrieve.json, .tsv and .png")],
    model: Model = DEFAULT_MODEL,
    queries: Annotated[int, Option(help="of each type of pair")] = 1000,
    candidates: Annotated[int, Option(help="transcripts to search")] = 10_000,
    seed: SampleSeed = 0,
) -> Printed:
    """Rank transcripts by similarity: do isoforms and homologs come first?

    Example:
    isoclr retrieve --groups groups --output retrieve
    isoclr retrieve --groups groups --part 67-100 --coding --longest 3000 --output retrieve
    """
    from isoclr.evaluation.retrieve import retrieve_model

    result = retrieve_model(
        resolve_model(model),
        groups,
        Path(output),
        queries=queries,
        candidates=candidates,
        seed=seed,
        choice=choice.made(),
    )
    return Printed(text=result.table(), data={"output": output, **result.as_dict()})
