"""isoclr explain: what a prediction owes to each base of a transcript."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.embed import transcripts_to_embed
from isoclr.cli.options import Model, Option, OtherGroups, Registry, Sources, pair_of
from isoclr.cli.printed import Printed, reason_lines, reasons
from isoclr.shipped import DEFAULT_MODEL, resolve_model


def explain(
    sources: Sources,
    registry: Registry,
    transcript: Annotated[str, Option(metavar="ID", help="the one to explain")],
    output: Annotated[str, Option(metavar="DIR", help="folder of explain.json, .tsv and .png")],
    model: Model = DEFAULT_MODEL,
    groups: OtherGroups = None,
    head: Annotated[
        str | None,
        Option(
            metavar="NAME", help="head of the model, or folder that isoclr head wrote, to explain"
        ),
    ] = None,
    labels: Annotated[
        str | None,
        Option(metavar="FILE", help="label set: explain a linear probe of it, not a head"),
    ] = None,
    class_name: Annotated[
        str | None, Option("--class", metavar="NAME", help="of the label set, or of the head")
    ] = None,
    similar_to: Annotated[
        str | None, Option(metavar="ID", help="explain the similarity to that transcript instead")
    ] = None,
    window: Annotated[
        tuple | None,
        Option(
            metavar="START:END",
            parser=pair_of(":", "START:END, such as 0:300"),
            help="mutate those positions alone, 0-based",
        ),
    ] = None,
    stride: Annotated[int, Option(help="mutate every so many positions")] = 1,
) -> Printed:
    r"""Say what a prediction owes to each base of a transcript.

    The prediction is that of a --head, of a probe of --labels, or of a fine-tuned --model. With
    --labels alone the transcript is one of theirs.

    Example:
    isoclr explain --head half-life-human --transcripts isoforms.fa.gz \
        --annotation isoforms.gtf.gz --transcript ID --output explain
    isoclr explain --labels half_life.parquet --transcript ENST00000335137 --output explain
    """
    from data_builders.labels.files import read_label_set
    from data_builders.text import Tally
    from isoclr.evaluation.explain import explain_model

    tally = Tally(strict=sources.strict)
    given = groups or sources.begun or sources.named or not labels
    explanation = explain_model(
        resolve_model(model),
        transcripts_to_embed(sources, registry, tally, groups=groups) if given else None,
        transcript,
        Path(output),
        labels=read_label_set(labels) if labels else None,
        head=head,
        class_name=class_name,
        similar_to=similar_to,
        window=window,
        stride=stride,
    )
    return Printed(
        text="\n".join([explanation.table(), *reason_lines(tally)]),
        data={"output": output, **explanation.summary(), **reasons(tally)},
    )
