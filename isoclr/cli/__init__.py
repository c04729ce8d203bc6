"""The command line: each subcommand parses arguments and calls one function."""

import argparse
import re
import sys
from pathlib import Path

from data_builders.records import InputError
from isoclr.shipped import SHIPPED_MODEL


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
    _add_registry(build)
    _add_homology(build)
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
    _add_registry(embed)
    _add_model(embed)
    embed.add_argument("--groups", help="isoform groups instead: folder, or dataset on the Hub")
    embed.add_argument("--config", metavar="NAME", help="of a dataset on the Hub that has several")
    embed.add_argument(
        "--guess-cds",
        type=int,
        metavar="NT",
        help="where there is no CDS, the longest reading frame of at least so many nt",
    )
    embed.add_argument(
        "--per-position",
        action="store_true",
        help="a vector for every 32 nt instead of one a transcript",
    )
    embed.add_argument(
        "--output", required=True, help="Parquet file; a run that was cut off goes on with it"
    )
    embed.set_defaults(run=_embed)

    probe = commands.add_parser("probe", help="linear probe beside honest baselines")
    probe.add_argument(
        "--model",
        action="append",
        help=f"folder or Hub repository; model_cards/{SHIPPED_MODEL.name} by default; repeat it to "
        "compare others with the first",
    )
    probe.add_argument("--labels", required=True, help="table of labels, or a label set")
    probe.add_argument("--label", help="the table's column; none for a label set")
    probe.add_argument("--groups", help="folder of isoform groups that has the transcripts")
    _add_homology(probe)
    probe.add_argument("--taxonomy", type=int, default=9606, help="species in it (human)")
    probe.add_argument(
        "--split", choices=("homology", "random", "chromosome", "k-mer"), default="homology"
    )
    probe.add_argument(
        "--chromosomes",
        metavar="FILE",
        help="table of gene_id or transcript_id and chromosome; none: the labels have them",
    )
    probe.add_argument(
        "--few-labels", metavar="N,...", type=_whole_numbers, default=(), help="such as 85,171"
    )
    probe.add_argument(
        "--kmers",
        metavar="LOW-HIGH,...",
        type=_ranges,
        help="lengths in each control of k-mers; 1-6,3-7 by default",
    )
    _add_saluki(probe)
    probe.add_argument("--output", required=True, help="folder of probe.json and probe.png")
    probe.set_defaults(run=_probe)

    retrieve = commands.add_parser("retrieve", help="do isoforms and homologs come first?")
    _add_model(retrieve)
    retrieve.add_argument("--groups", required=True, help="folder of isoform groups")
    retrieve.add_argument("--queries", type=int, default=1000, help="of each type of pair")
    retrieve.add_argument("--candidates", type=int, default=10_000, help="transcripts to search")
    retrieve.add_argument("--seed", type=int, default=0, help="of the sample")
    retrieve.add_argument("--output", required=True, help="folder of retrieve.json, .tsv and .png")
    retrieve.set_defaults(run=_retrieve)

    discriminants = commands.add_parser(
        "discriminants", help="add to a trained encoder what homologs have in common"
    )
    _add_model(discriminants)
    discriminants.add_argument("--groups", required=True, help="folder of isoform groups")
    discriminants.add_argument("--discriminants", type=int, default=24, help="how many")
    discriminants.add_argument("--features", type=int, default=1024, help="columns made of them")
    discriminants.add_argument("--transcripts", type=int, default=20_000, help="how many suffice")
    discriminants.add_argument("--seed", type=int, default=0, help="of the sample")
    discriminants.add_argument("--output", required=True, help="folder of the model with them")
    discriminants.set_defaults(run=_discriminants)

    go = commands.add_parser("go", help="do genes of one GO term lie together?")
    _add_model(go)
    go.add_argument("--labels", required=True, help="label set that 'isoclr labels go' wrote")
    go.add_argument("--terms", type=int, default=10, help="how many, the most frequent")
    go.add_argument("--max-share", type=float, default=0.1, help="of the genes that have a term")
    go.add_argument("--obo", metavar="FILE", help="ontology, to choose terms by level instead")
    go.add_argument("--level", type=int, default=3, help="steps from the root of the ontology")
    go.add_argument("--aspect", choices=("F", "P", "C"), default="F", help="of the ontology")
    go.add_argument("--seeds", type=int, default=10, help="how many splits the probe takes")
    _add_saluki(go)
    go.add_argument("--output", required=True, help="folder of go and probe, .json and .png")
    go.set_defaults(run=_go)

    explain = commands.add_parser(
        "explain",
        help="what a prediction owes to each base of a transcript",
        epilog=f"{_SOURCES} With --labels alone the transcript is one of theirs.",
    )
    _add_sources(explain)
    _add_registry(explain)
    _add_model(explain)
    explain.add_argument("--groups", help="isoform groups instead: folder, or dataset on the Hub")
    explain.add_argument("--transcript", required=True, metavar="ID", help="the one to explain")
    explain.add_argument(
        "--labels", metavar="FILE", help="label set: explain a linear probe of it, not a head"
    )
    explain.add_argument(
        "--class", dest="class_name", metavar="NAME", help="of the label set, or of the head"
    )
    explain.add_argument(
        "--similar-to", metavar="ID", help="explain the similarity to that transcript instead"
    )
    explain.add_argument(
        "--window", type=_window, metavar="START:END", help="mutate those positions alone, 0-based"
    )
    explain.add_argument("--stride", type=int, default=1, help="mutate every so many positions")
    explain.add_argument("--output", required=True, help="folder of explain.json, .tsv and .png")
    explain.set_defaults(run=_explain, config=None)

    finetune = commands.add_parser("finetune", help="fine-tuned, frozen and from scratch")
    _add_supervised(finetune)
    finetune.add_argument(
        "--single-label", action="store_true", help="a transcript has exactly one of the classes"
    )
    finetune.add_argument(
        "--output", required=True, help="folder of model, finetune.json and finetune.png"
    )
    finetune.set_defaults(run=_finetune)

    low_data = commands.add_parser("low-data", help="few labels to many, beside controls")
    _add_supervised(low_data)
    low_data.add_argument(
        "--methods", metavar="NAME,...", help="see docs/EVALUATION.md; all by default"
    )
    low_data.add_argument(
        "--fractions", metavar="X,...", type=_numbers, help="of the train rows; 0.005 to 1"
    )
    low_data.add_argument(
        "--output", required=True, help="folder of low_data.json and .png; goes on with its runs"
    )
    low_data.set_defaults(run=_low_data)

    _add_labels(commands.add_parser("labels", help="measurements and GO terms to a label set"))

    card = commands.add_parser("card", help="write a model folder's card, README.md, anew")
    card.add_argument("folder", help="model that train.py wrote")
    card.add_argument(
        "--results",
        metavar="FILE",
        action="append",
        help="probe.json about it, repeated; none: those in results/*/ of the folder",
    )
    card.set_defaults(run=_card)

    push = commands.add_parser("push", help="share a model or a dataset on the Hub")
    push.add_argument("folder", help="model that train.py wrote, or isoform groups")
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
    "reference": ("homology",),
    "query": ("homology",),
    "level": ("homology",),
    "homology_genes": ("homology",),
}


