"""The Space of the page: complete, runnable where nothing of ours is installed, and uploaded."""

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

from data_builders.records import InputError
from isoclr.cli import main
from isoclr.hub.push import shared_files
from isoclr.hub.space import space_files, write_space
from isoclr.shipped import shipped_model, shipped_of_family
from loopback_hub import run_client

PUSH = "import sys; from isoclr.cli import main; sys.exit(main(['push', *sys.argv[1:]]))"
# Runs app.py of the folder: our modules from there alone, and on a free port.
RUN = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
import isoclr.app.page as page
assert page.__file__.startswith(sys.argv[1]), page.__file__
real = page.serve
page.serve = lambda made, host, port: real(made, "127.0.0.1", int(sys.argv[2]))
runpy.run_path(sys.argv[1] + "/app.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("space") / "space"
    write_space(folder)
    return folder


def test_a_space_has_what_the_hub_asks_for(folder):
    card = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert (card["sdk"], card["app_file"]) == ("gradio", "app.py")
    assert card["sdk_version"].count(".") == 2
    needed = (folder / "requirements.txt").read_text()
    assert "torch>=" in needed and "anndata>=" in needed
    assert "gradio" not in needed and "pytest" not in needed
    models = {path.name for path in (folder / "model_cards").iterdir()}
    others = [*shipped_of_family("rpi"), *shipped_of_family("isoclr_expression")]
    assert models == {"isoclr-small", *(path.name for path in others)}
    for name in models:
        assert (folder / "model_cards" / name / "model.safetensors").is_file()
    for path in folder.rglob("*"):
        assert path.suffix not in (".pyc", ".so", ".bin") and not path.is_symlink()
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 30e6
    with pytest.raises(InputError, match="wanted a new or an empty folder"):
        write_space(folder)
    with pytest.raises(InputError, match="no such folder"):
        space_files("nobody/nothing")


def test_models_are_shared_with_their_handlers_and_processors():
    processors = {"isoclr": "tokenizer_config.json"}
    for family in ("isoclr", "rpi", "isoclr_expression"):
        for model in shipped_of_family(family):
            needed = {"handler.py", processors.get(family, "preprocessor_config.json")}
            assert needed <= shared_files(model).keys()


@pytest.mark.slow
def test_the_space_runs_from_its_own_files(folder, free_port, tmp_path):
    pytest.importorskip("gradio")
    address = f"http://127.0.0.1:{free_port}"
    command = [sys.executable, "-c", RUN, str(folder), str(free_port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        try:
            for _ in range(240):
                time.sleep(0.5)
                assert server.poll() is None, (tmp_path / "log").read_text()
                try:
                    with urlopen(f"{address}/config", timeout=60) as answer:
                        config = json.load(answer)
                    break
                except (URLError, TimeoutError):
                    pass
        finally:
            server.kill()
            server.wait()
    assert "half-life-human" in json.dumps(config)


@pytest.mark.slow
def test_a_space_is_pushed_as_it_is_written(hub, folder):
    done = run_client(hub, PUSH, "--space", "tester/page")
    assert done.stdout == f"{hub.url}/spaces/tester/page\n"
    pushed = hub.repositories["space", "tester/page"]
    files = pushed.at("main").files
    written = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    written = {name: path for name, path in written.items() if path.is_file()}
    assert files.keys() - {".gitattributes"} == written.keys()
    for name in ("app.py", "README.md", "model_cards/isoclr-small/model.safetensors"):
        assert files[name].data == written[name].read_bytes()
    assert [commit.title for commit in pushed.commits] == [
        "initial commit",
        "Upload the page of isoclr",
    ]


@pytest.mark.parametrize(
    "words, message",
    [
        (["model", "owner/name", "--space", "owner/page"], "owner/name: got it beside --space"),
        (["model"], "wanted FOLDER and REPO, or --space OWNER/NAME"),
        (["/no/model", "--space", "owner/page"], "/no/model: no such folder"),
    ],
)
def test_wrong_words_are_one_line(words, message, capsys):
    assert main(["push", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_model_of_a_space_is_in_it():
    files = space_files(shipped_model("isoclr-small-bare"))
    assert b'"isoclr-small-bare"' in files["app.py"]
    assert "model_cards/isoclr-small-bare/model.safetensors" in files
