"""The command line: each subcommand parses arguments and calls one function."""

import argparse
import sys
from pathlib import Path

from data_builders.records import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run `isoclr`; 0 when done, 2 after one line on standard error about what is wrong."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except InputError as error:
        print(f"isoclr {parsed.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"isoclr {parsed.command}: {error.filename or ''}: {error.strerror or error}",
            file=sys.stderr,
        )
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="isoclr", description="RNA isoform encoders")
    commands = parser.add_subparsers(dest="command", required=True)

    build = commands.add_parser("build", help="annotation to isoform groups", epilog=_SOURCES)
    _add_sources(build)
    build.add_argument("--homology", help="table of homology groups, or HomoloGene's")
    build.add_argument(
        "--merge",
        choices=("across", "within"),
        default="across",
        help="homologous genes of all species make a group, or of each species (the paper)",
    )
    build.add_argument("--max-length", type=int, default=12288, help="longest transcript, nt")
    build.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="build part I, from 0, of N that make the dataset once they are in one folder",
    )
    build.add_argument("--output", required=True, help="folder of the dataset")
    build.add_argument("--overwrite", action="store_true", help="replace what is there")
    build.set_defaults(run=_build)

    embed = commands.add_parser("embed", help="transcripts to embeddings", epilog=_SOURCES)
    _add_sources(embed)
    _add_model(embed)
    embed.add_argument("--groups", help="folder of isoform groups instead")
    embed.add_argument("--output", required=True, help="Parquet file of embeddings")
    embed.set_defaults(run=_embed)

    probe = commands.add_parser("probe", help="linear probe beside honest baselines")
    _add_model(probe)
    probe.add_argument("--labels", required=True, help="table of labels")
    probe.add_argument("--label", required=True, help="its column to predict")
    probe.add_argument("--groups", help="folder of isoform groups that has the transcripts")
    probe.add_argument("--homology", help="HomoloGene table, for labels with gene symbols")
    probe.add_argument("--taxonomy", type=int, default=9606, help="species in it (human)")
    probe.add_argument("--split", choices=("homology", "random"), default="homology")
    probe.add_argument("--output", required=True, help="folder of probe.json and probe.png")
    probe.set_defaults(run=_probe)

    push = commands.add_parser("push", help="share a model folder on the Hub")
    push.add_argument("folder", help="model folder that train.py wrote")
    push.add_argument("repo", help="owner/name on the Hub; made when there is none")
    push.add_argument("--private", action="store_true", help="for its owner's eyes")
    push.set_defaults(run=_push)

    simulate = commands.add_parser("simulate", help="a small clade, as real files")
    simulate.add_argument("--species", type=int, default=3)
    simulate.add_argument("--genes", type=int, default=420, help="of the common ancestor")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--output", required=True, help="folder of the files")
    simulate.set_defaults(run=_simulate)

    demo = commands.add_parser("demo", help="the whole path on simulated genomes")
    demo.add_argument("--output", default="demo", help="folder of everything it makes")
    demo.set_defaults(run=_demo)
    return parser


_SOURCES = (
    "Each --genome, --transcripts or --table begins a source; an --annotation, --aliases or "
    "--species after it belongs to it. Repeat them for several species."
)
_BELONGS_TO = {
    "annotation": ("genome", "transcripts"),
    "aliases": ("genome",),
    "species": ("genome", "transcripts", "table"),
}


class _Begins(argparse.Action):
    """Opens a source of transcripts."""

    def __call__(self, parser, namespace, value, option_string=None):
        namespace.sources = [*namespace.sources, {self.dest: value}]


class _Belongs(argparse.Action):
    """Tells more of the source before it."""

    def __call__(self, parser, namespace, value, option_string=None):
        source = namespace.sources[-1] if namespace.sources else {}
        owners = _BELONGS_TO[self.dest]
        if not source.keys() & owners:
            wanted = " or ".join(f"--{owner}" for owner in owners)
            parser.error(f"{option_string} {value}: wanted a {wanted} before it")
        if self.dest in source:
            parser.error(f"{option_string} {value}: this source has {source[self.dest]} already")
        source[self.dest] = value


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sources")
    for option, text in (
        ("--genome", "FASTA or 2bit of a genome; needs an --annotation"),
        ("--transcripts", "FASTA of spliced transcripts"),
        ("--table", "Parquet, TSV or CSV: transcript_id, gene_id, sequence and more"),
    ):
        group.add_argument(option, action=_Begins, metavar="FILE", help=text)
    for option, text in (
        ("--annotation", "GTF, GFF3, genePred or BED12"),
        ("--aliases", "names of chromosomes, such as UCSC's chromAlias.txt"),
    ):
        group.add_argument(option, action=_Belongs, metavar="FILE", help=text)
    group.add_argument("--species", action=_Belongs, metavar="NAME")
    group.add_argument("--strict", action="store_true", help="a skipped record is an error")
    parser.set_defaults(sources=[])


