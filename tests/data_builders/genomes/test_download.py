import contextlib
import gzip
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data_builders.genomes import download
from data_builders.genomes.download import BsdSum, fetch
from data_builders.records import InputError
from file_server import FileServer, Served

NAME = "toy.fa.gz"
DATA = random.Random(0).randbytes(1_000_003)
OTHER = random.Random(1).randbytes(900_001)


@pytest.fixture
def waits(monkeypatch):
    """What is waited between attempts; nothing is, in truth. And no proxy stands between."""
    waited = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return waited


@pytest.fixture
def server(waits):
    with FileServer() as running:
        yield running


def serve(server, data=DATA, **behaviour) -> Served:
    """The toy file, with an md5 that fits it."""
    file = server.files[f"/{NAME}"] = Served(data, **behaviour)
    server.files["/SUMS"] = Served(md5_line(data))
    return file


def md5_line(data) -> bytes:
    return f"{hashlib.md5(data).hexdigest()}  {NAME}\n".encode()


def get(server, folder) -> Path:
    return fetch(f"{server.url}/{NAME}", "SUMS", folder)


def ranges(server) -> list[str | None]:
    return [request.headers["Range"] for request in server.asked(f"/{NAME}")]


def left(folder) -> set[str]:
    return {path.name for path in folder.iterdir()} - {f"{NAME}.lock"}


class TestWholeDownload:
    def test_is_kept_with_a_record_and_nothing_else(self, server, tmp_path):
        serve(server)
        path = get(server, tmp_path / "new" / "folder")
        assert path == tmp_path / "new" / "folder" / NAME
        assert path.read_bytes() == DATA
        assert left(path.parent) == {NAME, f"{NAME}.json"}
        assert json.loads((path.parent / f"{NAME}.json").read_text()) == {
            "url": f"{server.url}/{NAME}",
            "size": len(DATA),
            "md5": hashlib.md5(DATA).hexdigest(),
            "sha256": hashlib.sha256(DATA).hexdigest(),
        }

    def test_second_call_needs_no_network(self, server, tmp_path):
        serve(server)
        get(server, tmp_path)
        asked = len(server.requests)
        server.files.clear()
        assert get(server, tmp_path).read_bytes() == DATA
        assert len(server.requests) == asked

    @pytest.mark.parametrize("damage", [DATA[:-1], DATA[:-1] + b"\0"], ids=["shorter", "flipped"])
    def test_damaged_file_is_fetched_again(self, server, tmp_path, capsys, damage):
        serve(server)
        path = get(server, tmp_path)
        path.write_bytes(damage)
        assert get(server, tmp_path).read_bytes() == DATA
        assert len(ranges(server)) == 2
        assert "not as it was downloaded" in capsys.readouterr().err

    @pytest.mark.parametrize("record", [None, "", "[]", "{}"])
    def test_file_without_its_record_is_fetched_again(self, server, tmp_path, record):
        serve(server)
        path = get(server, tmp_path)
        path.with_name(f"{NAME}.json").unlink()
        if record is not None:
            path.with_name(f"{NAME}.json").write_text(record)
        get(server, tmp_path)
        assert len(ranges(server)) == 2

    def test_file_of_another_url_is_fetched_again(self, server, tmp_path):
        serve(server)
        get(server, tmp_path)
        server.files[f"/moved/{NAME}"] = Served(OTHER)
        server.files["/moved/SUMS"] = Served(md5_line(OTHER))
        assert fetch(f"{server.url}/moved/{NAME}", "SUMS", tmp_path).read_bytes() == OTHER

    def test_empty_file(self, server, tmp_path):
        serve(server, b"")
        assert get(server, tmp_path).read_bytes() == b""

    def test_redirects_keep_the_range(self, server, tmp_path):
        file = serve(server, cuts=[400_000])
        server.files[f"/mirror/{NAME}"] = file
        server.redirects[f"/{NAME}"] = f"{server.url}/mirror/{NAME}"
        assert get(server, tmp_path).read_bytes() == DATA
        asked = server.asked(f"/mirror/{NAME}")
        assert [request.status for request in asked] == [200, 206]

    def test_labelled_as_gzip_encoded_it_stays_as_it_is_stored(self, server, tmp_path):
        data = gzip.compress(DATA)
        serve(server, data, headers={"Content-Encoding": "x-gzip"}, cuts=[300_000])
        assert get(server, tmp_path).read_bytes() == data
        for request in server.requests:
            assert request.headers["Accept-Encoding"] == "identity"


