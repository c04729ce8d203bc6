"""isoclr neighbours: the nearest transcripts of each."""

from typing import Annotated

from data_builders.counts import counted
from isoclr.cli.embed import checked, transcripts_to_embed
from isoclr.cli.options import Model, Option, OtherGroups, Registry, Sources, TableFile
from isoclr.cli.printed import Printed, reason_lines, reasons
from isoclr.shipped import DEFAULT_MODEL


def neighbours(
    sources: Sources,
    registry: Registry,
    output: TableFile,
    model: Model = DEFAULT_MODEL,
    groups: OtherGroups = None,
    count: Annotated[int, Option(help="neighbours of each transcript")] = 10,
    transcript: Annotated[
        list[str] | None,
        Option(metavar="ID", help="a transcript to search with; repeat it; without any, all"),
    ] = None,
    other_genes: Annotated[
        bool, Option("--other-genes", help="leave out transcripts of the same gene")
    ] = False,
) -> Printed:
    """Find the most similar transcripts of each transcript, among all that are given.

    Similarity is the cosine of amino-acid pairs and 6-mers along the model's axes of search, or of
    whitened embeddings where it brings no axes.

    Example:
    isoclr neighbours --table transcripts.parquet --output neighbours.tsv
    isoclr neighbours --groups groups --transcript NM_000546 --other-genes --output neighbours.tsv
    """
    from data_builders.text import Tally
    from isoclr.evaluation.predict import write_table
    from isoclr.evaluation.search import neighbours as find
    from isoclr.evaluation.search import search_vectors

    tally = Tally(strict=sources.strict)
    transcripts = transcripts_to_embed(sources, registry, tally, groups=groups)
    transcripts = checked(transcripts, "no transcript to search", tally)
    vectors = search_vectors(transcripts, model)
    table = find(transcripts, vectors, count=count, queries=transcript, other_genes=other_genes)
    write_table(table, output)
    queries = len(transcript) if transcript else len(transcripts)
    found = counted(table.height, "neighbour")
    what = f"{found} of {queries} among {counted(len(transcripts), 'transcript')}"
    data = {"output": output, "neighbours": table.height, "queries": queries}
    return Printed(
        text="\n".join([f"{output}: {what}", *reason_lines(tally)]),
        data=data | {"transcripts": len(transcripts), **reasons(tally)},
    )
