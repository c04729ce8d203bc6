"""A Hub on 127.0.0.1 that huggingface_hub itself talks to; it keeps all in memory.

Clients read the Hub's address when they are imported, so each runs in a process of its own:
`run_client`. The Hub stores big files as the real one does: uploaded by their SHA-256, and served
from another host name after a redirect.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from fork_server import ForkServer

USER = "tester"
_DATE = "2026-01-01T00:00:00.000Z"
_LFS_SUFFIXES = (".safetensors", ".parquet")
_LFS_SIZE = 10 * 2**20
_TIMEOUT = 300  # seconds that a client may run


@dataclass(frozen=True)
class File:
    """A file of a commit."""

    data: bytes
    lfs: bool = False

    @property
    def oid(self) -> str:
        """SHA-256 of a file in LFS, else what git calls it."""
        if self.lfs:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass(frozen=True)
class Commit:
    """A commit and the whole tree that it leaves, path -> file."""

    oid: str
    title: str
    files: dict[str, File]


@dataclass
class Repository:
    """A model, a dataset or a Space: the commits of main, and those of each other branch."""

    kind: str
    name: str
    private: bool
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def add(self, title: str, files: dict[str, File], branch: str = "main") -> Commit:
        """Put a tree on top of a branch."""
        commits = self.commits if branch == "main" else self.branches[branch]
        listing = [(path, file.oid) for path, file in sorted(files.items())]
        seed = f"{self.kind} {self.name} {branch} {len(commits)} {title} {listing}"
        commits.append(Commit(hashlib.sha1(seed.encode()).hexdigest(), title, files))
        return commits[-1]

    def at(self, revision: str) -> Commit:
        """The commit that a revision means."""
        for branch, commits in {"main": self.commits, **self.branches}.items():
            for commit in reversed(commits):
                if revision in (branch, commit.oid):
                    return commit
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")


@dataclass
class Request:
    """What came in, and the status that it was answered with."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes
    status: int = 0

    def json(self):
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    """What goes out."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """An error, in the headers that huggingface_hub reads."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        headers = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}
        self.response = as_json({"error": message}, status, headers)


