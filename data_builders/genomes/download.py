"""Files of public servers: fetched once, resumed where cut, checked by the provider's checksums."""

import contextlib
import difflib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from data_builders.progress import Progress, print_above, progress
from data_builders.records import InputError

_WAITS = (1, 2, 4, 8, 16, 32)  # seconds before each new attempt since the last that got further
_TIMEOUT = 60  # seconds of silence that count as a cut
_CHUNK = 1 << 18
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_BY_HAND = "download it by hand and build from files, with --genome and --annotation"
# MD5SUMS (`digest  name`), md5checksums.txt (`digest  ./name`), CHECKSUMS (`sum blocks name`).
_CHECKSUM_LINE = re.compile(
    r"(?:(?P<md5>[0-9a-fA-F]{32})|(?P<sum>\d{1,5})\s+(?P<blocks>\d+))\s+\*?(?:\./)?(?P<name>\S+)\s*"
)
# `sum` rotates 16 bits to the right before it adds a byte; an index may carry one overflow.
_ROTATED = [(i & 0xFFFF) >> 1 | (i & 1) << 15 for i in range(0x10000 + 0x100)]
_T = TypeVar("_T")


class BsdSum:
    """The checksum of BSD's and GNU's `sum`, which Ensembl publishes: 16 bits, and KiB begun."""

    def __init__(self):
        self._sum = 0
        self._size = 0

    def update(self, data: bytes) -> None:
        """Adds bytes."""
        rotated, total = _ROTATED, self._sum
        for byte in data:
            total = rotated[total] + byte
        self._sum = total & 0xFFFF
        self._size += len(data)

    def hexdigest(self) -> str:
        """Sum and blocks in decimals, as `sum` prints them; named as hashlib does."""
        return f"{self._sum:05d} {-(-self._size // 1024)}"


_ALGORITHMS = {
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sum": BsdSum,
}


@dataclass(frozen=True)
class PublishedFile(os.PathLike):
    """The path of a file of a public server, which is downloaded when it is first opened.

    Attributes:
        url: as `fetch` takes it.
        checksums: as `fetch` takes it.
        folder: as `fetch` takes it.
    """

    url: str
    checksums: str
    folder: Path

    def __fspath__(self) -> str:
        return str(self._fetched)

    def __str__(self) -> str:
        return str(self.folder / _name(self.url))

    @cached_property
    def _fetched(self) -> Path:
        return fetch(self.url, self.checksums, self.folder)


class TransientError(Exception):
    """A transfer that failed in a way that may pass."""


