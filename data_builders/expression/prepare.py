"""Files of expression to one matrix in one unit, with a report of what was found and done."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import sparse

from data_builders.counts import counted
from data_builders.expression.matrix import ExpressionMatrix, concatenate, write_matrix
from data_builders.expression.readers import RawMatrix, check_names, gene_name, read_raw
from data_builders.expression.units import (
    check_unit,
    check_values,
    recognise_unit,
    stored,
    to_log2,
)
from data_builders.records import InputError
from data_builders.tables import read_table

DONOR = "donor"
"""Column of the donors that names of samples say."""

_DONOR = re.compile(r"GTEX-[^-]+|TCGA(?:-[^-]+){2}")
_LARGEST_LOG2 = 20.0  # log2 of a million: the whole of a sample in TPM


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files of expression are read.

    Attributes:
        unit: of the values; None: recognised by `recognise_unit`.
        layer: of AnnData; None: `X`.
        genes_in: rows or columns of a text matrix; None: told apart.
        aliases: name of a gene -> the name to use instead.
        obs: table of more columns of the samples: column -> sample -> value.
        recode: more columns by one that is there: column -> new column -> its value -> new value.
        donors: add the column `donor`, from the names of samples of GTEx and TCGA.
    """

    unit: str | None = None
    layer: str | None = None
    genes_in: Literal["rows", "columns"] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    obs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    recode: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)
    donors: bool = False


SUMMARY_ROWS = frozenset(
    ("__no_feature", "__ambiguous", "__too_low_aQual", "__not_aligned", "__alignment_not_unique")
    + ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")
)
"""What htseq-count and STAR write below or above the genes."""


