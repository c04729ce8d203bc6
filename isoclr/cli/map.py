"""isoclr map: embeddings on a plane, and their clusters."""

from pathlib import Path
from typing import Annotated

import typer

from data_builders.counts import counted
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed


def map(  # noqa: A001  the command's name
    embeddings: Annotated[str, typer.Argument(help="file that isoclr embed wrote, of any format")],
    output: Annotated[str, Option(metavar="DIR", help="folder of map.png, map.tsv and map.h5ad")],
    by: Annotated[str, Option(help="pca, or umap where umap-learn is installed")] = "pca",
    clusters: Annotated[
        int | None, Option(metavar="N", help="how many; none: the number of best silhouette")
    ] = None,
    labels: Annotated[
        str | None, Option(metavar="FILE", help="table with transcript_id, to colour the map by")
    ] = None,
    label: Annotated[str | None, Option(metavar="COLUMN", help="of the table")] = None,
) -> Printed:
    """Draw a map of embeddings and cluster them.

    map.h5ad, for scanpy and its kin, is written where anndata is installed.

    Example:
    isoclr map embeddings.parquet --output map
    isoclr map embeddings.parquet --labels half_life.tsv --label half_life --output map
    """
    from isoclr.report.map import map_embeddings

    table = map_embeddings(
        embeddings, Path(output), by=by, clusters=clusters, labels=labels, label=label
    )
    sizes = table["cluster"].value_counts(sort=True)["count"].to_list()
    return Printed(
        text=f"{output}: {len(table):,} transcripts in {counted(len(sizes), 'cluster')} of {sizes}",
        data={"output": output, "transcripts": len(table), "clusters": sizes},
    )
