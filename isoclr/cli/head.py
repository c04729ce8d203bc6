"""isoclr head: a head of one's own for isoclr predict."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Homology, Labels, Model, Option
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL


def head(
    homology: Homology,
    labels: Labels,
    output: Annotated[str, Option(metavar="DIR", help="folder of the head, which gives its name")],
    model: Model = DEFAULT_MODEL,
    terms: Annotated[
        int | None, Option(help="of labels with many classes, predict the most frequent alone")
    ] = None,
    start_window: Annotated[
        int,
        Option(help="nt before the start codon to read by distance too, such as 96; 0: none"),
    ] = 0,
    residue_pairs: Annotated[
        bool,
        Option(
            "--residue-pairs",
            help="read how often each pair of neighbouring residues comes too, as for functions",
        ),
    ] = False,
    with_encoder: Annotated[
        bool,
        Option(
            "--with-encoder",
            help="write the encoder too: a model for AutoModelForSequenceClassification",
        ),
    ] = False,
) -> Printed:
    """Fit a head for isoclr predict to labels of your own, and measure it on genes left out.

    It predicts by 'isoclr predict --head my-head'.

    Example:
    isoclr head --labels half_life.parquet --output my-head
    isoclr head --task go-mf --labels go.parquet --terms 10 --residue-pairs --output go-mf
    isoclr head --task ribosome-load --labels loads.parquet --start-window 96 --output loads
    """
    from isoclr.evaluation.fit_head import make_head
    from isoclr.evaluation.heads import facts_of, table_of

    made = make_head(
        labels.made(homology),
        Path(output),
        model=model,
        terms=terms,
        start_window=start_window,
        residue_pairs=residue_pairs,
        with_encoder=with_encoder,
    )
    return Printed(text=table_of([made]), data={"output": output, **facts_of(made)})