class TestCutDownload:
    @pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
    def test_goes_on_where_it_stopped(self, server, tmp_path, waits, validator):
        file = serve(server, cuts=[300_000, 1, 500_000], validator=validator)
        assert get(server, tmp_path).read_bytes() == DATA
        asked = server.asked(f"/{NAME}")
        assert [request.status for request in asked] == [200, 206, 206, 206]
        version = file.validators()[validator]
        assert [request.headers["If-Range"] for request in asked] == [None, *[version] * 3]
        assert ranges(server) == [None, "bytes=300000-", "bytes=300001-", "bytes=800001-"]
        assert waits == [1, 1, 1]

    def test_goes_on_after_an_abort(self, server, tmp_path):
        """Whatever the client had not read yet is lost with the connection."""
        serve(
            server,
            cuts=[300_000],
            abort=True,
            meanwhile=lambda: wait_for(lambda: a_chunk(tmp_path)),
        )
        assert get(server, tmp_path).read_bytes() == DATA
        _, again = ranges(server)
        assert 0 < int(again.removeprefix("bytes=").removesuffix("-")) <= 300_000

    def test_starts_over_where_ranges_are_ignored(self, server, tmp_path):
        serve(server, cuts=[300_000], ranges=False)
        assert get(server, tmp_path).read_bytes() == DATA
        assert [request.status for request in server.asked(f"/{NAME}")] == [200, 200]

    @pytest.mark.parametrize("validator", ["weak", None])
    def test_starts_over_where_the_version_has_no_name(self, server, tmp_path, validator):
        serve(server, cuts=[300_000], validator=validator)
        assert get(server, tmp_path).read_bytes() == DATA
        assert ranges(server) == [None, None]

    @pytest.mark.parametrize("if_range", [True, False])
    @pytest.mark.parametrize("size", [len(OTHER), 300_000, 200_000])
    def test_a_changed_file_is_not_glued(self, server, tmp_path, if_range, size):
        """Also where the server heeds Range but not If-Range, and where the file is shorter now."""
        file = serve(server, cuts=[300_000], if_range=if_range)
        server.files["/SUMS"] = Served(md5_line(OTHER[:size]))  # changed a little earlier
        file.meanwhile = lambda: setattr(file, "data", OTHER[:size])
        assert get(server, tmp_path).read_bytes() == OTHER[:size]
        assert ranges(server) == [None, "bytes=300000-", *([] if if_range else [None])]

    def test_gluing_would_be_noticed(self, server, tmp_path):
        """Where the server heeds Range alone and names no version in its answer."""
        file = serve(server, cuts=[300_000], if_range=False)
        server.files["/SUMS"] = Served(md5_line(OTHER))

        def change():
            file.data, file.validator = OTHER, None

        file.meanwhile = change
        with pytest.raises(InputError, match="md5: got"):
            get(server, tmp_path)
        assert get(server, tmp_path).read_bytes() == OTHER

    @pytest.mark.parametrize("span", ["bytes 7-1000002/1000003", "bytes 300000-", ""])
    def test_an_answer_with_another_part_is_not_used(self, server, tmp_path, span):
        serve(server, cuts=[300_000], headers={"Content-Range": span})
        assert get(server, tmp_path).read_bytes() == DATA
        assert ranges(server) == [None, "bytes=300000-", None]

    def test_goes_on_in_a_later_call(self, server, tmp_path):
        file = serve(server, cuts=[300_000, *[0] * 10])
        with pytest.raises(InputError, match="300000 of 1000003 bytes"):
            get(server, tmp_path)
        assert left(tmp_path) == {f"{NAME}.part", f"{NAME}.part.validator"}
        file.cuts.clear()
        assert get(server, tmp_path).read_bytes() == DATA
        assert ranges(server)[-1] == "bytes=300000-"

    def test_all_there_but_not_yet_named(self, server, tmp_path):
        """A process that died before the check: the server has nothing left to send (416)."""
        file = serve(server)
        (tmp_path / f"{NAME}.part").write_bytes(DATA)
        (tmp_path / f"{NAME}.part.validator").write_text(file.validators()["ETag"])
        assert get(server, tmp_path).read_bytes() == DATA
        assert [request.status for request in server.asked(f"/{NAME}")] == [416]

    def test_waits_longer_while_nothing_comes_and_shorter_after(self, server, tmp_path, waits):
        serve(server, cuts=[10, 0, 0, 10, 0])
        get(server, tmp_path)
        assert waits == [1, 2, 4, 1, 2]

    def test_gives_up_and_says_what_to_do(self, server, tmp_path, waits):
        serve(server, cuts=[0] * 99)
        with pytest.raises(InputError) as error:
            get(server, tmp_path)
        assert waits == [1, 2, 4, 8, 16, 32]
        assert str(error.value) == (
            f"{server.url}/{NAME}: got '0 of 1000003 bytes' 7 times, wanted the file; try again, "
            "it goes on from where it stopped, or download it by hand and build from files, with "
            "--genome and --annotation"
        )

    def test_killed_process_leaves_what_came(self, server, tmp_path):
        held = threading.Event()
        file = serve(server, cuts=[500_000], meanwhile=lambda: held.wait(30))
        process = start_process(server, tmp_path)
        wait_for(lambda: a_chunk(tmp_path))
        process.kill()
        process.wait()
        held.set()
        file.cuts.clear()
        assert get(server, tmp_path).read_bytes() == DATA
        _, again = ranges(server)
        assert 0 < int(again.removeprefix("bytes=").removesuffix("-")) <= 500_000