class _Begins(argparse.Action):
    """Opens a source of transcripts, or a table of homology: `const` is the list it goes to."""

    def __call__(self, parser, namespace, value, option_string=None):
        setattr(namespace, self.const, [*getattr(namespace, self.const), {self.dest: value}])


class _Belongs(argparse.Action):
    """Tells more of the last in the list `const`."""

    def __call__(self, parser, namespace, value, option_string=None):
        last = (getattr(namespace, self.const) or [{}])[-1]
        owners = _BELONGS_TO[self.dest]
        if not last.keys() & owners:
            wanted = " or ".join(f"--{owner}" for owner in owners)
            parser.error(f"{option_string} {value}: wanted a {wanted} before it")
        if self.dest in last:
            parser.error(f"{option_string} {value}: got {last[self.dest]} for it already")
        last[self.dest] = value


class _Species(_Belongs):
    """The species of the source before it; before all sources, one on its own."""

    def __call__(self, parser, namespace, value, option_string=None):
        if namespace.sources:
            super().__call__(parser, namespace, value, option_string)
        else:
            namespace.named = [*namespace.named, *value.split(",")]


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sources")
    for option, text in (
        ("--genome", "FASTA or 2bit of a genome; needs an --annotation"),
        ("--transcripts", "FASTA of spliced transcripts"),
        ("--table", "Parquet, TSV or CSV: transcript_id, gene_id, sequence and more"),
    ):
        group.add_argument(option, action=_Begins, const="sources", metavar="FILE", help=text)
    for option, text in (
        ("--annotation", "GTF, GFF3, genePred or BED12"),
        ("--aliases", "names of chromosomes, such as UCSC's chromAlias.txt"),
    ):
        group.add_argument(option, action=_Belongs, const="sources", metavar="FILE", help=text)
    group.add_argument(
        "--species", action=_Species, const="sources", metavar="NAME", help="name of the species"
    )
    group.add_argument("--strict", action="store_true", help="a skipped record is an error")
    parser.set_defaults(sources=[], named=[])


