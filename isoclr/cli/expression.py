"""isoclr expression: read, split, simulate and embed matrices of expression."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

from data_builders.counts import counted
from data_builders.records import InputError
from isoclr.cli.command import LOCKS_OUTPUT
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed, plain_data
from isoclr.shipped import EXPRESSION_MODELS, resolve_model

DataFiles = Annotated[
    list[str], typer.Argument(help="matrices or tables of samples, see docs/EXPRESSION.md")
]


@dataclass(kw_only=True)
class Reading:
    """How files of expression are read."""

    PANEL: ClassVar = "Reading"

    unit: Annotated[
        Literal["counts", "tpm", "fpkm", "log2"] | None,
        Option(help="of the values; recognised by default"),
    ] = None
    layer: Annotated[str | None, Option(metavar="NAME", help="of AnnData; X by default")] = None
    genes_in: Annotated[
        Literal["rows", "columns"] | None, Option(help="of a TSV or CSV; told apart by default")
    ] = None
    aliases: Annotated[
        str | None, Option(metavar="FILE", help="a name of a gene, a tab, the name to use")
    ] = None
    obs: Annotated[
        str | None, Option(metavar="FILE", help="table of the samples: their names come first")
    ] = None
    recode: Annotated[
        str | None,
        Option(metavar="FILE", help="table of a column's values, such as tissue, then organ"),
    ] = None
    donors: Annotated[
        bool, Option("--donors", help="column donor, by the names of samples of GTEx and TCGA")
    ] = False

    def made(self):
        """Return the options as `read_expression` takes them."""
        from data_builders.expression.prepare import (
            ReadOptions,
            read_aliases,
            read_obs,
            read_recode,
        )

        return ReadOptions(
            unit=self.unit,
            layer=self.layer,
            genes_in=self.genes_in,
            aliases=read_aliases(self.aliases) if self.aliases else {},
            obs=read_obs(self.obs) if self.obs else {},
            recode=read_recode(self.recode) if self.recode else {},
            donors=self.donors,
        )


def prepare(
    files: DataFiles,
    reading: Reading,
    output: Annotated[str, Option(metavar="FILE", help="Parquet file"), (".parquet",)],
) -> Printed:
    """Write files of expression as one matrix of log2(x + 1), and say what was found.

    Example:
    isoclr expression prepare counts.tsv.gz --obs samples.tsv --output expression.parquet
    isoclr expression prepare atlas.h5ad --layer counts --output expression.parquet
    isoclr expression prepare quant/*.sf --output expression.parquet
    """
    from data_builders.expression.prepare import prepare_expression

    report = prepare_expression(files, output, reading.made())
    return Printed(text="\n".join(report.lines()), data={"output": output, **plain_data(report)})


def simulate(
    output: Annotated[
        str,
        Option(metavar="FILE", help=".h5ad, or .tsv or .tsv.gz and a table of samples beside"),
        (".h5ad", ".tsv", ".tsv.gz"),
    ],
    samples: Annotated[int, Option(help="how many, three a donor")] = 240,
    genes: Annotated[int, Option(help="how many")] = 600,
    tissues: Annotated[int, Option(help="classes")] = 6,
    seed: Annotated[int, Option(help="of the random numbers")] = 0,
) -> Printed:
    """Write simulated reads: programmes of genes by tissue, a nuisance batch, and outliers.

    Example:
    isoclr expression simulate --output simulated.h5ad
    """
    from data_builders.simulate.expression import simulate_expression, write_simulated

    simulated = simulate_expression(samples, genes, tissues=tissues, seed=seed)
    written = write_simulated(simulated, output)
    return Printed(
        text=f"{', '.join(map(str, written))}: {counted(samples, 'sample')} × "
        f"{counted(genes, 'gene')}",
        data={"files": written, "samples": samples, "genes": genes},
    )


def split(
    data: Annotated[str, typer.Argument(help="file of expression")],
    reading: Reading,
    label: Annotated[
        str, Option(metavar="COLUMN", help="classes, which both parts have in proportion")
    ],
    output: Annotated[str, Option(metavar="DIR", help="folder of train.parquet and all.parquet")],
    group: Annotated[
        str | None,
        Option(metavar="COLUMN", help="such as the donor, whose samples stay on one side"),
    ] = None,
    folds: Annotated[int, Option(help="the test part is one of so many, at least 2")] = 5,
    fold: Annotated[int, Option(help="which one, from 0")] = 0,
    seed: Annotated[int, Option(help="of the cut")] = 0,
) -> Printed:
    """Keep a fold of the samples for testing: train on train.parquet, which lacks it.

    In all.parquet the column part says train or test, for isoclr phenotype.

    Example:
    isoclr expression split expression.parquet --label tissue --group donor --output parts
    """
    from data_builders.expression.prepare import read_expression
    from data_builders.expression.split import Cut, split_expression
    from isoclr.evaluation.phenotype import with_label

    if folds < 2:
        raise InputError(f"--folds: got {folds}, wanted at least 2")
    matrix, report = read_expression([data], reading.made())
    matrix, without = with_label(matrix, label)
    cut = Cut(label=label, group=group, folds=folds, fold=fold, seed=seed)
    found = split_expression(matrix, Path(output), cut)
    said = [
        *report.lines(),
        f"{output}: {counted(found['train'], 'sample')} to train on, {found['test']:,} to test",
    ]
    if without:
        said.append(f"left out {counted(without, 'sample')} without {label}")
    return Printed(text="\n".join(said), data={"output": output, **found, "without": without})


def embed(
    model: Annotated[
        str,
        typer.Argument(help=f"folder, repository on the Hub, or {' or '.join(EXPRESSION_MODELS)}"),
    ],
    data: Annotated[str, typer.Argument(help="file of expression")],
    reading: Reading,
    output: Annotated[
        str,
        Option(metavar="FILE", help='.h5ad, as obsm["X_isoclr"], or .parquet'),
        (".h5ad", ".parquet"),
    ],
    label: Annotated[
        str | None, Option(metavar="COLUMN", help="draw a figure of the samples by it, .png")
    ] = None,
    map_by: Annotated[
        Literal["pca", "umap"],
        Option("--map", help="of the figure; umap where umap-learn is installed"),
    ] = "pca",
) -> Printed:
    """Write an embedding of each sample.

    Example:
    isoclr expression embed model expression.parquet --output embeddings.h5ad --label tissue
    isoclr expression embed expression-scarf-small atlas.h5ad --output embeddings.h5ad
    """
    from data_builders.expression.prepare import read_expression

    if label is None and map_by != "pca":
        raise InputError(f"--map {map_by}: wanted --label with it")
    matrix, read = read_expression([data], reading.made())
    column = None if label is None else matrix.column(label)

    from isoclr.evaluation.embed_expression import (  # torch, which takes seconds to import
        embed_expression,
        load_expression_model,
        plot_embeddings,
        write_embeddings,
    )

    encoder, processor = load_expression_model(resolve_model(model))
    embeddings, report = embed_expression(encoder, processor, matrix)
    write_embeddings(output, matrix, embeddings)
    lines = [*read.lines(), str(report), f"{output}: embeddings of {embeddings.shape[1]} numbers"]
    facts: dict[str, Any] = {
        "output": output,
        "width": embeddings.shape[1],
        "read": read,
        "genes": report,
    }
    if column is not None and label is not None:
        figure = Path(output).with_suffix(".png")
        plot_embeddings(embeddings, column, label, figure, map_by)
        lines.append(str(figure))
        facts["figure"] = figure
    return Printed(text="\n".join(lines), data=facts)


def demo(
    output: Annotated[
        str, Option(metavar="DIR", help="folder of everything it makes")
    ] = "demo-expression",
) -> None:
    """Run the path from simulated reads to the figure of phenotypes.

    Example:
    isoclr expression demo --output demo-expression
    """
    from isoclr.demo import run_demo
    from isoclr.demo_expression import expression_demo_commands, expression_summary

    run_demo(Path(output), expression_demo_commands, expression_summary)


setattr(demo, LOCKS_OUTPUT, True)

KINDS = {
    "prepare": prepare,
    "simulate": simulate,
    "split": split,
    "embed": embed,
    "demo": demo,
}
