"""Files of public servers: fetched once, resumed where cut, checked by the provider's checksums."""

import contextlib
import difflib
import hashlib
import json
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock, Timeout

from data_builders.progress import Progress, print_above, progress
from data_builders.records import InputError
from data_builders.storage import reason_of

_WAITS = (1, 2, 4, 8, 16, 32)  # seconds before each new attempt since the last that got further
_TIMEOUT = 60  # seconds of silence that count as a cut
_CHUNK = 1 << 18
_SLOWEST = 1024  # bytes a second, over _TIMEOUT seconds, under which a transfer counts as cut
_MOST_LISTED = 1 << 24  # bytes of a file of checksums
_MOST_BYTES = 1 << 38  # of a file whose size the server does not tell
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_BY_HAND = "download it by hand and build from files, with --genome and --annotation"
# MD5SUMS (`digest  name`), md5checksums.txt (`digest  ./name`), CHECKSUMS (`sum blocks name`).
_CHECKSUM_LINE = re.compile(
    r"(?:(?P<md5>[0-9a-fA-F]{32})|(?P<sum>\d{1,5})\s+(?P<blocks>\d+))\s+\*?(?:\./)?(?P<name>\S+)\s*"
)
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII)
"""A name of one file or folder: no way out of its folder, and not hidden."""

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
    """The path of a file of a public server, which `fetch` downloads when it is first opened."""

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


class TooSlow(TransientError):
    """A transfer that gets further, at a rate that would take for ever."""


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
        InputError: the server has no such file, cannot be reached, or is too slow; an address that
            is not http(s), or that names no file; the file of checksums does not list the name, or
            has no end; the checksum is another, then the download is removed; or nothing can be
            written, then what has come so far is kept.
    """
    for address in (url, urljoin(url, checksums)):
        _check_address(address)
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


def _check_address(url: str) -> None:
    """Refuse what is not http(s), and a last part that is no plain name of a file."""
    name = _name(url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url}: got another kind of address, wanted http(s)://server/file")
    if not PLAIN_NAME.fullmatch(name):
        raise InputError(f"{url}: got {name!r} for a file's name, wanted letters, digits, . _ + -")


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
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _published(url: str, name: str) -> tuple[str, str]:
    """The kind and value of a file's checksum, of the provider's list."""

    def read() -> bytes:
        listed = bytearray()
        with _open(url) as response:
            for chunk in _chunks(response):
                listed += chunk
                if len(listed) > _MOST_LISTED:
                    raise InputError(
                        f"{url}: got more than {_MOST_LISTED >> 20} MiB, wanted a file of checksums"
                    )
            told = response.length  # what is missing of the length that the server told
            if told:
                raise TransientError(f"{told} bytes are missing")
        return bytes(listed)

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
    """One request for what is missing of a file; a TransientError where it is not whole yet."""
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
                    if total is None and file.tell() > _MOST_BYTES:
                        raise InputError(
                            f"{url}: got {_MOST_BYTES >> 30} GiB and no end, wanted a file"
                        )
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
    """A validator that was kept; '' if there is none, or it is nothing that a header may hold."""
    kept = path.read_text(encoding="latin-1") if path.exists() else ""
    return kept if kept.isascii() and kept.isprintable() else ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _WebOnly(HTTPRedirectHandler):
    """Follows redirects to http(s) alone; urllib's own go to ftp too."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise InputError(f"{req.full_url}: got a redirect to {newurl}, wanted http(s)")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    """An answer, once its headers are there: a server may send these byte by byte, for ever."""
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((_request(url, headers), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer, error = answers.get(timeout=2 * _TIMEOUT)
    except queue.Empty:
        raise TransientError(f"no answer within {2 * _TIMEOUT} s") from None
    if error is not None:
        raise error
    return answer


def _request(url: str, headers: dict[str, str] | None) -> HTTPResponse | HTTPError:
    # urllib asks for no encoding and undoes none: .gz that a server labels gzip-encoded stays .gz.
    request = Request(url, headers={"User-Agent": "isoclr", **(headers or {})})
    try:
        return build_opener(_WebOnly).open(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416:
            return error
        error.close()
        found = " ".join(f"HTTP {error.code} {error.reason}".split())[:300]
        if error.code in _RETRIED:
            raise TransientError(found) from error
        raise InputError(f"{url}: got {found}, wanted the file; or {_BY_HAND}") from error
    except URLError as error:
        raise TransientError(reason_of(error)[:300]) from error
    except (OSError, HTTPException) as error:
        raise TransientError(f"{type(error).__name__}: {reason_of(error)[:300]}") from error


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The body in pieces, as they come; a TransientError where it breaks off, or is too slow."""
    since, come = time.monotonic(), 0
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, HTTPException) as error:
            raise TransientError(f"{type(error).__name__}: {reason_of(error)[:300]}") from error
        if not chunk:
            return
        yield chunk
        come += len(chunk)
        waited = time.monotonic() - since
        if waited > _TIMEOUT:
            if come < _SLOWEST * waited:
                raise TooSlow(f"{come} bytes in {waited:.0f} s")
            since, come = time.monotonic(), 0


def _retried(attempt: Callable[[], _T], url: str, reached: Callable[[], int] = lambda: 0) -> _T:
    """Calls until it is not cut; waits longer each time that it got no further, or crawled."""
    furthest, waits = 0, iter(_WAITS)
    while True:
        try:
            return attempt()
        except TransientError as cut:
            if reached() > furthest and not isinstance(cut, TooSlow):
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
