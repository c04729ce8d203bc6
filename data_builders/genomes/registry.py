"""Species by name: which genome and annotation a name and a release mean, downloaded on demand."""

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from data_builders.genomes.download import PLAIN_NAME, PublishedFile
from data_builders.names import taxon
from data_builders.records import InputError
from data_builders.sources import GenomeSource

SHIPPED = Path(__file__).with_name("species.yaml")
_PROVIDER = frozenset({"genome", "annotation", "checksums"})
_ROW = ("species", "provider", "assembly")
_FOLDERS = ("provider", "release", "species")  # of the cache
_MOST_ROWS = 2_000
_MOST_BYTES = 1 << 20
_DEEPEST = 10
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FIELD = re.compile(r"\{(\w+)\}")
_RELEASES = re.compile(r"(\d+)-(\d*)")
_ACCESSION = re.compile(r"GC[AF]_(\d{3})(\d{3})(\d{3})\.\d+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One genome with its annotation.

    Attributes:
        species: its name in the table, and in a dataset.
        provider: who publishes it.
        assembly: of the genome.
        release: the provider's name of it.
        genome: URL of the FASTA.
        annotation: URL of the GTF or GFF3.
        checksums: name of the file of checksums in the folder of either.
    """

    species: str
    provider: str
    assembly: str
    release: str
    genome: str
    annotation: str
    checksums: str

    def source(self, cache: str | os.PathLike) -> GenomeSource:
        """For `build`: in `cache/provider/release/species`, downloaded when first opened."""
        folder = Path(cache) / self.provider / self.release / self.species
        return GenomeSource(
            genome=PublishedFile(self.genome, self.checksums, folder),
            annotation=PublishedFile(self.annotation, self.checksums, folder),
            species=self.species,
            provider=self.provider,
            release=self.release,
            assembly=self.assembly,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table: what its templates are filled with; None where it has one release."""

    where: str
    fields: Mapping[str, str]
    templates: Mapping[str, str]
    releases: range | None

    @property
    def species(self) -> str:
        return self.fields["species"]

    def answers(self, release: int | None) -> bool:
        """Whether this is the row of a release, None: of the species' name alone."""
        if release is None or self.releases is None:
            return release is self.releases
        return release in self.releases

    def entry(self, release: int | None) -> Entry:
        """Its genome, of a release that it answers."""
        name = self.fields["release"] if release is None else str(release)
        accession = _ACCESSION.fullmatch(name)
        known = {
            **self.fields,
            "release": name,
            "Species": self.species.capitalize(),
            **({"digits": "/".join(accession.groups())} if accession else {}),
        }
        return Entry(
            **{field: self.fields[field] for field in _ROW},
            release=name,
            genome=self._url("genome", known),
            annotation=self._url("annotation", known),
            checksums=self.templates["checksums"],
        )

    def _url(self, kind: str, known: Mapping[str, str]) -> str:
        try:
            url = _FIELD.sub(lambda field: known[field[1]], self.templates[kind])
        except KeyError as error:
            raise InputError(f"{self.where}: {kind}: got no field {error}, wanted it") from error
        parts = urlsplit(url)
        name = parts.path.rpartition("/")[2]
        if (
            parts.scheme not in ("http", "https")
            or not re.fullmatch(r"[^\s{}]+", parts.path)
            or not PLAIN_NAME.fullmatch(name)
        ):
            raise InputError(f"{self.where}: {kind}: got '{url}', wanted http(s)://server/file")
        return url


@dataclass(frozen=True, slots=True)
class Registry:
    """A table of genomes: `read_registry` makes one, of the lines `rows`."""

    path: Path
    rows: Sequence[_Row]

    def find(self, species: str, release: int | None = None) -> Entry:
        """The genome of a species, by its name in the table, or another that `taxon` knows.

        The release is of the rows with a range of releases; None: the row with one release.
        """
        rows = [row for row in self.rows if taxon(row.species) == taxon(species)]
        for row in rows:
            if row.answers(release):
                return row.entry(release)
        if not rows:
            names = ", ".join(sorted({row.species for row in self.rows}))
            raise InputError(f"{self.path}: got no species '{species}', wanted one of {names}")
        ranges = ", ".join(row.fields["releases"] for row in rows if row.releases) or "none"
        raise InputError(f"{self.path}: {species}: release: got {release}, wanted of {ranges}")


def sources(
    species: Sequence[str],
    release: int | None = None,
    *,
    cache: str | os.PathLike | None = None,
    registry: str | os.PathLike = SHIPPED,
) -> list[GenomeSource]:
    """Genomes of species by name, for `build`.

    Files that are not in the cache are downloaded when they are first opened: of a shard, those of
    its own species.

    Args:
        species: names that `Registry.find` knows; none twice.
        release: of Ensembl, the same for all; None: the genomes of IsoCLR.
        cache: folder of downloads; None: `default_cache()`.
        registry: the table, as `species.yaml` documents it.

    Raises:
        InputError: what `read_registry` and `Registry.find` raise, or a species twice. Opening a
            file raises what `fetch` does.
    """
    table = read_registry(registry)
    entries = [table.find(name, release) for name in species]
    for name, times in Counter(entry.species for entry in entries).items():
        if times > 1:
            raise InputError(f"species: got {name} {times} times, wanted it once")
    cache = default_cache() if cache is None else cache
    return [entry.source(cache) for entry in entries]


def default_cache() -> Path:
    """`$ISOCLR_CACHE`, else `isoclr` in the user's folder of caches."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ISOCLR_CACHE") or Path(user) / "isoclr")


def read_registry(path: str | os.PathLike = SHIPPED) -> Registry:
    """Read a table of genomes; its layout is documented in the one that is shipped."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise InputError(f"{path}: got over {_MOST_BYTES >> 20} MiB, wanted a table of genomes")
        _check_nesting(text, path)
        table = yaml.load(text, _LOADER)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a table of genomes") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: got no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(table, dict) or table.keys() != {"providers", "genomes"}:
        raise InputError(f"{path}: wanted the sections 'providers' and 'genomes' and no other")
    providers = _providers(table["providers"], path)
    genomes = table["genomes"] if isinstance(table["genomes"], list) else [table["genomes"]]
    if len(genomes) > _MOST_ROWS:
        raise InputError(f"{path}: genomes: got {len(genomes)} rows, wanted at most {_MOST_ROWS}")
    rows = [
        _row(row, providers, f"{path}: genomes: row {number}")
        for number, row in enumerate(genomes, 1)
    ]
    same: dict[str, list[_Row]] = {}
    for row in rows:
        before = same.setdefault(taxon(row.species), [])
        for one in before:
            _check_pair(one, row)
        before.append(row)
    return Registry(path, rows)


def _check_nesting(text: bytes, path: Path) -> None:
    """Refuse what would take long to read.

    Nested, aliases multiply, and libyaml's time grows with the square of the depth.
    """
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{path}: got an alias (*), wanted every value written out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            line = event.start_mark.line + 1
            raise InputError(
                f"{path}: line {line}: got lists within lists over {_DEEPEST} deep, "
                "wanted a table of genomes"
            )


def _providers(providers, path: Path) -> dict[str, dict[str, str]]:
    for name, templates in (providers if isinstance(providers, dict) else {"": None}).items():
        if (
            not isinstance(templates, dict)
            or set(templates) != _PROVIDER
            or not all(isinstance(template, str) for template in templates.values())
        ):
            raise InputError(f"{path}: providers: {name}: wanted {', '.join(sorted(_PROVIDER))}")
        if not PLAIN_NAME.fullmatch(templates["checksums"]):
            raise InputError(
                f"{path}: providers: {name}: checksums: got '{templates['checksums']}', wanted the "
                "name of a file in the folder of the genome"
            )
    return providers


def _row(row, providers: Mapping[str, Mapping[str, str]], where: str) -> _Row:
    missing = [name for name in _ROW if name not in row] if isinstance(row, dict) else _ROW
    if missing or ("release" in row) == ("releases" in row):
        raise InputError(f"{where}: wanted {', '.join(_ROW)}, and either release or releases")
    for name, value in row.items():
        if not isinstance(value, str | int):
            raise InputError(f"{where}: {name}: got {value!r}, wanted a text or a number")
    fields = {name: str(value) for name, value in row.items()}
    for name in _FOLDERS:
        if name in fields and not PLAIN_NAME.fullmatch(fields[name]):
            raise InputError(
                f"{where}: {name}: got '{fields[name]}', wanted a name of letters, digits and "
                "_ . + -: it becomes a folder"
            )
    templates = providers.get(fields["provider"])
    if templates is None:
        raise InputError(
            f"{where}: provider: got '{fields['provider']}', wanted one of {', '.join(providers)}"
        )
    used = {name for template in templates.values() for name in _FIELD.findall(template)}
    unused = set(fields) - used - {*_ROW, "release", "releases"}
    if unused:
        raise InputError(f"{where}: got '{min(unused)}', wanted no field that no template has")
    releases = None
    if "releases" in fields:
        match = _RELEASES.fullmatch(fields["releases"])
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise InputError(
                f"{where}: releases: got '{fields['releases']}', wanted 100-106 or 107-"
            )
        releases = range(int(match[1]), int(match[2]) + 1 if match[2] else sys.maxsize)
    made = _Row(where, fields, templates, releases)
    made.entry(releases.start if releases else None)  # its URLs can be made
    return made


def _check_pair(one: _Row, other: _Row) -> None:
    """Two rows of one species have one name and different releases."""
    if one.species != other.species:
        raise InputError(
            f"{other.where}: species: got '{other.species}', wanted '{one.species}' as above"
        )
    clash = one.releases is other.releases
    if one.releases and other.releases:
        clash = other.releases.start in one.releases or one.releases.start in other.releases
    if clash:
        raise InputError(f"{other.where}: {other.species}: releases: wanted none of {one.where}")
