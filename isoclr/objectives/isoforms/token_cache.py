"""Local caches of the tokens of isoform groups.

A cache is a folder of .npy files that are mapped into memory, one byte a nucleotide, and a
manifest: which files it was made of, how the tokenizer works, checksums of its own files. Those of
the tokens are by block, so that a block is checked when it is first used, not all at the start.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_builders.dataset_files import dataset_files
from data_builders.groups.loading import checksum_of_files
from data_builders.records import InputError
from data_builders.storage import one_writer, reason_of, respect_umask, sync
from data_builders.text import sha256_of
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.members import (
    COLUMNS,
    Members,
    concatenate,
)
from isoclr.progress import progress
from modeling_isoclr import IsoCLRTokenizer

_FORMAT = 2
_MANIFEST = "manifest.json"
_TOKENS = "tokens.npy"
_CHECKSUMS = "checksums"
_BLOCK = 1 << 20
"""Tokens that have one checksum."""
_ARRAYS = ("offsets", "species", "genes", "lengths", "cds_start", "cds_end")
_READ = ["group_id", "transcript_id", *COLUMNS, "exon_junctions"]
_GROUPS_AT_ONCE = 1_000

_AGAIN = "; remove the cache to have it made again"

_PROBE = ("ACGTUNacgtun" * 2, (3, 12), (5, 9))


@dataclass(frozen=True)
class TokenCache:
    """Tokens of isoform groups, mapped into memory.

    Attributes:
        flat: tokens of all transcripts, one after the other, uint8 (nucleotides,).
        bounds: where each transcript begins in `flat`, and where the last ends,
            (transcripts + 1,).
        members: of all groups.
        check: is called with the bounds of tokens before they are used.
    """

    flat: np.ndarray
    bounds: np.ndarray
    members: Members
    check: Callable[[int, int], None]

    def tokens(self, transcript: int) -> np.ndarray:
        """Return the tokens of a transcript, uint8 (length,): a view, not to be written to."""
        start, end = self.bounds.item(transcript), self.bounds.item(transcript + 1)
        self.check(start, end)
        return self.flat[start:end]


def build_token_cache(
    source: str | os.PathLike, folder: str | os.PathLike, tokenizer: IsoCLRTokenizer
) -> None:
    """Write the cache of a folder of isoform groups; progress is shown.

    It is written beside and then renamed, so that no half of it has its name; a cache that is there
    is replaced, and whoever has it open goes on reading the old one.
    """
    with _writer(folder):
        _build(source, Path(folder), tokenizer)


def ensure_token_cache(
    source: str | os.PathLike, folder: str | os.PathLike, tokenizer: IsoCLRTokenizer
) -> TokenCache:
    """Open the cache of a folder of isoform groups, or make it where there is none.

    Several runs may share it: one makes it, and the others wait.
    """
    if not Path(folder).exists():
        with _writer(folder):
            if not Path(folder).exists():
                _build(source, Path(folder), tokenizer)
    return open_token_cache(source, folder, tokenizer)


def open_token_cache(
    source: str | os.PathLike, folder: str | os.PathLike, tokenizer: IsoCLRTokenizer
) -> TokenCache:
    """Map a cache into memory.

    The source is read once, for its checksum; rows and transcripts are in the order of its files.
    A block of tokens is compared with its checksum when one of them is first asked for.

    Raises:
        InputError: there is no cache, it is damaged, or it was made of other groups or by another
            tokenizer; `build_token_cache` makes a new one.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name, value in _provenance(dataset_files(source), tokenizer).items():
        if manifest.get(name) != value:
            raise InputError(
                f"{folder}: got a cache of another {name}, wanted one of {source}{_AGAIN}"
            )
    for name, about in manifest["files"].items():
        _check_file(folder / name, about)
    try:
        # As plain arrays: every slice of a memmap is a slow object of its own.
        flat, checksums, *arrays = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
            for name in ("tokens", _CHECKSUMS, *_ARRAYS)
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: got '{reason_of(error)}', wanted arrays{_AGAIN}") from error
    entries = dict(zip(_ARRAYS, arrays, strict=True))
    bounds = np.concatenate([[0], np.cumsum(entries["lengths"])])
    if flat.dtype != np.uint8 or flat.shape != (bounds[-1],):
        raise InputError(
            f"{folder / _TOKENS}: got {flat.dtype} {flat.shape}, wanted uint8 ({bounds[-1]},)"
            f"{_AGAIN}"
        )
    transcripts = np.arange(len(entries["lengths"]))
    members = Members(**entries, transcripts=transcripts, species_names=tuple(manifest["species"]))
    return TokenCache(flat, bounds, members, _Blocks(flat, checksums, folder / _TOKENS).check)


