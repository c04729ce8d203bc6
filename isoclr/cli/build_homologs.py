"""isoclr build-homologs: homologous sequences of any alphabet to families."""

from typing import Annotated, Literal

from data_builders.counts import counted
from isoclr.cli.command import LOCKS_OUTPUT
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed, reason_lines


def build_homologs(
    families: Annotated[
        list[str],
        Option(
            metavar="PATH",
            help="folder of FASTA, A3M, PHYLIP or Stockholm, one family a file; such a file; or a "
            "table (Parquet, TSV, CSV) with one sequence a row; repeat it for several",
        ),
    ],
    output: Annotated[str, Option(metavar="DIR", help="folder of the dataset")],
    columns: Annotated[
        str | None,
        Option(
            metavar="NAME=COLUMN,...",
            help="columns of a table that have other names than family, species, sequence, "
            "transcript_id, gene_id: family=..., species=..., sequence=..., member=..., gene=...",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="homology groups of the sequences, where these are whole proteomes: OrthoFinder's "
            "Orthogroups.tsv, OrthoDB's OG2genes, or group_id, species, gene_id",
        ),
    ] = None,
    alphabet: Annotated[
        Literal["rna", "protein"] | None, Option(help="of all sequences; else it is told by them")
    ] = None,
    distances: Annotated[
        str | None,
        Option(
            metavar="FILE|METHOD",
            help="Newick tree or table of species; or p, jc69, k80, poisson (of alignments), mash, "
            "none; else jc69 or poisson if the first family is aligned, and mash if not",
        ),
    ] = None,
    mash_k: Annotated[int | None, Option(help="length of the k-mers of mash")] = None,
    coding: Annotated[bool, Option("--coding", help="sequences are whole CDS, in frame")] = False,
    translate: Annotated[bool, Option("--translate", help="CDS to proteins")] = False,
    min_members: Annotated[int, Option(help="smallest family")] = 2,
    min_length: Annotated[int, Option(help="fewest known letters of a sequence")] = 1,
    strict: Annotated[bool, Option("--strict", help="what would be left out is an error")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="replace what is there")] = False,
) -> Printed:
    """Write families of homologs, with their distances.

    Example:
    isoclr build-homologs --families alignments --output families
    isoclr build-homologs --families cds.parquet --columns family=gene_id --coding --output families
    isoclr build-homologs --families proteomes --groups Orthogroups.tsv --output families
    """
    from data_builders.homology import homologs
    from data_builders.homology.sources import HomologSource, column_names
    from data_builders.homology.tables import HomologyTable

    table = None if groups is None else HomologyTable(groups)
    named = column_names(columns)
    report = homologs.build_homologs(
        [HomologSource(path, named, table) for path in families],
        output,
        homologs.HomologOptions(
            alphabet=alphabet,
            distances=distances,
            mash_k=mash_k,
            coding=coding,
            translate=translate,
            min_members=min_members,
            min_length=min_length,
            strict=strict,
        ),
        overwrite=overwrite,
    ).as_dict()
    lines = [
        f"{output}: {counted(report['families'], 'family', 'families')} of "
        f"{counted(report['sequences'], report['alphabet'] + ' sequence')} of "
        f"{report['species']} species; see report.json and report.png",
        *reason_lines(report),
    ]
    found = ", ".join(
        f"{method} ({counted(n, 'family', 'families')})"
        for method, n in report["distances"].items()
    )
    unknown = f"{report['pairs_without_distance']} of {report['pairs']} unknown"
    lines.append(f"  distances: {found}; {unknown}")
    if report["tree"]:
        lines.append(f"  tree: {report['tree']}")
    renamed = report["species_renamed"]
    if renamed:
        shown = ", ".join(f"{a} as {b}" for a, b in list(renamed.items())[:3])
        lines.append(f"  species renamed: {len(renamed)}, such as {shown}")
    return Printed(text="\n".join(lines), data={"output": output, **report})


setattr(build_homologs, LOCKS_OUTPUT, True)
