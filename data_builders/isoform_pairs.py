"""Isoform groups as a `datasets` builder: cached by the content of the inputs, in parallel."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.builder import Key
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.table import table_cast

from data_builders.build import FastaSource, GenomeSource, Source, TableSource, build
from data_builders.groups import MAX_LENGTH, SCHEMA
from data_builders.records import InputError

_LOG = logging.getLogger(__name__)
_KINDS = {"genome": GenomeSource, "transcripts": FastaSource, "table": TableSource}
_HOMOLOGY = "homology"


@dataclass
class IsoformPairsConfig(datasets.BuilderConfig):
    """What decides the rows beside the content of the files.

    Attributes:
        version: raised whenever the same inputs give other rows; caches of the old one stay.
        species: of each source; None: a table that says so itself.
        merge: as in `build`.
        max_length: as in `build`.
    """

    version: str = "1.0.0"
    species: tuple[str | None, ...] = ()
    merge: str = "across"
    max_length: int = MAX_LENGTH


class IsoformPairs(datasets.ArrowBasedBuilder):
    """Builds what `data_builders.build.build` builds, as a dataset of one split, `train`.

    Its shards are species, as long as no group has several: without homology, or with
    merge="within". They are built apart, by as many processes as `num_proc` says; where groups
    cross species there is one shard. Shards are in the order of the sources, the rows of each in
    the order of `build`, for any number of processes. What is skipped or adjusted is logged as a
    warning.

    Errors of the inputs are `InputError` when streaming; `download_and_prepare` wraps them in
    `datasets.exceptions.DatasetGenerationError`.
    """

    BUILDER_CONFIG_CLASS = IsoformPairsConfig

    @classmethod
    def from_sources(
        cls,
        sources: Sequence[Source],
        *,
        homology: str | os.PathLike | None = None,
        **keywords,
    ) -> "IsoformPairs":
        """A builder of local files, which are read here once for their SHA-256.

        Args:
            sources: as in `build`.
            homology: as in `build`.
            **keywords: `merge`, `max_length` and what every `datasets.DatasetBuilder` takes, such
                as `cache_dir` and `config_name`.

        Raises:
            InputError: no source, or a file that cannot be read.
        """
        if not sources:
            raise InputError("got no source, wanted a genome, transcripts or a table")
        files = {
            f"{number}.{field.name}": getattr(source, field.name)
            for number, source in enumerate(sources)
            for field in fields(source)
            if field.name != "species"
        }
        files[_HOMOLOGY] = homology
        # datasets itself tells local files by path and time of change, which copies keep.
        data_files = DataFilesDict(
            {
                role: DataFilesList([os.path.abspath(path)], [(_sha256(path),)])
                for role, path in files.items()
                if path is not None
            }
        )
        species = tuple(source.species for source in sources)
        return cls(data_files=data_files, species=species, **keywords)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=datasets.Features.from_arrow_schema(SCHEMA))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        # A list is what datasets cuts into shards.
        return [datasets.SplitGenerator(datasets.Split.TRAIN, {"shards": self._shards()})]

    def _shards(self) -> list[tuple[int, ...]]:
        """Numbers of the sources that must be grouped together."""
        species = self.config.species
        crossing = _HOMOLOGY in self.config.data_files and self.config.merge == "across"
        if crossing or None in species:
            return [tuple(range(len(species)))]
        return [
            tuple(number for number, other in enumerate(species) if other == name)
            for name in dict.fromkeys(species)
        ]

    def _generate_tables(self, shards: list[tuple[int, ...]]) -> Iterator[tuple[Key, pa.Table]]:
        homology = self.config.data_files.get(_HOMOLOGY, [None])[0]
        for shard, numbers in enumerate(shards):
            with tempfile.TemporaryDirectory(prefix="isoform_pairs-") as folder:
                report = build(
                    [self._source(number) for number in numbers],
                    folder,
                    homology=homology,
                    merge=self.config.merge,
                    max_length=self.config.max_length,
                )
                _log(report)
                for index, batch in enumerate(_batches(os.path.join(folder, "data"))):
                    table = pa.Table.from_batches([batch])
                    yield Key(shard, index), table_cast(table, self.info.features.arrow_schema)

    def _source(self, number: int) -> Source:
        files = {
            role.partition(".")[2]: paths[0]
            for role, paths in self.config.data_files.items()
            if role.startswith(f"{number}.")
        }
        kind = next(kind for role, kind in _KINDS.items() if role in files)
        return kind(**files, species=self.config.species[number])


def _sha256(path: str | os.PathLike) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a readable file") from error


def _batches(folder: str) -> Iterator[pa.RecordBatch]:
    for name in sorted(os.listdir(folder)):
        with pq.ParquetFile(os.path.join(folder, name)) as file:
            yield from file.iter_batches(batch_size=1_000)


def _log(report: dict) -> None:
    named = [(source["species"] or "table", source) for source in report["sources"]]
    for name, counts in [*named, ("all", report["grouping"])]:
        for what in ("skipped", "adjusted"):
            for reason, number in counts[what].items():
                _LOG.warning("%s: %s %d: %s", name, what, number, reason)
