"""Isoform groups as a `datasets` builder: cached by the content of the inputs, in parallel."""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.builder import Key
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.table import table_cast

from data_builders.codec import GROUP_SCHEMA
from data_builders.groups.build import build
from data_builders.groups.grouping import MAX_LENGTH, Grouping
from data_builders.homology.homologous_genes import Tables, homology_tables
from data_builders.homology.tables import HomologyTable
from data_builders.records import InputError
from data_builders.sources import FastaSource, GenomeSource, Source, TableSource, files_of
from data_builders.staging import Shard
from data_builders.text import sha256_of

_LOG = logging.getLogger(__name__)
_KINDS = {"genome": GenomeSource, "transcripts": FastaSource, "table": TableSource}
_HOMOLOGY = "homology"  # of the n-th table: homology.n, and its table of genes: homology.n.genes


_FEATURES = datasets.Features.from_arrow_schema(GROUP_SCHEMA)


@dataclass
class IsoformPairsConfig(datasets.BuilderConfig):
    """Everything that decides the rows, except the content of the files.

    Attributes:
        version: raised whenever the same inputs give other rows; caches of the old one stay.
        species: of each source; None: a table that says so itself.
        homology: of each table, what its file leaves unsaid: species, query, level.
        merge, max_length, select: as in `Grouping`.
    """

    version: Any = "1.1.0"
    species: tuple[str | None, ...] = ()
    homology: tuple[tuple[str | None, ...], ...] = ()
    merge: Literal["across", "within"] = "across"
    max_length: int = MAX_LENGTH
    select: str | None = None


class IsoformPairs(datasets.ArrowBasedBuilder):
    """Builds what `data_builders.groups.build.build` builds, as a dataset of one split, `train`.

    Its shards are species, as long as no group has several: without homology, or with
    merge="within". They are built apart, by as many processes as `num_proc` says; where groups
    cross species there is one shard. Shards are in the order of the sources, the rows of each in
    the order of `build`, for any number of processes. What is skipped or adjusted is logged as a
    warning.

    Errors of the inputs are `InputError` when streaming; `download_and_prepare` wraps them in
    `datasets.exceptions.DatasetGenerationError`.
    """

    BUILDER_CONFIG_CLASS = IsoformPairsConfig
    config: IsoformPairsConfig

    @classmethod
    def from_sources(
        cls,
        sources: Sequence[Source],
        *,
        homology: Tables | None = None,
        **keywords,
    ) -> "IsoformPairs":
        """Return a builder of local files, which are read once for their SHA-256.

        Arguments are those of `build`, and what every `datasets.DatasetBuilder` takes, such as
        `cache_dir` and `config_name`.
        """
        if not sources:
            raise InputError("got no source, wanted a genome, transcripts or a table")
        files = {
            f"{number}.{role}": path
            for number, source in enumerate(sources)
            for role, path in files_of(source).items()
        }
        tables = [] if homology is None else homology_tables(homology)
        for number, table in enumerate(tables):
            files[f"{_HOMOLOGY}.{number}"] = table.path
            if table.genes is not None:
                files[f"{_HOMOLOGY}.{number}.genes"] = table.genes
        # datasets itself tells local files by path and time of change, which copies keep.
        data_files = DataFilesDict(
            {
                role: DataFilesList([os.path.abspath(path)], [(sha256_of(path),)])
                for role, path in files.items()
            }
        )
        return cls(
            data_files=data_files,
            species=tuple(source.species for source in sources),
            homology=tuple((table.species, table.query, table.level) for table in tables),
            **keywords,
        )

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=_FEATURES)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        # A list is what datasets cuts into shards.
        return [datasets.SplitGenerator(str(datasets.Split.TRAIN), {"shards": self._shards()})]

    def _shards(self) -> list[Shard | None]:
        """Return the shards of `build`: one a species, or None, the whole."""
        species = self.config.species
        crossing = self.config.homology and self.config.merge == "across"
        if crossing or None in species:
            return [None]
        total = len(set(species))
        return [(number, total) for number in range(total)]

    # The arguments are what the keywords of a split name.
    def _generate_tables(self, shards: list[Shard | None]) -> Iterator[tuple[Key, pa.Table]]:
        sources = [self._source(number) for number in range(len(self.config.species))]
        grouping = Grouping(
            merge=self.config.merge,
            max_length=self.config.max_length,
            select=self.config.select,
        )
        for number, shard in enumerate(shards):
            with tempfile.TemporaryDirectory(prefix="isoform_pairs-") as folder:
                report = build(sources, folder, grouping, homology=self._homology(), shard=shard)
                _log(report)
                for index, batch in enumerate(_batches(os.path.join(folder, "data"))):
                    table = pa.Table.from_batches([batch])
                    yield Key(number, index), table_cast(table, _FEATURES.arrow_schema)

    def _homology(self) -> list[HomologyTable] | None:
        files = {role: paths[0] for role, paths in self._data_files().items()}
        tables = []
        for number, unsaid in enumerate(self.config.homology):
            role = f"{_HOMOLOGY}.{number}"
            tables.append(HomologyTable(files[role], *unsaid, genes=files.get(f"{role}.genes")))
        return tables or None

    def _data_files(self) -> DataFilesDict:
        return cast(DataFilesDict, self.config.data_files)

    def _source(self, number: int) -> Source:
        files = {
            role.partition(".")[2]: paths[0]
            for role, paths in self._data_files().items()
            if role.startswith(f"{number}.")
        }
        kind = next(kind for role, kind in _KINDS.items() if role in files)
        return kind(**files, species=self.config.species[number])


def _batches(folder: str) -> Iterator[pa.RecordBatch]:
    for name in sorted(os.listdir(folder)):
        with pq.ParquetFile(os.path.join(folder, name)) as file:
            yield from file.iter_batches(batch_size=1_000)


def _log(report: dict) -> None:
    for warning in report["warnings"]:
        _LOG.warning("%s", warning)
    named = [(source["species"] or "table", source) for source in report["sources"]]
    for name, counts in [*named, ("all", report["grouping"])]:
        for what in ("skipped", "adjusted"):
            for reason, number in counts[what].items():
                _LOG.warning("%s: %s %d: %s", name, what, number, reason)