class _Blocks:
    """Checksums of the blocks of an array, each compared at most once in a process."""

    def __init__(self, flat: np.ndarray, checksums: np.ndarray, path: Path):
        self._flat, self._checksums, self._path = flat, checksums, path
        self._unchecked = set(range(len(checksums)))

    def check(self, start: int, end: int) -> None:
        """Compare the blocks that hold a range with their checksums."""
        if not self._unchecked:
            return
        for block in self._unchecked.intersection(range(start // _BLOCK, -(-end // _BLOCK))):
            first = block * _BLOCK
            if _block_checksum(self._flat[first : first + _BLOCK]) != self._checksums[block]:
                raise InputError(
                    f"{self._path}: tokens {first} to {min(first + _BLOCK, len(self._flat))}: "
                    f"got other bytes than were written{_AGAIN}"
                )
            self._unchecked.discard(block)


def _block_checksum(block: np.ndarray) -> np.uint64:
    return np.frombuffer(hashlib.sha256(block.data).digest()[:8], np.uint64)[0]


def _check_file(path: Path, about: dict) -> None:
    """Compare a file with its size and, where it has one, its checksum."""
    size = path.stat().st_size if path.is_file() else 0
    if size != about["bytes"]:
        raise InputError(f"{path}: got {size} bytes, wanted {about['bytes']}{_AGAIN}")
    if "sha256" in about and sha256_of(path) != about["sha256"]:
        raise InputError(f"{path}: got other bytes than were written{_AGAIN}")


def _writer(folder: str | os.PathLike):
    folder = Path(folder)
    what = f"the making of {folder.name}"
    return one_writer(folder.parent, what, f".{folder.name}.lock", wait=True)


def _build(source, folder: Path, tokenizer: IsoCLRTokenizer) -> None:
    """Make a cache; its lock is held."""
    files = dataset_files(source)
    manifest = _provenance(files, tokenizer)
    beside = None
    try:
        if folder.exists() and not (folder / _MANIFEST).exists():
            raise InputError(f"{folder}: got a folder that is no token cache, wanted one or none")
        for left in folder.parent.glob(f"{_beside(folder)}*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
        beside = Path(tempfile.mkdtemp(prefix=_beside(folder), dir=folder.parent))
        members = _write_tokens(files, beside / _TOKENS, tokenizer)
        for name in _ARRAYS:
            np.save(beside / f"{name}.npy", getattr(members, name))
        manifest["species"] = members.species_names
        manifest["files"] = {path.name: _about(path) for path in sorted(beside.iterdir())}
        manifest["checksum"] = _manifest_checksum(manifest)
        (beside / _MANIFEST).write_text(json.dumps(manifest, indent=1))
        respect_umask(beside)
        for path in (*beside.iterdir(), beside):
            sync(path)
        _replace(beside, folder)
    except OSError as error:
        raise InputError(f"{folder}: got '{reason_of(error)}', wanted to write a cache") from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def _beside(folder: Path) -> str:
    return f".{folder.name}-beside-"


def _about(path: Path) -> dict:
    about = {"bytes": path.stat().st_size}
    return about if path.name == _TOKENS else about | {"sha256": sha256_of(path)}


def _manifest_checksum(manifest: dict) -> str:
    values = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _provenance(files: list[Path], tokenizer: IsoCLRTokenizer) -> dict:
    """Return checksums of the source, and of what the tokenizer does."""
    tokens = tokenizer.tokenize_transcript(*_PROBE).tobytes() + tokenizer.unknown_letters.encode()
    return {
        "format": _FORMAT,
        "source": checksum_of_files(files),
        "tokenizer": hashlib.sha256(tokens).hexdigest(),
    }


def _write_tokens(files: list[Path], path: Path, tokenizer: IsoCLRTokenizer) -> Members:
    """Write the tokens of all files and their checksums; return the members."""
    parts, checksums, rest = [], [], np.zeros(0, np.uint8)
    with path.open("wb") as out:
        _write_header(out, 0)
        for batch, source in _batches(files):
            groups = ArrowGroups([batch], tokenizer, source)
            flat = np.concatenate(groups.all_tokens())
            flat.tofile(out)
            parts.append(groups.members)
            rest = np.concatenate([rest, flat])
            whole = len(rest) // _BLOCK * _BLOCK
            checksums += map(_block_checksum, rest[:whole].reshape(-1, _BLOCK))
            rest = rest[whole:]
        if not parts:
            raise InputError(f"{files[0].parent}: got no group, wanted at least one")
        out.seek(0)
        _write_header(out, sum(int(part.lengths.sum()) for part in parts))
    checksums += [_block_checksum(rest)] if len(rest) else []
    np.save(path.with_name(f"{_CHECKSUMS}.npy"), np.array(checksums, np.uint64))
    return concatenate(parts)


def _write_header(out, length: int) -> None:
    # numpy leaves room for the first dimension to grow: a header is as long for any length.
    header = {"descr": "|u1", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(out, header)


def _batches(files: list[Path]) -> Iterator[tuple[pa.RecordBatch, str]]:
    """Yield the record batches of all files that are not empty, and the file of each."""
    with progress(description="token cache", unit="group") as shown:
        for path in files:
            try:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(_GROUPS_AT_ONCE, columns=_READ):
                        if batch.num_rows:
                            yield batch, str(path)
                        shown.update(batch.num_rows)
            except pa.ArrowInvalid as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: got '{reason}', wanted Parquet") from error


def _replace(beside: Path, folder: Path) -> None:
    """Give a cache its name; the one that had it is deleted."""
    replaced = beside.with_name(f"{beside.name}-replaced")
    if folder.exists():
        folder.rename(replaced)
    beside.rename(folder)
    sync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _read_manifest(folder: Path) -> dict:
    path = folder / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no {_MANIFEST} in it, wanted a token cache") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: got '{reason_of(error)}', wanted JSON{_AGAIN}") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: got no object, wanted a manifest{_AGAIN}")
    if manifest.get("format") != _FORMAT:
        raise InputError(
            f"{folder}: got a cache of another format, {manifest.get('format')!r}, "
            f"wanted {_FORMAT}{_AGAIN}"
        )
    if manifest.get("checksum") != _manifest_checksum(manifest):
        raise InputError(f"{path}: got other values than were written{_AGAIN}")
    return manifest