def as_json(value, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {"Content-Type": "application/json", **(headers or {})}
    return Response(status, json.dumps(value).encode(), headers)


class LoopbackHub:
    """Serves from `with` on; `home` is the HF_HOME of its clients.

    Attributes:
        repositories: (`model` or `dataset`, name) -> repository.
        requests: all that came in, in order.
        faults: (pattern, status): the next request whose path has the pattern is answered so, once.
    """

    def __init__(self, home: Path):
        self.home = home
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.faults: list[tuple[str, int]] = []
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            def answer(self, request: Request) -> Response:
                return hub.answer(request)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.files_url = f"http://localhost:{self.port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.clients = ForkServer(self.environment(), self.home)
        return self

    def __exit__(self, *error):
        self.clients.close()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def environment(self) -> dict[str, str]:
        """What a client process needs to talk to this Hub and to nothing else."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.home),
            "HF_TOKEN": "hf_loopback",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            # `datasets` looks for a viewer's host beside the Hub's, which is nowhere.
            "RES_OPTIONS": "timeout:1 attempts:1",
        }

    def answer(self, request: Request) -> Response:
        """Route a request, and record it; one at a time, so that commits are whole."""
        with self.lock:
            response = self._route(request)
            request.status = response.status
            self.requests.append(request)
        return response

    def _route(self, request: Request) -> Response:
        for fault in self.faults:
            if re.search(fault[0], request.path):
                self.faults.remove(fault)
                return as_json({"error": "out of order"}, fault[1])
        for methods, pattern, serve in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match and request.method in methods:
                try:
                    return serve(self, request, **match.groupdict())
                except Refusal as refusal:
                    return refusal.response
        return as_json({"error": f"no route: {request.method} {request.path}"}, 404)

    def repository(self, request: Request, kind: str | None, name: str) -> Repository:
        """The repository that a path names, if this client may see it."""
        found = self.repositories.get(((kind or "models").removesuffix("s"), name))
        signed = "Authorization" in request.headers
        if found is None or (found.private and not signed):
            raise Refusal(404 if signed else 401, "RepoNotFound", "Repository not found")
        return found


def run_client(hub: LoopbackHub, code: str, *argv, check: bool = True, **environment: str):
    """Run Python code as a client of the Hub.

    Args:
        hub: the Hub.
        code: what to run; `sys.argv[1:]` are `argv`.
        argv: turned into text.
        check: fail, with what it wrote, when it ends with another status than 0.
        environment: on top of the Hub's.

    Returns:
        A `subprocess.CompletedProcess` with text of both streams.
    """
    words = list(map(str, argv))
    if environment:  # which libraries read when they are imported
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            env=hub.environment() | environment,
            cwd=hub.home,  # not the checkout
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    else:
        done = hub.clients.run(code, words, _TIMEOUT)
    assert not check or done.returncode == 0, done.stderr
    return done


class _Handler(BaseHTTPRequestHandler):
    """HTTP to `Request` and `Response` to HTTP."""

    protocol_version = "HTTP/1.1"

    def answer(self, request: Request) -> Response:
        raise NotImplementedError

    def handle_request(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        request = Request(self.command, url.path, query, self.headers, self._body())
        response = self.answer(request)
        self.send_response(response.status)
        for name, value in {"Content-Length": len(response.body), **response.headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *arguments):
        """Requests are recorded, not printed."""


def _require_token(request: Request) -> None:
    if "Authorization" not in request.headers:
        raise Refusal(401, "Unauthorized", "Invalid username or password.")


def _who_am_i(hub: LoopbackHub, request: Request) -> Response:
    _require_token(request)
    token = {"type": "access_token", "accessToken": {"role": "write"}}
    return as_json({"type": "user", "name": USER, "orgs": [], "auth": token})


def _create(hub: LoopbackHub, request: Request) -> Response:
    _require_token(request)
    wanted = request.json()
    kind, owner = wanted.get("type", "model"), wanted.get("organization") or USER
    name = f"{owner}/{wanted['name']}"
    url = f"{hub.url}/{'' if kind == 'model' else f'{kind}s/'}{name}"
    if owner != USER:
        message = f'You don\'t have the rights to create a {kind} under the namespace "{owner}".'
        raise Refusal(403, "Forbidden", message)
    if kind == "space" and wanted.get("sdk") not in ("gradio", "docker", "static"):
        return as_json({"error": "a Space needs an sdk"}, 400)
    if (kind, name) in hub.repositories:
        return as_json({"error": f"You already created this {kind} repo", "url": url}, 409)
    repository = Repository(kind, name, private=wanted.get("visibility") == "private")
    attributes = "".join(f"*{suffix} filter=lfs -text\n" for suffix in _LFS_SUFFIXES)
    repository.add("initial commit", {".gitattributes": File(attributes.encode())})
    hub.repositories[kind, name] = repository
    return as_json({"url": url, "name": name})


def _validate_yaml(hub: LoopbackHub, request: Request) -> Response:
    metadata = re.match(r"---\n(.*?)\n---", request.json()["content"], re.DOTALL)
    try:
        yaml.safe_load(metadata[1] if metadata else "")
    except yaml.YAMLError as error:
        return as_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
    return as_json({"errors": [], "warnings": []})


def _info(hub: LoopbackHub, request: Request, kind, name, revision="main") -> Response:
    repository = hub.repository(request, kind, name)
    commit = repository.at(unquote(revision))
    return as_json(
        {
            "_id": "0",
            "id": name,
            "author": name.split("/")[0],
            "sha": commit.oid,
            "lastModified": _DATE,
            "createdAt": _DATE,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in commit.files],
        }
    )


def _tree(hub: LoopbackHub, request: Request, kind, name, revision, folder=None) -> Response:
    commit = hub.repository(request, kind, name).at(unquote(revision))
    below = f"{unquote(folder)}/" if folder else ""
    inside = {path: file for path, file in commit.files.items() if path.startswith(below)}
    if not inside:
        raise _no_entry(commit, below)
    entries = [_folder_entry(path) for path in _folders(inside, below)]
    entries += [_file_entry(path, file) for path, file in sorted(inside.items())]
    if request.query.get("recursive", "false").lower() != "true":
        entries = [entry for entry in entries if "/" not in entry["path"].removeprefix(below)]
    return as_json(entries)


def _paths_info(hub: LoopbackHub, request: Request, kind, name, revision) -> Response:
    files = hub.repository(request, kind, name).at(unquote(revision)).files
    paths = [path.rstrip("/") for path in parse_qs(request.body.decode()).get("paths", [])]
    folders = _folders(files, "")
    entries = [_file_entry(path, files[path]) for path in paths if path in files]
    return as_json(entries + [_folder_entry(path) for path in paths if path in folders])


def _folders(paths, below: str) -> list[str]:
    """Folders between `below` and the paths in it."""
    found = set()
    for path in paths:
        parts = path.removeprefix(below).split("/")[:-1]
        found |= {below + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return sorted(found)


def _folder_entry(path: str) -> dict:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}


def _file_entry(path: str, file: File) -> dict:
    entry = {"type": "file", "path": path, "size": len(file.data), "oid": file.oid}
    if file.lfs:
        entry["lfs"] = {"oid": file.oid, "size": len(file.data), "pointerSize": 134}
    return entry


def _preupload(hub: LoopbackHub, request: Request, kind, name, revision) -> Response:
    _require_token(request)
    present = hub.repository(request, kind, name).at(unquote(revision)).files
    files = []
    for file in request.json()["files"]:
        lfs = file["path"].endswith(_LFS_SUFFIXES) or file["size"] > _LFS_SIZE
        old = present.get(file["path"])
        files.append(
            {
                "path": file["path"],
                "uploadMode": "lfs" if lfs else "regular",
                "shouldIgnore": False,
                "oid": old.oid if old else None,
            }
        )
    return as_json({"files": files})


def _lfs_batch(hub: LoopbackHub, request: Request, kind, name) -> Response:
    _require_token(request)
    hub.repository(request, kind, name)
    objects = []
    for wanted in request.json()["objects"]:
        entry = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.blobs:
            entry["actions"] = {
                "upload": {"href": f"{hub.files_url}/lfs/{wanted['oid']}"},
                "verify": {"href": f"{hub.url}/lfs/{wanted['oid']}/verify"},
            }
        objects.append(entry)
    return as_json({"transfer": "basic", "objects": objects})


def _lfs_upload(hub: LoopbackHub, request: Request, oid) -> Response:
    if hashlib.sha256(request.body).hexdigest() != oid:
        return as_json({"error": "the content has another SHA-256"}, 400)
    hub.blobs[oid] = request.body
    return Response()


def _lfs_verify(hub: LoopbackHub, request: Request, oid) -> Response:
    complete = len(hub.blobs.get(oid, b"")) == request.json()["size"]
    return as_json({}, 200 if complete else 404)


def _commit(hub: LoopbackHub, request: Request, kind, name, revision) -> Response:
    _require_token(request)
    repository = hub.repository(request, kind, name)
    branch = unquote(revision)
    files = dict(repository.at(branch).files)
    pull_request = f"refs/pr/{len(repository.branches) + 1}" if request.query else None
    title = ""
    for line in request.body.splitlines():
        operation = json.loads(line)
        value = operation["value"]
        match operation["key"]:
            case "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, repository.commits[-1].oid):
                    raise Refusal(412, "PreconditionFailed", "A commit has happened since.")
            case "file":
                files[value["path"]] = File(base64.b64decode(value["content"]))
            case "lfsFile" if value["oid"] in hub.blobs:
                files[value["path"]] = File(hub.blobs[value["oid"]], lfs=True)
            case "deletedFile" if value["path"] in files:
                del files[value["path"]]
            case _:
                raise Refusal(400, "BadRequest", f"cannot commit {operation['key']}: {value}")
    if pull_request:
        repository.branches[pull_request] = [repository.at(branch)]
    commit = repository.add(title, files, pull_request or branch)
    answer = {"success": True, "commitOid": commit.oid, "hookOutput": ""}
    answer["commitUrl"] = f"{hub.url}/{name}/commit/{commit.oid}"
    if pull_request:
        answer["pullRequestUrl"] = f"{hub.url}/{name}/discussions/{pull_request.split('/')[-1]}"
    return as_json(answer)


def _branch(hub: LoopbackHub, request: Request, kind, name, branch) -> Response:
    _require_token(request)
    repository = hub.repository(request, kind, name)
    repository.branches[unquote(branch)] = [repository.at("main")]
    return Response()


def _resolve(hub: LoopbackHub, request: Request, kind, name, revision, path) -> Response:
    commit = hub.repository(request, kind, name).at(unquote(revision))
    file = commit.files.get(unquote(path))
    if file is None:
        raise _no_entry(commit, path)
    headers = {"X-Repo-Commit": commit.oid}
    if file.lfs:
        headers |= {
            "Location": f"{hub.files_url}/lfs/{file.oid}",
            "X-Linked-Etag": f'"{file.oid}"',
            "X-Linked-Size": str(len(file.data)),
        }
        return Response(302, headers=headers)
    return _send_bytes(request, file.data, headers | {"ETag": f'"{file.oid}"'})


def _lfs_download(hub: LoopbackHub, request: Request, oid) -> Response:
    return _send_bytes(request, hub.blobs[oid], {"ETag": '"of the store, not of the file"'})


def _send_bytes(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """All of the data, or the range that was asked for: `bytes=a-b`, `bytes=a-`, `bytes=-n`."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if wanted is None:
        return Response(200, data, headers)
    first, last = wanted.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= end:
        return Response(416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Response(206, data[start:end], headers)


def _no_entry(commit: Commit, path: str) -> Refusal:
    return Refusal(404, "EntryNotFound", f"no {path}", {"X-Repo-Commit": commit.oid})


_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
_WEB = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+/[^/]+?)"
_REVISION = r"(?P<revision>[^/]+)"
_BLOB = r"/lfs/(?P<oid>[0-9a-f]{64})"
_ROUTES = [
    (methods.split(), re.compile(pattern), serve)
    for methods, pattern, serve in (
        ("GET", r"/api/whoami-v2", _who_am_i),
        ("POST", r"/api/repos/create", _create),
        ("POST", r"/api/validate-yaml", _validate_yaml),
        ("GET", _API, _info),
        ("GET", rf"{_API}/revision/{_REVISION}", _info),
        ("GET", rf"{_API}/tree/{_REVISION}(?:/(?P<folder>.+))?", _tree),
        ("POST", rf"{_API}/paths-info/{_REVISION}", _paths_info),
        ("POST", rf"{_API}/preupload/{_REVISION}", _preupload),
        ("POST", rf"{_API}/commit/{_REVISION}", _commit),
        ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", _branch),
        ("POST", rf"{_WEB}\.git/info/lfs/objects/batch", _lfs_batch),
        ("PUT", _BLOB, _lfs_upload),
        ("POST", rf"{_BLOB}/verify", _lfs_verify),
        ("GET HEAD", _BLOB, _lfs_download),
        ("GET HEAD", rf"{_WEB}/resolve/{_REVISION}/(?P<path>.+)", _resolve),
    )
]