@dataclass
class Report:
    """What was read: counts that `prepare_expression` writes and prints."""

    files: list[dict] = field(default_factory=list)
    samples: int = 0
    genes: int = 0
    unit: str = ""
    duplicated_genes: int = 0
    renamed_genes: int = 0
    values_over_20: int = 0
    genes_left_out: int = 0
    summary_rows: list[str] = field(default_factory=list)
    columns_left_out: list[str] = field(default_factory=list)
    obs_matched: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What a person reads."""
        said = [
            f"{f['path']}: {counted(f['samples'], 'sample')}, {f['unit']} ({f['said']})"
            for f in self.files
        ]
        samples, genes = counted(self.samples, "sample"), counted(self.genes, "gene")
        said.append(f"{samples} × {genes}, written as log2(x + 1)")
        if n := self.duplicated_genes:
            said.append(f"{counted(n, 'gene')} came more than once: linear values are added up")
        if n := self.renamed_genes:
            said.append(f"{counted(n, 'gene was', 'genes were')} renamed by the table of aliases")
        if n := self.values_over_20:
            said.append(
                f"{counted(n, 'value is', 'values are')} above 20, more than log2 of a million: no "
                "TPM or FPKM; ranks or clipping bound them"
            )
        if n := self.genes_left_out:
            left_out = counted(n, "gene is", "genes are")
            said.append(f"{left_out} left out, which some of the files lack")
        if self.summary_rows:
            rows = ", ".join(self.summary_rows)
            said.append(f"rows of a counter's summary are left out: {rows}")
        if self.columns_left_out:
            names = ", ".join(self.columns_left_out)
            left_out = counted(
                len(self.columns_left_out), "column of text is", "columns of text are"
            )
            said.append(f"{left_out} left out: {names}")
        said += [
            f"obs {name}: {n:,} of {self.samples:,} samples" for name, n in self.obs_matched.items()
        ]
        return said


def read_expression(
    paths: Sequence[str | Path], options: ReadOptions | None = None
) -> tuple[ExpressionMatrix, Report]:
    """Read files of `read_raw`, of one set of genes, as one matrix of log2(x + 1), in memory.

    Files without a common gene, and a sample twice, are an InputError.
    """
    report = Report()
    parts = list(_log_parts(paths, options or ReadOptions(), report))
    matrix = concatenate(parts)
    twice = [name for name, n in Counter(matrix.samples).items() if n > 1]
    if twice:
        raise InputError(
            f"{paths[0]}: got sample {twice[0]!r} twice, wanted each name once "
            f"({counted(len(twice), 'name is', 'names are')} repeated)"
        )
    return matrix, report


def prepare_expression(
    paths: Sequence[str | Path], output: str | Path, options: ReadOptions | None = None
) -> Report:
    """Read files of `read_raw` and write them as one Parquet file, a part at a time.

    What was found and done is also in `OUTPUT.report.json`.
    """
    output, report = Path(output), Report()
    write_matrix(_log_parts(paths, options or ReadOptions(), report), output)
    text = json.dumps(vars(report), indent=1)
    output.with_suffix(".report.json").write_text(text + "\n", encoding="utf-8")
    return report


def _log_parts(
    paths: Sequence[str | Path], options: ReadOptions, report: Report
) -> Iterator[ExpressionMatrix]:
    genes: tuple[str, ...] | None = None
    seen: set[str] = set()
    if len(paths) > 1:  # the genes that all files have, in the order of the first
        sets = [_genes_of(path, options) for path in paths]
        common = set(sets[0]).intersection(*sets[1:])
        genes = tuple(name for name in sets[0] if name in common)
        report.genes_left_out = len(set().union(*sets)) - len(genes)
        if not genes:
            raise InputError(
                f"{paths[1]}: got no gene of {paths[0]}: {sets[1][0]!r} here, {sets[0][0]!r} "
                "there; wanted names of one kind (--aliases renames)"
            )
    aliased, example = 0, ""
    for path in paths:
        unit, count = options.unit, 0
        said = "as told"
        for whole in read_raw(path, layer=options.layer, genes_in=options.genes_in):
            raw = _without_summary(whole, report)
            if not raw.genes:
                raise InputError(f"{path}: got no gene, wanted a row or a column for each")
            aliased += sum(name in options.aliases for name in raw.genes)
            example = example or raw.genes[0]
            check_names(raw, str(path))
            check_values(raw.values, str(path), raw.samples)
            report.columns_left_out += list(raw.left_out)
            if unit is None:
                said = "by its format" if raw.unit else "by its values"
                unit = raw.unit or recognise_unit(raw.values, str(path))
            check_unit(raw.values, unit, str(path))
            part = _one_name_a_gene(raw, unit, options, report, count == 0)
            if genes is not None:
                part = _with_genes(part, genes)
            count += len(part.samples)
            if options.obs:
                seen.update(part.samples)
            report.values_over_20 += _count_over(part.values, _LARGEST_LOG2)
            report.genes = len(part.genes)
            yield _with_obs(part, options, report)
        report.files.append({"path": str(path), "samples": count, "unit": unit, "said": said})
        report.samples += count
        report.unit = (unit or "") if report.unit in ("", unit) else "several"
    if options.aliases and not aliased:
        raise InputError(
            f"{paths[0]}: aliases: got none of its genes: {next(iter(options.aliases))!r} there, "
            f"{example!r} here"
        )
    for name, column in options.obs.items():
        if not report.obs_matched.get(name) and not seen & column.keys():
            there, here = next(iter(column), "(none)"), min(seen, default="(none)")
            raise InputError(
                f"{paths[0]}: obs {name}: got none of its samples: {there!r} there, {here!r} here"
            )
    recoded = [new for table in options.recode.values() for new in table]
    for name in [*recoded, *([DONOR] if options.donors else ())]:
        if not report.obs_matched.get(name):
            raise InputError(f"{paths[0]}: {name}: got a value of no sample, wanted some")


def _genes_of(path: str | Path, options: ReadOptions) -> list[str]:
    raw = next(read_raw(path, layer=options.layer, genes_in=options.genes_in))
    raw = _without_summary(raw)
    return list(dict.fromkeys(options.aliases.get(name, name) for name in raw.genes))


def _without_summary(raw: RawMatrix, report: Report | None = None) -> RawMatrix:
    """Leave out what a counter says of all reads, in rows as if of genes."""
    kept = [i for i, name in enumerate(raw.genes) if name not in SUMMARY_ROWS]
    if len(kept) == len(raw.genes) or not kept:
        return raw
    if report is not None:
        found = [name for name in raw.genes if name in SUMMARY_ROWS]
        report.summary_rows = list(dict.fromkeys([*report.summary_rows, *found]))
    return replace(raw, genes=[raw.genes[i] for i in kept], values=raw.values[:, kept])


def _one_name_a_gene(
    raw: RawMatrix, unit: str, options: ReadOptions, report: Report, first: bool
) -> ExpressionMatrix:
    """Rename genes, add up those of one name in linear units, and take logs."""
    names = [options.aliases.get(name, name) for name in raw.genes]
    genes = tuple(dict.fromkeys(names))
    values = raw.values
    if first:
        report.renamed_genes += sum(a != b for a, b in zip(names, raw.genes, strict=True))
        report.duplicated_genes += len(names) - len(genes)
    if len(genes) < len(names):
        places = {name: i for i, name in enumerate(genes)}
        ones = np.ones(len(names), np.float32)
        rows = np.arange(len(names))
        columns = np.array([places[name] for name in names])
        sums = sparse.csr_array((ones, (rows, columns)), shape=(len(names), len(genes)))
        if unit == "log2":
            values = np.exp2(values if isinstance(values, np.ndarray) else values.toarray()) - 1
            values = np.log2(values @ sums + 1)
        else:
            values = values @ sums
    return ExpressionMatrix(
        values=to_log2(values, unit),
        samples=tuple(raw.samples),
        genes=genes,
        unit="log2",
        obs=raw.obs,
    )


def _with_genes(part: ExpressionMatrix, genes: tuple[str, ...]) -> ExpressionMatrix:
    places = {name: i for i, name in enumerate(part.genes)}
    return replace(part, values=part.values[:, [places[name] for name in genes]], genes=genes)


def _with_obs(part: ExpressionMatrix, options: ReadOptions, report: Report) -> ExpressionMatrix:
    more = {
        name: [column.get(sample) for sample in part.samples]
        for name, column in options.obs.items()
    }
    if options.donors:
        more[DONOR] = list(map(donor_of, part.samples))
    for column, table in options.recode.items():
        known = {**part.obs, **more}
        if column not in known:
            names = ", ".join(known) or "(none)"
            raise InputError(f"obs: got no column {column!r} to recode, wanted one of {names}")
        for name, values in table.items():
            more[name] = [values.get(str(value)) for value in known[column]]
    for name, column in more.items():
        found = sum(value is not None for value in column)
        report.obs_matched[name] = report.obs_matched.get(name, 0) + found
    return replace(part, obs={**part.obs, **more})


def donor_of(sample: str) -> str | None:
    """Return the donor of a sample by its name; None where that is of neither GTEx nor TCGA.

    `GTEX-1117F-0226-SM-5GZZ7` is of GTEX-1117F, `TCGA-A8-A08L-11A` of TCGA-A8-A08L.
    """
    found = _DONOR.match(sample)
    return found[0] if found else None


def _count_over(values, limit: float) -> int:
    return int((stored(values) > limit).sum())


def read_aliases(path: str | Path) -> dict[str, str]:
    """Read a table of two columns, a name and the name to use instead, with or without a header."""
    found: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) < 2 or not fields[0].strip() or not fields[1].strip():
            raise InputError(f"{path}:{number}: got {line[:60]!r}, wanted a name, a tab and a name")
        name, use = gene_name(fields[0]), gene_name(fields[1])
        if found.setdefault(name, use) != use:
            raise InputError(f"{path}:{number}: {name}: got {use!r} after {found[name]!r}")
    return found


def read_recode(path: str | Path) -> dict[str, dict[str, dict[str, str | None]]]:
    """Read a table of what values of a column mean: column -> new column -> value -> new value.

    It is as that of `read_obs`, but the first column has values, under the name of the column that
    has them: tissue, then organ.
    """
    return {read_table(path).columns[0]: read_obs(path)}


def read_obs(path: str | Path) -> dict[str, dict[str, str | None]]:
    """Read a table of samples as column -> sample -> text; empty and NA are None.

    Parquet, TSV or CSV with a header, whose first column has the names of the samples, each once.
    """
    table = read_table(path)
    if table.width < 2:
        raise InputError(f"{path}: got {table.width} columns, wanted samples and a column of them")
    names, *columns = table.columns
    samples = table[names].to_list()
    counts = Counter(samples)
    for sample, n in counts.items():
        if sample is None or n > 1:
            raise InputError(f"{path}: {names}: got {sample!r} {n} times, wanted each name once")
    return {
        column: {
            str(sample): None if value in (None, "", "NA") or value != value else str(value)
            for sample, value in zip(samples, table[column].to_list(), strict=True)
        }
        for column in columns
    }
