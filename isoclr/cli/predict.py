"""isoclr predict: properties of transcripts by ready-made heads."""

from typing import Annotated

from data_builders.records import InputError
from isoclr.cli.embed import checked, transcripts_to_embed
from isoclr.cli.options import GuessCds, Model, Option, OtherGroups, Registry, Sources, TableFile
from isoclr.cli.printed import Printed, reason_lines, reasons
from isoclr.shipped import DEFAULT_MODEL


def predict(
    sources: Sources,
    registry: Registry,
    output: TableFile,
    head: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="head of the model, or folder that isoclr head wrote; repeat it for several; "
            "without any, the model's heads are listed",
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    level: Annotated[
        float, Option(help="share of transcripts that the intervals cover: 0.5, 0.8, 0.9 or 0.95")
    ] = 0.9,
    groups: OtherGroups = None,
    guess_cds: GuessCds = None,
) -> Printed:
    r"""Predict half-lives and more of transcripts, with intervals and warnings.

    A warning says in what a transcript is unlike those that the head was fitted to.

    Example:
    isoclr predict --head half-life-human --transcripts isoforms.fa.gz --annotation isoforms.gtf.gz \
        --species human --output half_lives.tsv
    isoclr predict --head half-life-human --head my-head --table transcripts.parquet \
        --output predictions.parquet
    """  # noqa: E501  a command line to copy
    from data_builders.text import Tally
    from isoclr.evaluation import predict as predictions
    from isoclr.evaluation.heads import heads_of, read_head, table_of

    if not head:
        known = [read_head(path) for path in heads_of(model).values()]
        listed = f"\n{table_of(known)}" if known else " none"
        raise InputError(f"wanted a --head; {model} has:{listed}")
    tally = Tally(strict=sources.strict)
    transcripts = transcripts_to_embed(sources, registry, tally, groups=groups)
    transcripts = checked(transcripts, "no transcript to predict", tally, guess_cds)
    table = predictions.predict(transcripts, head, model=model, level=level)
    predictions.write_table(table, output)
    warned = table["warning"].is_not_null().sum()
    first = f"{output}: {table.height} predictions, {warned} with a warning"
    return Printed(
        text="\n".join([first, *reason_lines(tally)]),
        data={"output": output, "predictions": table.height, "with_warning": warned}
        | reasons(tally),
    )