class TestErrors:
    def test_passing_errors_are_tried_again(self, server, tmp_path, waits):
        serve(server, statuses=[500, 503, 429])
        server.files["/SUMS"].statuses = [502]
        assert get(server, tmp_path).read_bytes() == DATA
        assert waits == [1, 1, 2, 4]

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_others_are_not(self, server, tmp_path, waits, status):
        serve(server, statuses=[status] * 2)
        with pytest.raises(
            InputError, match=rf"/{NAME}: got HTTP {status} .*, wanted the file; or"
        ):
            get(server, tmp_path)
        assert not waits and left(tmp_path) == set()

    def test_wrong_checksum_removes_the_download(self, server, tmp_path):
        serve(server)
        server.files["/SUMS"] = Served(md5_line(OTHER))
        with pytest.raises(InputError) as error:
            get(server, tmp_path)
        assert str(error.value) == (
            f"{server.url}/{NAME}: md5: got {hashlib.md5(DATA).hexdigest()}, wanted "
            f"{hashlib.md5(OTHER).hexdigest()} as its provider lists; the download is removed, "
            "try again"
        )
        assert left(tmp_path) == set()
        server.files["/SUMS"] = Served(md5_line(DATA))
        assert get(server, tmp_path).read_bytes() == DATA

    def test_name_that_the_checksums_lack(self, server, tmp_path):
        serve(server)
        server.files["/SUMS"] = Served(
            b"0" * 32 + b"  toy.v2.fa.gz\n" + b"0" * 32 + b"  ./deep/toy.fa.gz\nnot a line\n"
        )
        with pytest.raises(InputError) as error:
            get(server, tmp_path)
        assert str(error.value) == (
            f"{server.url}/SUMS: got checksums of 2 files (the likest: toy.v2.fa.gz, "
            f"deep/toy.fa.gz), wanted that of {NAME}"
        )
        assert not server.asked(f"/{NAME}")  # nothing is downloaded that could not be checked

    def test_cut_checksums_are_asked_for_again(self, server, tmp_path):
        serve(server)
        server.files["/SUMS"].cuts = [10]
        assert get(server, tmp_path).read_bytes() == DATA
        assert len(server.asked("/SUMS")) == 2

    def test_no_file_of_checksums(self, server, tmp_path):
        serve(server)
        del server.files["/SUMS"]
        with pytest.raises(InputError, match="/SUMS: got HTTP 404"):
            get(server, tmp_path)

    def test_no_network(self, waits, tmp_path, free_port):
        with pytest.raises(InputError, match=r"refused.* 7 times.*by hand.*--genome"):
            fetch(f"http://127.0.0.1:{free_port}/{NAME}", "SUMS", tmp_path)

    def test_no_such_server(self, waits, tmp_path, monkeypatch):
        monkeypatch.setenv("no_proxy", "*")
        with pytest.raises(InputError, match=r"http://nowhere.invalid/SUMS: got .* 7 times"):
            fetch(f"http://nowhere.invalid/{NAME}", "SUMS", tmp_path)

    def test_full_disk_keeps_what_came(self, server, tmp_path):
        serve(server)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        try:
            with pytest.raises(InputError, match=rf"{NAME}: got 'File too large', wanted to write"):
                get(server, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
        assert download._size(tmp_path / f"{NAME}.part") == 600_000
        assert get(server, tmp_path).read_bytes() == DATA
        assert ranges(server) == [None, "bytes=600000-"]

    def test_folder_that_is_a_file(self, server, tmp_path):
        serve(server)
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="got 'File exists', wanted to write"):
            get(server, tmp_path / "file")


