"""Files on 127.0.0.1, served as well or as badly as a test wants."""

import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file, and how it is served.

    Attributes:
        data: its bytes.
        cuts: bytes of the body after which the next answers break off, first come, first served.
        statuses: errors that the next requests are answered with, before anything else.
        abort: break off as a crash does (RST), not as an orderly end of the stream.
        ranges: whether Range is heeded, and `if_range` whether If-Range is.
        validator: "ETag", "Last-Modified", "weak" or None; of the data's present content.
        headers: more of them; they win.
        meanwhile: called when an answer breaks off, before the client can know.
    """

    data: bytes
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    abort: bool = False
    ranges: bool = True
    if_range: bool = True
    validator: str | None = "ETag"
    headers: dict[str, str] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None

    def validators(self) -> dict[str, str]:
        """Headers that name the content."""
        digest = hashlib.sha256(self.data).digest()
        return {
            None: {},
            "ETag": {"ETag": f'"{digest.hex()}"'},
            "weak": {"ETag": f'W/"{digest.hex()}"'},
            "Last-Modified": {
                "Last-Modified": f"Sat, 21 Nov 2026 00:{digest[0] % 60:02}:{digest[1] % 60:02} GMT"
            },
        }[self.validator]


@dataclass
class Request:
    """What came in, and the status that it was answered with."""

    path: str
    headers: Message
    status: int


class FileServer:
    """Serves from `with` on.

    Attributes:
        files: path -> file.
        redirects: path -> where it is.
        requests: all that came, in order.
    """

    def __init__(self):
        self.files: dict[str, Served] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FileServer":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked(self, path: str) -> list[Request]:
        """The requests for a path."""
        return [request for request in self.requests if request.path == path]


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            request = Request(self.path, self.headers, 0)
            server.requests.append(request)
            status, headers, body, cut, file = self.answer()
            request.status = status
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None:
                self.wfile.flush()
                file.meanwhile()
                if file.abort:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.connection.close()

        def answer(self):
            if self.path in server.redirects:
                return 302, {"Location": server.redirects[self.path]}, b"", None, None
            file = server.files.get(self.path)
            if file is None:
                return 404, {}, b"no such file", None, None
            if file.statuses:
                return file.statuses.pop(0), {}, b"not now", None, None
            size, begin, status, headers = len(file.data), 0, 200, file.validators()
            if file.ranges and self.headers["Range"] and self.is_current(file, headers):
                begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                status = 206 if begin < size else 416
                span = f"{begin}-{size - 1}" if begin < size else "*"
                headers["Content-Range"] = f"bytes {span}/{size}"
            cut = file.cuts.pop(0) if file.cuts else None
            return status, {**headers, **file.headers}, file.data[begin:], cut, file

        def is_current(self, file, headers):
            return not file.if_range or self.headers["If-Range"] in headers.values()

        def log_message(self, *_):
            pass

    return Handler
