"""isoclr embed: transcripts to embeddings."""

import os
from pathlib import Path
from typing import Annotated

from data_builders.counts import counted
from data_builders.records import InputError
from isoclr.cli.options import GuessCds, Model, Option, OtherGroups, Registry, Sources
from isoclr.cli.printed import Printed, reason_lines, reasons
from isoclr.shipped import DEFAULT_MODEL


def embed(
    sources: Sources,
    registry: Registry,
    output: Annotated[
        str, Option(metavar="FILE", help="of embeddings; a run that was cut off goes on with it")
    ],
    model: Model = DEFAULT_MODEL,
    groups: OtherGroups = None,
    config: Annotated[
        str | None, Option(metavar="NAME", help="of a dataset on the Hub that has several")
    ] = None,
    proteins: Annotated[
        str | None,
        Option(metavar="FILE", help="proteins instead, FASTA; for a model of proteins"),
    ] = None,
    guess_cds: GuessCds = None,
    per_position: Annotated[
        bool,
        Option("--per-position", help="a vector for every 32 nt instead of one a transcript"),
    ] = False,
    form: Annotated[
        str | None,
        Option("--format", help="parquet, h5ad, npz or tsv; none: by the file's suffix"),
    ] = None,
    overwrite: Annotated[
        bool, Option("--overwrite", help="replace an output that is there")
    ] = False,
) -> Printed:
    """Write an embedding of each transcript.

    Example:
    isoclr embed --transcripts isoforms.fa.gz --annotation isoforms.gtf.gz --output vectors.parquet
    isoclr embed --genome genome.fa.gz --annotation genes.gff3.gz --output vectors.parquet
    isoclr embed --table transcripts.parquet --output vectors.h5ad
    isoclr embed --model isoclr-protein-small --proteins proteins.fa --output vectors.parquet
    """
    import sys

    from data_builders.text import Tally
    from isoclr.evaluation.embed import embed_to_file
    from isoclr.evaluation.embedding_files import format_of, write_embeddings
    from isoclr.pretrained import load_model

    form = format_of(output, form, per_position)
    _check_output(output, form, overwrite)
    encoder, tokenizer = load_model(model)
    tally = Tally(strict=sources.strict)
    if proteins is None:
        transcripts = transcripts_to_embed(sources, registry, tally, groups=groups, config=config)
    elif groups or sources.begun or sources.named:
        raise InputError(f"--proteins {proteins}: wanted no sources and no --groups beside it")
    else:
        transcripts = _proteins(proteins, encoder.config.alphabet, tally)
    transcripts = checked(transcripts, "no transcript to embed", tally, guess_cds)
    coding = sum(transcript.cds_start >= 0 for transcript in transcripts)
    if proteins is None and 2 * coding < len(transcripts):
        print(
            f"isoclr embed: no CDS in {len(transcripts) - coding:,} of "
            f"{counted(len(transcripts), 'transcript')}: such embeddings are of less use "
            "(--guess-cds 300 takes the longest reading frame)",
            file=sys.stderr,
        )
    parquet = output if form == "parquet" else f"{output}.parquet"
    embed_to_file(
        parquet, encoder, tokenizer, transcripts, per_position=per_position, overwrite=overwrite
    )
    if form != "parquet":
        write_embeddings(parquet, output, form)
        Path(parquet).unlink()
    known_exons = sum(transcript.exon_junctions is not None for transcript in transcripts)
    width = encoder.config.hidden_size if per_position else encoder.config.pooled_size
    found = {"output": output, "format": form, "width": width, "transcripts": len(transcripts)}
    found |= {"with_cds": coding, "with_known_exons": known_exons, **reasons(tally)}
    made = f"embeddings of {encoder.config.pooled_size} numbers"
    if per_position:
        made = (
            f"vectors of {encoder.config.hidden_size} numbers, "
            f"one for {encoder.config.downsampling} {'letters' if proteins else 'nt'}"
        )
    of = f"{coding} with a CDS, {known_exons} of known exons"
    what = counted(len(transcripts), "protein" if proteins else "transcript")
    what += "" if proteins else f", {of}"
    lines = [f"{output}: {made}; {what}", *reason_lines(tally)]
    return Printed(text="\n".join(lines), data=found)


def _proteins(path: str, alphabet: str, tally) -> list:
    """Return the proteins of a file, for a model of proteins."""
    from isoclr.evaluation.coding import read_proteins

    if alphabet != "protein":
        raise InputError(f"--proteins {path}: got a --model of {alphabet}, wanted one of proteins")
    found, adjusted = read_proteins(path)
    tally.adjusted.update(adjusted)
    return found


def checked(transcripts: list, none: str, tally, guess_cds: int | None = None) -> list:
    """Return transcripts, with a CDS guessed where asked; there being none is an error."""
    from isoclr.evaluation.embed import guess_cds as guess

    if not transcripts:
        raise InputError(f"{none}; skipped: {dict(tally.skipped) or 'none'}")
    if guess_cds is not None:
        transcripts, guessed = guess(transcripts, guess_cds)
        tally.adjusted["CDS guessed: the longest reading frame"] += guessed
    return transcripts


def _check_output(output: str, form: str, overwrite: bool) -> None:
    """Refuse to replace a file; that a Parquet file is of this very run, it says itself."""
    if form != "parquet" and not overwrite and os.path.lexists(output):
        raise InputError(f"{output}: is there already, wanted another --output, or --overwrite")


def transcripts_to_embed(
    sources: Sources, registry: Registry, tally, *, groups: str | None, config: str | None = None
) -> list:
    """Return the transcripts of isoform groups or of sources, whichever is given."""
    from data_builders.groups.transcripts import read_source
    from isoclr.evaluation.embed import read_dataset

    made = [*registry.made(sources.named), *sources.made(species="unknown")]
    if config and not groups:
        raise InputError(f"--config {config}: wanted --groups with it")
    if groups and made:
        raise InputError(f"--groups {groups}: wanted no sources beside it")
    if groups:
        return [
            transcript for group in read_dataset(groups, config) for transcript in group.transcripts
        ]
    if not made:
        raise InputError("wanted --genome, --transcripts, --table, --species or --groups")
    return [transcript for source in made for transcript in read_source(source, tally)]