def _add_registry(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "genomes by name", "--species NAME,... before all sources: downloaded, see docs/SPECIES.md"
    )
    group.add_argument("--release", type=int, help="of Ensembl; none: the genomes of IsoCLR")
    group.add_argument("--cache", metavar="DIR", help="folder of downloads")
    group.add_argument("--registry", metavar="FILE", help="table of genomes of your own")


def _add_homology(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("homology", "repeat --homology to join several tables")
    group.add_argument(
        "--homology",
        action=_Begins,
        const="tables",
        metavar="FILE",
        help="table of a layout in docs/HOMOLOGY.md; what follows belongs to it",
    )
    for option, metavar, text in (
        ("--reference", "NAME", "species of BioMart's first genes, or TOGA's reference"),
        ("--query", "NAME", "TOGA's query species"),
        ("--level", "ID", "taxonomy id of the OrthoDB level to use"),
        ("--homology-genes", "FILE", "OrthoDB's table of genes"),
    ):
        group.add_argument(option, action=_Belongs, const="tables", metavar=metavar, help=text)
    parser.set_defaults(tables=[])


def _add_labels(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, text in (
        ("half-life", "Saluki's table, or another of a half-life"),
        ("ribosome-load", "a 5'UTR reporter library, or a load for each transcript"),
        ("localisation", "the Human Protein Atlas' table, or columns of 0 and 1"),
        ("go", "sets of genes (GMT), or annotations (GAF) with --obo"),
        ("table", "a number for each transcript or gene"),
    ):
        labels = kinds.add_parser(
            kind,
            help=text,
            epilog=f"{_SOURCES} A --species before all of them is that of the labels.",
        )
        labels.add_argument("file", help=text)
        if kind == "go":
            labels.add_argument("--obo", metavar="FILE", help="ontology; FILE is a GAF then")
            labels.add_argument("--min-genes", type=int, default=1, help="a term's fewest genes")
        elif kind != "localisation":
            labels.add_argument("--label", required=kind == "table", help="its column to predict")
        labels.add_argument("--groups", metavar="DIR", help="isoform groups of the transcripts")
        _add_sources(labels)
        _add_homology(labels)
        labels.add_argument("--seed", type=int, default=0, help="of the split")
        labels.add_argument("--output", required=True, help="Parquet file of the label set")
        labels.set_defaults(run=_labels)


def _shard(value: str) -> tuple[int, int]:
    number, _, shards = value.partition("/")
    if not (number.isdecimal() and shards.isdecimal()):
        raise argparse.ArgumentTypeError(f"got '{value}', wanted I/N, such as 0/4")
    return int(number), int(shards)


def _window(value: str) -> tuple[int, int]:
    start, _, end = value.partition(":")
    if not (start.isdecimal() and end.isdecimal()):
        raise argparse.ArgumentTypeError(f"got '{value}', wanted START:END, such as 0:300")
    return int(start), int(end)


def _add_saluki(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--saluki", action="store_true", help="train a supervised network beside, which takes long"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default=str(SHIPPED_MODEL),
        help=f"folder or Hub repository; model_cards/{SHIPPED_MODEL.name} by default",
    )


def _add_supervised(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--labels", required=True, help="table of labels, or a label set")
    parser.add_argument("--label", help="the table's column; none for a label set")
    parser.add_argument("--groups", help="folder of isoform groups that has the transcripts")
    _add_homology(parser)
    parser.add_argument("--taxonomy", type=int, default=9606, help="species in it (human)")
    parser.add_argument("--split", choices=("homology", "random"), default="homology")
    parser.add_argument("--seeds", type=int, default=3, help="how many of the ten splits")
    parser.add_argument("--settings", metavar="FILE", help="YAML, as recipes/finetune/isoclr.yaml")
    parser.add_argument("--max-length", type=int, help="crop around the CDS to so many nt")


def _numbers(value: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, value.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got '{value}', wanted numbers, such as 0.1,1") from None


def _whole_numbers(value: str) -> tuple[int, ...]:
    if not all(number.isdecimal() for number in value.split(",")):
        raise argparse.ArgumentTypeError(f"got '{value}', wanted whole numbers, such as 85,171")
    return tuple(map(int, value.split(",")))


def _ranges(value: str) -> tuple[tuple[int, int], ...]:
    found = [re.fullmatch(r"([1-9])-([1-9])", part) for part in value.split(",")]
    if not all(found) or any(match[1] > match[2] for match in found):
        raise argparse.ArgumentTypeError(f"got '{value}', wanted lengths up to 9, such as 1-6,3-7")
    return tuple((int(match[1]), int(match[2])) for match in found)


def _sources(parsed: argparse.Namespace, species: str | None = None) -> list:
    """The sources of a command line; `species` stands in where none is named."""
    from data_builders.groups.build import FastaSource, GenomeSource, TableSource

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


def _genomes_by_name(parsed: argparse.Namespace) -> list:
    from data_builders.genomes.registry import sources

    options = {name: getattr(parsed, name) for name in ("release", "cache", "registry")}
    given = {name: value for name, value in options.items() if value is not None}
    if given and not parsed.named:
        raise InputError(f"--{min(given)}: wanted a --species before all sources")
    return sources(parsed.named, **given) if parsed.named else []


def _homology(parsed: argparse.Namespace) -> list | None:
    """The tables of a command line, None when there is none."""
    from data_builders.homology.tables import HomologyTable

    return [
        HomologyTable(
            table["homology"],
            species=table.get("reference"),
            query=table.get("query"),
            level=table.get("level"),
            genes=table.get("homology_genes"),
        )
        for table in parsed.tables
    ] or None


def _build(parsed: argparse.Namespace) -> None:
    from data_builders.groups.build import build
    from data_builders.staging import shard_name

    report = build(
        [*_genomes_by_name(parsed), *_sources(parsed)],
        parsed.output,
        homology=_homology(parsed),
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
    from data_builders.text import Tally
    from isoclr.evaluation.embed import embed_to_file, guess_cds, load_model

    model, tokenizer = load_model(parsed.model)
    tally = Tally(strict=parsed.strict)
    transcripts = _transcripts_to_embed(parsed, tally)
    if not transcripts:
        raise InputError(f"no transcript to embed; skipped: {dict(tally.skipped) or 'none'}")
    if parsed.guess_cds is not None:
        transcripts, guessed = guess_cds(transcripts, parsed.guess_cds)
        tally.adjusted["CDS guessed: the longest reading frame"] += guessed
    embed_to_file(parsed.output, model, tokenizer, transcripts, per_position=parsed.per_position)
    config = model.config
    made = f"embeddings of {config.pooled_size} numbers"
    if parsed.per_position:
        made = f"vectors of {config.hidden_size} numbers, one for {config.downsampling} nt"
    print(
        f"{parsed.output}: {made}; {len(transcripts)} transcripts, "
        f"{sum(t.cds_start >= 0 for t in transcripts)} with a CDS, "
        f"{sum(t.exon_junctions is not None for t in transcripts)} of known exons"
    )
    _print_reasons(tally.skipped, "skipped")
    _print_reasons(tally.adjusted, "adjusted")


def _transcripts_to_embed(parsed: argparse.Namespace, tally) -> list:
    from isoclr.evaluation.embed import read_dataset

    sources = [*_genomes_by_name(parsed), *_sources(parsed, species="unknown")]
    if parsed.config and not parsed.groups:
        raise InputError(f"--config {parsed.config}: wanted --groups with it")
    if parsed.groups and sources:
        raise InputError(f"--groups {parsed.groups}: wanted no sources beside it")
    if parsed.groups:
        groups = read_dataset(parsed.groups, parsed.config)
        return [transcript for group in groups for transcript in group.transcripts]
    if not sources:
        raise InputError("wanted --genome, --transcripts, --table, --species or --groups")
    return [transcript for source in sources for transcript in source.read(tally, {})]


def _probe(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.controls import KMERS
    from isoclr.evaluation.probe import few_labels_table
    from isoclr.evaluation.run import probe_models

    results = probe_models(
        parsed.model or [str(SHIPPED_MODEL)],
        parsed.labels,
        parsed.label,
        Path(parsed.output),
        isoform_groups=parsed.groups,
        homology=_homology(parsed),
        taxonomy=parsed.taxonomy,
        split=parsed.split,
        chromosomes=parsed.chromosomes,
        kmers=parsed.kmers or KMERS,
        saluki=parsed.saluki,
        few_labels=parsed.few_labels,
    )
    print(results[-1].table())
    if parsed.few_labels:
        print(few_labels_table(results))


def _retrieve(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.retrieve import retrieve_model

    result = retrieve_model(
        parsed.model,
        parsed.groups,
        Path(parsed.output),
        queries=parsed.queries,
        candidates=parsed.candidates,
        seed=parsed.seed,
    )
    print(result.table())


def _discriminants(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.discriminants import add_discriminants

    about = add_discriminants(
        parsed.model,
        parsed.groups,
        Path(parsed.output),
        discriminants=parsed.discriminants,
        features=parsed.features,
        transcripts=parsed.transcripts,
        seed=parsed.seed,
    )
    print(about.table())


def _go(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.go import go_model

    separation, probed = go_model(
        parsed.model,
        parsed.labels,
        Path(parsed.output),
        terms=parsed.terms,
        max_share=parsed.max_share,
        obo=parsed.obo,
        level=parsed.level,
        aspect=parsed.aspect,
        seeds=_seeds(parsed),
        saluki=parsed.saluki,
    )
    print(separation.table())
    print(probed.table())


def _explain(parsed: argparse.Namespace) -> None:
    from data_builders.labels.files import read_label_set
    from data_builders.text import Tally
    from isoclr.evaluation.explain import explain_model

    tally = Tally(strict=parsed.strict)
    given = parsed.groups or parsed.sources or parsed.named or not parsed.labels
    explanation = explain_model(
        parsed.model,
        _transcripts_to_embed(parsed, tally) if given else None,
        parsed.transcript,
        Path(parsed.output),
        labels=read_label_set(parsed.labels)[0] if parsed.labels else None,
        class_name=parsed.class_name,
        similar_to=parsed.similar_to,
        window=parsed.window,
        stride=parsed.stride,
    )
    print(explanation.table())
    _print_reasons(tally.skipped, "skipped")
    _print_reasons(tally.adjusted, "adjusted")


def _seeds(parsed: argparse.Namespace) -> tuple[int, ...]:
    from data_builders.labels.splits import SEEDS

    if not 2 <= parsed.seeds <= len(SEEDS):
        raise InputError(f"--seeds: got {parsed.seeds}, wanted 2 to {len(SEEDS)}")
    return SEEDS[: parsed.seeds]


def _supervised(parsed: argparse.Namespace) -> dict:
    """What `finetune` and `low-data` have in common, as their functions take it."""
    from isoclr.evaluation.supervised import DEFAULTS, read_settings

    if parsed.max_length is not None and parsed.max_length < 1:
        raise InputError(f"--max-length: got {parsed.max_length}, wanted at least 1")
    return {
        "isoform_groups": parsed.groups,
        "homology": _homology(parsed),
        "taxonomy": parsed.taxonomy,
        "split": parsed.split,
        "seeds": _seeds(parsed),
        "settings": DEFAULTS if parsed.settings is None else read_settings(parsed.settings),
        "max_length": parsed.max_length,
    }


def _finetune(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.finetune import finetune_model

    result = finetune_model(
        parsed.model,
        parsed.labels,
        parsed.label,
        Path(parsed.output),
        single_label=parsed.single_label,
        **_supervised(parsed),
    )
    print(result.table())


def _low_data(parsed: argparse.Namespace) -> None:
    from isoclr.evaluation.low_data import FRACTIONS, METHODS, low_data_of_model

    curve = low_data_of_model(
        parsed.model,
        parsed.labels,
        parsed.label,
        Path(parsed.output),
        methods=tuple(parsed.methods.split(",")) if parsed.methods else tuple(METHODS),
        fractions=parsed.fractions or FRACTIONS,
        **_supervised(parsed),
    )
    print(curve.table())


def _labels(parsed: argparse.Namespace) -> None:
    from data_builders.labels import sets as label_sets
    from data_builders.labels.files import write_label_set
    from data_builders.labels.label_set import read_labels
    from data_builders.text import Tally

    tally = Tally(strict=parsed.strict)
    join = _transcripts_to_join(parsed, tally)
    if parsed.kind == "half-life":
        labels = label_sets.half_life(parsed.file, parsed.label, **join)
    elif parsed.kind == "ribosome-load":
        labels = label_sets.mean_ribosome_load(parsed.file, parsed.label, **join)
    elif parsed.kind == "localisation":
        labels = label_sets.protein_localisation(parsed.file, **join)
    elif parsed.kind == "table":
        labels = read_labels(parsed.file, parsed.label, **join)
    elif "isoform_groups" not in join:
        raise InputError(f"{parsed.file}: got no transcripts to label, wanted --groups or a source")
    elif parsed.obo is None:
        labels = label_sets.gene_ontology_sets(parsed.file, min_genes=parsed.min_genes, **join)
    elif "species" in join:
        raise InputError(f"--species {join['species']}: wanted none, a GAF names its own")
    else:
        labels = label_sets.gene_ontology_annotations(
            parsed.file, parsed.obo, min_genes=parsed.min_genes, **join
        )
    write_label_set(labels, parsed.output, seed=parsed.seed)
    what = f"{len(labels.classes)} classes" if labels.classes else "a number each"
    print(f"{parsed.output}: {labels.label} of {len(labels.transcripts)} transcripts, {what}")
    for outcome, n in labels.report.items():
        print(f"  {outcome}: {n}")
    _print_reasons(tally.skipped, "skipped")
    _print_reasons(tally.adjusted, "adjusted")


def _transcripts_to_join(parsed: argparse.Namespace, tally) -> dict:
    """Where labels find their transcripts and groups, as `read_labels` takes it."""
    from data_builders.groups.build import group_sources
    from data_builders.groups.parquet import read_groups
    from data_builders.homology.homologous_genes import read_homology

    join: dict = {}
    if len(parsed.named) > 1:
        raise InputError(f"--species {','.join(parsed.named)}: wanted one, that of the labels")
    if parsed.named:
        join["species"] = parsed.named[0]
    homology = _homology(parsed)
    if parsed.groups and (parsed.sources or homology):
        raise InputError(f"--groups {parsed.groups}: wanted no sources and no homology beside it")
    if parsed.groups:
        return join | {"isoform_groups": read_groups(parsed.groups)}
    known = None if homology is None else read_homology(homology)
    if parsed.sources:
        sources = _sources(parsed, join.get("species"))
        join["isoform_groups"], join["gene_symbols"] = group_sources(sources, known, tally)
    elif known is not None:
        join["homology"] = known
    return join


def _card(parsed: argparse.Namespace) -> None:
    from isoclr.hub.card import write_card

    print(write_card(parsed.folder, results=parsed.results))


def _push(parsed: argparse.Namespace) -> None:
    from isoclr.hub.dataset import is_dataset, push_dataset
    from isoclr.hub.push import push

    share = push_dataset if is_dataset(parsed.folder) else push
    print(share(parsed.folder, parsed.repo, parsed.private))


def _simulate(parsed: argparse.Namespace) -> None:
    from data_builders.simulate.clade import simulate_clade

    clade = simulate_clade(
        Path(parsed.output), species=parsed.species, genes=parsed.genes, seed=parsed.seed
    )
    print(f"{parsed.output}: {', '.join(clade.species)}")
    print(", ".join(f"{n} {what}" for what, n in clade.counts.items()))


def _demo(parsed: argparse.Namespace) -> None:
    from isoclr.demo import run_demo

    run_demo(Path(parsed.output))