def fetch(url: str, checksums: str, folder: str | os.PathLike) -> Path:
    """Downloads a file into a folder, unless it is there; checked when it comes and when it is.

    A cut download goes on where it stopped, in this call or the next, if the server has the same
    file still. The file gets its name only after its checksum agreed; beside it, `NAME.json` says
    where it came from, with its sha256. A file that is there is compared with that, without a
    network; if it was changed, it is downloaded again. Processes may share the folder.

    Args:
        url: http or https; its last part names the file.
        checksums: the provider's file of checksums, relative to the url; md5 or `sum`.
        folder: made if absent.

    Returns:
        The path of the file.

    Raises:
        InputError: the server has no such file or cannot be reached; the file of checksums does
            not list the name; the checksum is another, then the download is removed; or nothing
            can be written, then what has come so far is kept.
    """
    name = _name(url)
    path = Path(folder) / name
    part = path.with_name(name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if not _is_whole(path, url):
                if path.exists():
                    _say(f"{path}: not as it was downloaded; fetching it again")
                kind, expected = _published(urljoin(url, checksums), name)
                _download(url, part)
                _accept(part, path, url, kind, expected)
    except OSError as error:
        raise InputError(
            f"{path}: got '{error.strerror or error}', wanted to write {url} there"
        ) from error
    return path


def _name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say(f"{path}: another process is fetching it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_whole(path: Path, url: str) -> bool:
    """Whether the file is there, from this url, as its record says."""
    try:
        record = json.loads(_record(path).read_text())
        return (
            record["url"] == url
            and record["size"] == path.stat().st_size
            and record["sha256"] == _digests(path, "sha256")["sha256"]
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _published(url: str, name: str) -> tuple[str, str]:
    """The kind and value of a file's checksum, of the provider's list."""

    def read() -> bytes:
        with _open(url) as response:
            return b"".join(_chunks(response, None))

    listed = []
    for line in _retried(read, url).decode("utf-8", "replace").splitlines():
        match = _CHECKSUM_LINE.fullmatch(line)
        if match and match["name"] == name:
            if match["md5"]:
                return "md5", match["md5"].lower()
            return "sum", f"{int(match['sum']):05d} {int(match['blocks'])}"
        if match:
            listed.append(match["name"])
    like = ", ".join(difflib.get_close_matches(name, listed, cutoff=0)) or "none"
    raise InputError(
        f"{url}: got checksums of {len(listed)} files (the likest: {like}), wanted that of {name}"
    )


def _accept(part: Path, path: Path, url: str, kind: str, expected: str) -> None:
    """Checks a download, writes its record, and gives it its name."""
    found = _digests(part, kind, "sha256")
    size = part.stat().st_size
    _validator_file(part).unlink()
    if found[kind] != expected:
        part.unlink()
        raise InputError(
            f"{url}: {kind}: got {found[kind]}, wanted {expected} as its provider lists; "
            "the download is removed, try again"
        )
    record = {"url": url, "size": size, kind: expected, "sha256": found["sha256"]}
    # The record first: should this stop in between, the file is not there or does not fit it.
    _record(path).write_text(json.dumps(record, indent=2) + "\n")
    os.replace(part, path)


def _digests(path: Path, *kinds: str) -> dict[str, str]:
    hashes = {kind: _ALGORITHMS[kind]() for kind in kinds}
    with open(path, "rb") as file, progress(description=f"checking {path.name}", unit="B") as shown:
        shown.total = path.stat().st_size
        while chunk := file.read(_CHUNK):
            for hash_ in hashes.values():
                hash_.update(chunk)
            shown.update(len(chunk))
    return {kind: hash_.hexdigest() for kind, hash_ in hashes.items()}


def _download(url: str, part: Path) -> None:
    with progress(description=part.stem, unit="B") as shown:
        _retried(lambda: _attempt(url, part, shown), url, lambda: _size(part))


def _attempt(url: str, part: Path, shown: Progress) -> None:
    """One request for what is missing of a file.

    Raises:
        TransientError: it is not whole yet.
    """
    validator = _read(_validator_file(part))
    have = _size(part) if validator else 0
    with _open(url, {"Range": f"bytes={have}-", "If-Range": validator} if have else {}) as response:
        begin, total = _span(response)
        if begin and (begin != have or _validator(response) not in (validator, "")):
            part.unlink(missing_ok=True)
            raise TransientError("the file has changed there; starting over")
        shown.total = total
        shown.update(begin - shown.n)
        with open(part, "ab" if begin else "wb") as file:
            if not begin:  # after the old bytes are gone, before new ones come
                _validator_file(part).write_text(_validator(response))
            if response.status != 416:
                for chunk in _chunks(response):
                    file.write(chunk)
                    shown.update(len(chunk))
    if total not in (None, _size(part)):
        raise TransientError(f"{_size(part)} of {total} bytes")


def _span(response: HTTPResponse) -> tuple[int, int | None]:
    """Where a response begins, -1 if that is unclear, and the size of the file where it is told."""
    if response.status == 200:
        length = response.headers["Content-Length"]
        return 0, None if length is None else int(length)
    span = response.headers["Content-Range"] or ""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", span)
    if not match:
        return -1, None
    # 416: nothing is left to send. We have all, or the file is shorter than what we have.
    return int(match[1] or match[2]), int(match[2])


def _validator(response: HTTPResponse) -> str:
    """What If-Range may name this version of a file by; '' if nothing."""
    etag = response.headers["ETag"]
    if etag and not etag.startswith("W/"):  # RFC 9110, 13.1.5: a weak one does not promise bytes
        return etag
    return response.headers["Last-Modified"] or ""


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _open(url: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    # urllib asks for no encoding and undoes none: .gz that a server labels gzip-encoded stays .gz.
    request = Request(url, headers={"User-Agent": "isoclr", **(headers or {})})
    try:
        return urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        found = f"HTTP {error.code} {error.reason}"
        if error.code in _RETRIED:
            raise TransientError(found) from error
        raise InputError(f"{url}: got {found}, wanted the file; or {_BY_HAND}") from error
    except URLError as error:
        raise TransientError(str(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise TransientError(f"{type(error).__name__}: {error}") from error


def _chunks(response: HTTPResponse, size: int | None = _CHUNK) -> Iterator[bytes]:
    """The body in pieces; without a size in one, and then a cut one is noticed here."""
    while True:
        try:
            chunk = response.read(size)
        except (OSError, HTTPException) as error:
            raise TransientError(f"{type(error).__name__}: {error}") from error
        if not chunk:
            return
        yield chunk


def _retried(attempt: Callable[[], _T], url: str, reached: Callable[[], int] = lambda: 0) -> _T:
    """Calls until it is not cut; waits longer each time that it got no further."""
    furthest, waits = 0, iter(_WAITS)
    while True:
        try:
            return attempt()
        except TransientError as cut:
            if reached() > furthest:
                furthest, waits = reached(), iter(_WAITS)
            wait = next(waits, None)
            if wait is None:
                raise InputError(
                    f"{url}: got '{cut}' {len(_WAITS) + 1} times, wanted the file; "
                    f"try again, it goes on from where it stopped, or {_BY_HAND}"
                ) from cut
            _say(f"{url}: {cut}; trying again in {wait} s")
        time.sleep(wait)


def _say(message: str) -> None:
    print_above(message)
