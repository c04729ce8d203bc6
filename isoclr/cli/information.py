"""isoclr information: how much two homologs say about each other, with the truth beside it."""

from pathlib import Path
from typing import Annotated

from isoclr.cli.options import Option
from isoclr.cli.printed import Printed, plain_data


def information(
    output: Annotated[str, Option(metavar="DIR", help="folder of tables and figures")],
    demo: Annotated[
        bool,
        Option("--demo", help="simulated channels, whose information is known exactly"),
    ] = False,
    train: Annotated[
        bool,
        Option("--train", help="with --demo: also train critics by train.py, and compare"),
    ] = False,
    conserved: Annotated[
        bool,
        Option(
            "--conserved",
            help="with --demo: instead, what near and distant homologs teach, and whether a critic "
            "that is told the distance is better; trains by train.py",
        ),
    ] = False,
    seeds: Annotated[int, Option(help="of data and training, with --conserved")] = 3,
    model: Annotated[
        str | None,
        Option(metavar="DIR", help="trained on homologs: its bound on held-out families"),
    ] = None,
    families: Annotated[
        list[str] | None, Option(metavar="DIR", help="their data; else that of the recipe")
    ] = None,
    bands: Annotated[
        str | None,
        Option(metavar="A-B,...", help="bands of distances, such as 0-0.1,0.1-0.5"),
    ] = None,
    windows: Annotated[
        str | None,
        Option(help="of a pair, with --model: same, independent or disjoint; else as in training"),
    ] = None,
    substitutions: Annotated[
        str, Option(metavar="MODEL", help="of the simulated channels: jc69, k80")
    ] = "jc69",
    batch_size: Annotated[int, Option(help="families a batch, with --model")] = 256,
    batches: Annotated[int, Option(help="that each bound is a mean of")] = 20,
    seed: Annotated[int, Option(help="of the draws, with --demo")] = 0,
) -> Printed:
    """Print lower bounds on mutual information, in nats, each with log N and a permuted control.

    Example:
    isoclr information --demo --output information
    isoclr information --demo --conserved --output bands
    isoclr information --model model --bands 0-0.1,0.1-0.5 --output information
    """
    from data_builders.records import InputError
    from isoclr.information.known import Table, known_table

    if demo == (model is not None):
        raise InputError("--demo, --model: got both or neither, wanted one of them")
    if batches < 2:
        raise InputError(f"--batches: got {batches}, wanted at least 2")
    if model is not None:
        from isoclr.information.trained import family_bounds, parse_bands

        found = family_bounds(
            model,
            data=families or (),
            bands=parse_bands(bands),
            windows=windows,
            batch_size=batch_size,
            batches=batches,
        )
    elif conserved:
        from isoclr.information.bands import bands_pay

        if seeds < 2:
            raise InputError(f"--seeds: got {seeds}, wanted at least 2")
        found = bands_pay(Path(output), range(seeds))
    else:
        critics = None
        if train:
            from isoclr.information.training import trained_critics

            critics = trained_critics(Path(output))
        cells = known_table(model=substitutions, critics=critics, batches=batches, seed=seed)
        found = Table(substitutions, batches, list(cells))
    found.save(Path(output))
    return Printed(text=found.table(), data={"output": output, **plain_data(found)})