class TestChecksums:
    @pytest.mark.parametrize(
        "line",
        [
            "{md5}  toy.fa.gz",  # GENCODE's MD5SUMS
            "{md5}  ./toy.fa.gz",  # NCBI's md5checksums.txt
            "{md5} *toy.fa.gz",
            "{MD5}  toy.fa.gz\r",
            "{sum} {blocks} toy.fa.gz",  # Ensembl's CHECKSUMS
            "{sum:05d}\t{blocks:5d} toy.fa.gz",
        ],
    )
    def test_of_every_provider(self, server, tmp_path, line):
        serve(server)
        md5, value = hashlib.md5(DATA).hexdigest(), rotate_and_add(DATA)
        numbers = {"sum": value, "blocks": 977}
        text = line.format(md5=md5, MD5=md5.upper(), **numbers)
        server.files["/SUMS"] = Served(f"00000 1 toy.fa\n{text}\n00000 2 x\n".encode())
        assert get(server, tmp_path).read_bytes() == DATA
        wrong = line.format(md5="0" * 32, MD5="0" * 32, sum=(value + 1) % 65536, blocks=977)
        server.files["/SUMS"] = Served(wrong.encode())
        with pytest.raises(InputError, match=r"(md5|sum): got .*, wanted .* as its provider lists"):
            get(server, tmp_path / "again")

    def test_blocks_count_too(self, server, tmp_path):
        serve(server)
        server.files["/SUMS"] = Served(f"{rotate_and_add(DATA)} 976 {NAME}\n".encode())
        with pytest.raises(InputError, match=r"sum: got \d{5} 977, wanted \d{5} 976 as"):
            get(server, tmp_path)

    @pytest.mark.parametrize("size", [0, 1, 2, 1023, 1024, 1025, 70_000])
    @pytest.mark.parametrize("fill", ["random", "ones"])
    def test_sum_by_its_definition_in_pieces(self, size, fill):
        data = DATA[:size] if fill == "random" else b"\xff" * size
        hash_ = BsdSum()
        for start in range(0, size, 333):
            hash_.update(data[start : start + 333])
        assert hash_.hexdigest() == f"{rotate_and_add(data):05d} {(size + 1023) // 1024}"

    @pytest.mark.skipif(shutil.which("sum") is None, reason="no `sum` on this machine")
    def test_sum_as_the_program_prints_it(self, tmp_path):
        (tmp_path / NAME).write_bytes(DATA)
        printed = subprocess.run(
            ["sum", tmp_path / NAME], capture_output=True, text=True, check=True
        ).stdout.split()
        hash_ = BsdSum()
        hash_.update(DATA)
        assert hash_.hexdigest().split() == printed[:2]


class TestProcesses:
    def test_two_at_once_download_once(self, server, tmp_path):
        held = threading.Event()
        serve(server, cuts=[500_000], meanwhile=lambda: held.wait(30))
        first = start_process(server, tmp_path)
        wait_for(lambda: server.asked(f"/{NAME}"))
        second = start_process(server, tmp_path)
        assert "another process is fetching it" in second.stderr.readline()
        held.set()
        for process in (first, second):
            out, _ = process.communicate(timeout=30)
            assert process.returncode == 0
            assert out.strip() == str(tmp_path / NAME)
        assert (tmp_path / NAME).read_bytes() == DATA
        assert ranges(server) == [None, "bytes=500000-"]
        assert left(tmp_path) == {NAME, f"{NAME}.json"}


def rotate_and_add(data: bytes) -> int:
    """Checksum of BSD's `sum`, as its manual defines it."""
    value = 0
    for byte in data:
        value = ((value >> 1) + ((value & 1) << 15) + byte) & 0xFFFF
    return value


def a_chunk(folder) -> bool:
    """Whether the client has written something."""
    return download._size(folder / f"{NAME}.part") > 0


