"""isoclr interactions: evaluate models of RNA–protein pairs, and simulate pairs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from data_builders.counts import counted
from isoclr.cli.options import Option, seeds
from isoclr.cli.printed import Printed
from isoclr.shipped import resolve_recipe


def evaluate(
    sets: Annotated[
        list[str] | None, typer.Argument(help="folders of isoclr build-interactions")
    ] = None,
    output: Annotated[str, Option(metavar="DIR", help="folder of tables and figures")] = "pairs",
    published: Annotated[
        str | None,
        Option("--sets", metavar="DIR", help="folder of RPI*_pairs files: evaluate each set in it"),
    ] = None,
    splits: Annotated[
        str | None,
        Option(metavar="NAME,...", help="random, new-rna, new-protein, both-new; all by default"),
    ] = None,
    negatives: Annotated[
        Literal["redrawn", "given"],
        Option(help="drawn inside each side of each split, or those of the set"),
    ] = "redrawn",
    split_by: Annotated[
        Literal["cluster", "family"],
        Option(help="what stays on one side; of a molecule without a family, its cluster"),
    ] = "cluster",
    recipe: Annotated[
        list[str] | None,
        Option(metavar="RECIPE", help="train a model by it on each fold; repeat for several"),
    ] = None,
    ablations: Annotated[
        bool,
        Option(
            "--ablations",
            help="train each recipe without its vectors too: random or one-hot ones",
        ),
    ] = False,
    scores: Annotated[
        list[str] | None,
        Option(metavar="NAME=FILE", help="table of rna_id, protein_id and score of a model"),
    ] = None,
    strangers: Annotated[
        str | None,
        Option(metavar="FILE", help="rna_sequence and protein_sequence of pairs that do not bind"),
    ] = None,
    folds: Annotated[int, Option(help="how many, at least 2")] = 4,
    n_seeds: Annotated[int, Option("--seeds", help="how many cuts into folds")] = 2,
    trees: Annotated[int, Option(help="of the forests")] = 60,
    controls: Annotated[
        str | None,
        Option(
            metavar="NAME,...",
            help="beside the k-mer forest: k-mer boosting, two towers of k-mers, RNA only, protein "
            "only, look-up table, degree; all by default",
        ),
    ] = None,
) -> Printed:
    """Compare models of pairs with what sees no sequence, one sequence, and plain models of both.

    Example:
    isoclr interactions evaluate pairs --output results
    isoclr interactions evaluate pairs --recipe interactions/kernel --output results
    isoclr interactions evaluate --sets rna_protein --negatives given --splits random --folds 5
    """
    from isoclr.evaluation.interactions import (
        InteractionOptions,
        evaluate_interactions,
        write_sets,
    )
    from isoclr.evaluation.interactions_sources import (
        models_of,
        named_sets,
        read_strangers,
    )

    options = InteractionOptions(
        kinds=InteractionOptions.kinds if splits is None else tuple(splits.split(",")),
        negatives=negatives,
        split_by=split_by,
        folds=folds,
        seeds=seeds(n_seeds),
        trees=trees,
        controls=InteractionOptions.controls if controls is None else controls.split(","),
    )
    pairs = None if strangers is None else read_strangers(strangers)
    tables, data, all_sets = [], {}, {}
    for name, interactions in named_sets(sets or [], published):
        folder = Path(output) / "models" / name
        models = models_of(
            [str(resolve_recipe(one)) for one in recipe or []], scores or [], folder, ablations
        )
        found = evaluate_interactions(interactions, name, Path(output), options, models, pairs)
        tables += [kind.table() for kind in found.values()]
        data[name] = {kind: each.as_dict() for kind, each in found.items()}
        all_sets[name] = found
    table = write_sets(all_sets, Path(output), f"sets_{negatives}")
    tables += [table] if len(all_sets) > 1 else []
    return Printed(text="\n\n".join(tables), data={"output": output, "sets": data})


def simulate(
    output: Annotated[str, Option(metavar="DIR", help="folder of the data set")],
    rnas: Annotated[int, Option(help="how many")] = 240,
    proteins: Annotated[int, Option(help="how many")] = 160,
    motifs: Annotated[int, Option(help="pairs of motifs")] = 6,
    seed: Annotated[int, Option(help="of the random numbers")] = 0,
) -> Printed:
    """Write a set of pairs in which motifs of both sequences decide what binds.

    Example:
    isoclr interactions simulate --output simulated
    """
    from data_builders.interactions.dataset import write_interactions
    from data_builders.simulate.interactions import simulate_interactions

    simulated = simulate_interactions(rnas, proteins, motifs=motifs, seed=seed)
    write_interactions(simulated, output)
    interacting = len(simulated.positives)
    return Printed(
        text=f"{output}: {counted(len(simulated), 'pair')} of {counted(rnas, 'RNA')} and "
        f"{counted(proteins, 'protein')}, "
        f"{interacting:,} of which interact",
        data={"output": output, "pairs": len(simulated), "interacting": interacting}
        | {"rnas": rnas, "proteins": proteins},
    )


KINDS = {"evaluate": evaluate, "simulate": simulate}