def _shard(value: str) -> tuple[int, int]:
    number, _, shards = value.partition("/")
    if not (number.isdecimal() and shards.isdecimal()):
        raise argparse.ArgumentTypeError(f"got '{value}', wanted I/N, such as 0/4")
    return int(number), int(shards)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="model folder or Hub repository")


def _sources(parsed: argparse.Namespace, species: str | None = None) -> list:
    """The sources of a command line; `species` stands in where none is named."""
    from data_builders.build import FastaSource, GenomeSource, TableSource

    made = []
    for source in parsed.sources:
        (option, path), *_ = source.items()
        name = source.get("species", species)
        if option == "table":
            made.append(TableSource(path, source.get("species")))
            continue
        if name is None:
            raise InputError(f"--{option} {path}: wanted a --species after it")
        if option == "transcripts":
            made.append(FastaSource(path, name, source.get("annotation")))
        elif "annotation" not in source:
            raise InputError(f"--genome {path}: wanted an --annotation after it")
        else:
            made.append(GenomeSource(path, source["annotation"], name, source.get("aliases")))
    return made


def _build(parsed: argparse.Namespace) -> None:
    from data_builders.build import build
    from data_builders.staging import shard_name

    report = build(
        _sources(parsed),
        parsed.output,
        homology=parsed.homology,
        merge=parsed.merge,
        max_length=parsed.max_length,
        shard=parsed.shard,
        strict=parsed.strict,
        overwrite=parsed.overwrite,
    )
    for source in [*report["sources"], {"species": "all", **report["grouping"]}]:
        print(f"{source['species'] or 'table'}: {source['kept']} of {source['read']} transcripts")
        _print_reasons(source["skipped"], "skipped")
        _print_reasons(source["adjusted"], "adjusted")
    dataset = report["dataset"]
    name = "report" if parsed.shard is None else f"reports/{shard_name(parsed.shard)}"
    print(
        f"{parsed.output}: {dataset['groups']} isoform groups, {dataset['transcripts']} "
        f"transcripts of {dataset['genes']} genes, {dataset['with_cds']} with a CDS; "
        f"see {name}.json and {name}.png"
    )


def _print_reasons(reasons: dict[str, int], what: str) -> None:
    for reason, n in reasons.items():
        print(f"  {what} {n}: {reason}")


def _embed(parsed: argparse.Namespace) -> None:
    from data_builders.groups import read_groups
    from data_builders.text import Tally
    from isoclr.evaluation.embed import embed_transcripts, load_model, write_embeddings

    tally = Tally(strict=parsed.strict)
    if parsed.groups:
        transcripts = [t for group in read_groups(parsed.groups) for t in group.transcripts]
    else:
        sources = _sources(parsed, species="unknown")
        if not sources:
            raise InputError("wanted --genome, --transcripts, --table or --groups")
        transcripts = [t for source in sources for t in source.read(tally, {})]
    if not transcripts:
        raise InputError(f"no transcript to embed; skipped: {dict(tally.skipped) or 'none'}")
    model, tokenizer = load_model(parsed.model)
    embeddings = embed_transcripts(model, tokenizer, transcripts)
    write_embeddings(parsed.output, transcripts, embeddings, parsed.model)
    print(f"{parsed.output}: {len(transcripts)} embeddings of {embeddings.shape[1]} numbers")
    _print_reasons(tally.skipped, "skipped")
    _print_reasons(tally.adjusted, "adjusted")


def _probe(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.run import probe_model

    result = probe_model(
        parsed.model,
        parsed.labels,
        parsed.label,
        Path(parsed.output),
        isoform_groups=parsed.groups,
        homology=parsed.homology,
        taxonomy=parsed.taxonomy,
        split=parsed.split,
    )
    print(result.table())


def _push(parsed: argparse.Namespace) -> None:
    from isoclr.hub import push

    print(push(parsed.folder, parsed.repo, parsed.private))


def _simulate(parsed: argparse.Namespace) -> None:
    from data_builders.simulate import simulate_clade

    clade = simulate_clade(
        Path(parsed.output), species=parsed.species, genes=parsed.genes, seed=parsed.seed
    )
    print(f"{parsed.output}: {', '.join(clade.species)}")
    print(", ".join(f"{n} {what}" for what, n in clade.counts.items()))


def _demo(parsed: argparse.Namespace) -> None:
    from isoclr.demo import run_demo

    run_demo(Path(parsed.output))