def start_process(server, folder) -> subprocess.Popen:
    code = (
        "import sys; from data_builders.genomes.download import fetch; print(fetch(*sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, f"{server.url}/{NAME}", "SUMS", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "no_proxy": "127.0.0.1"},
    )


def wait_for(condition) -> None:
    done = threading.Event()
    for _ in range(3000):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("waited 30 s in vain")


def raw_server(answer):
    """A server on 127.0.0.1 that says what it likes, at its own pace; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=speak, args=(connection,), daemon=True).start()

    def speak(connection):
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65536).decode()
            answer(connection, request.split()[1])

    threading.Thread(target=serve, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"


def by_drops(connection, data):
    for byte in data:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.02)  # time.sleep does not sleep here


class TestHostileServers:
    @pytest.fixture(autouse=True)
    def little_patience(self, waits, monkeypatch):
        monkeypatch.setattr(download, "_TIMEOUT", 0.4)
        monkeypatch.setattr(download, "_MOST_LISTED", 100_000)
        monkeypatch.setattr(download, "_MOST_BYTES", 300_000)
        monkeypatch.setattr(download, "_WAITS", (1, 1))

    def fetch_from(self, folder, answer):
        listener, url = raw_server(answer)
        with listener, pytest.raises(InputError) as error:
            fetch(f"{url}/{NAME}", "SUMS", folder)
        assert "\n" not in str(error.value)
        assert not (folder / NAME).exists()
        return str(error.value)

    def test_a_list_without_an_end(self, tmp_path):
        def answer(connection, path):
            connection.sendall(ENDLESS)
            while True:
                connection.sendall(b"0" * 32 + b"  file\n" * 1000)

        assert "MiB, wanted a file of checksums" in self.fetch_from(tmp_path, answer)

    @pytest.mark.parametrize("part", ["headers", "list", "file"])
    def test_a_byte_at_a_time(self, tmp_path, part):
        listed = md5_line(DATA)

        def answer(connection, path):
            if part == "headers":
                by_drops(connection, ENDLESS[:-4] + b"\r\nX: " + b"x" * 10_000)
            elif part == "list" or path.endswith(NAME):
                connection.sendall(HEAD % len(DATA))
                by_drops(connection, DATA)
            else:
                connection.sendall(HEAD % len(listed) + listed)

        message = self.fetch_from(tmp_path, answer)
        assert ("no answer within" if part == "headers" else " bytes in ") in message
        assert "3 times, wanted the file; try again" in message

    def test_a_file_without_an_end(self, tmp_path):
        listed = md5_line(DATA)

        def answer(connection, path):
            if not path.endswith(NAME):
                connection.sendall(HEAD % len(listed) + listed)
                return
            connection.sendall(ENDLESS)
            while True:
                connection.sendall(DATA)

        assert "and no end, wanted a file" in self.fetch_from(tmp_path, answer)

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
    def test_a_redirect_out_of_the_web(self, tmp_path, target):
        def answer(connection, path):
            head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())

        message = self.fetch_from(tmp_path, answer)
        assert "redirect" in message.lower() and target in message

    def test_redirects_without_an_end(self, tmp_path):
        def answer(connection, path):
            head = f"HTTP/1.1 302 Found\r\nLocation: {path}x\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())

        assert "HTTP 302" in self.fetch_from(tmp_path, answer)

    @pytest.mark.parametrize("said", [b"", b"\0" * 99, b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0\r\n"])
    def test_what_is_no_answer(self, tmp_path, said):
        self.fetch_from(tmp_path, lambda connection, path: connection.sendall(said))


@pytest.mark.parametrize(
    ("url", "checksums", "message"),
    [
        ("file:///etc/passwd", "SUMS", "got another kind of address, wanted http"),
        ("ftp://host/x.fa", "SUMS", "got another kind of address"),
        ("http://host/x.fa", "file:///etc/passwd", "file:///etc/passwd: got another kind of"),
        ("http://host/x/..", "SUMS", "got '..' for a file's name"),
        ("http://host/", "SUMS", "got '' for a file's name"),
        ("http://host/.bashrc", "SUMS", "got '.bashrc' for a file's name"),
        ("http://host/a%2f..", "SUMS", "got 'a%2f..' for a file's name"),
    ],
)
def test_addresses_that_are_none_of_the_web_s_files(tmp_path, url, checksums, message):
    with pytest.raises(InputError, match=message):
        fetch(url, checksums, tmp_path / "new")
    assert not (tmp_path / "new").exists()
