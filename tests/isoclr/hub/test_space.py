"""The Space of the page: complete, runnable where nothing of ours is installed, and uploaded."""

import os
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
DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download("tester/page", repo_type="space", local_dir=sys.argv[1])
"""
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


@pytest.fixture(scope="module")
def downloaded(hub, tmp_path_factory) -> Path:
    """What a Space got by `isoclr push --space`, as the Hub gives it back."""
    done = run_client(hub, PUSH, "--space", "tester/page")
    assert done.stdout == f"{hub.url}/spaces/tester/page\n"
    folder = tmp_path_factory.mktemp("downloaded") / "space"
    run_client(hub, DOWNLOAD, folder)
    return folder


@pytest.fixture
def address(downloaded, free_port, tmp_path_factory):
    """Of the page that `app.py` of the downloaded Space serves, from an empty folder."""
    pytest.importorskip("gradio")
    empty = tmp_path_factory.mktemp("empty")
    log = empty / "log"
    command = [sys.executable, "-c", RUN, str(downloaded), str(free_port)]
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(empty)}
    nobody = os.environ | nobody | {"PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=empty, env=nobody, stdout=file, stderr=file)
    try:
        for _ in range(240):
            time.sleep(0.5)
            assert server.poll() is None, log.read_text()
            try:
                with urlopen(f"http://127.0.0.1:{free_port}/config", timeout=60) as answer:
                    assert "half-life-human" in answer.read().decode()
                break
            except (URLError, TimeoutError):
                pass
        yield f"http://127.0.0.1:{free_port}"
        assert "num_labels" not in log.read_text()
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_a_space_is_pushed_as_it_is_written(hub, folder, downloaded):
    written, there = (
        {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*.*")
         if path.is_file() and ".cache" not in path.parts}
        for top in (folder, downloaded)
    )  # fmt: skip
    there.pop(".gitattributes", None)
    assert there == written and len(written) > 200
    assert [commit.title for commit in hub.repositories["space", "tester/page"].commits] == [
        "initial commit",
        "Upload the page of isoclr",
    ]


@pytest.mark.slow
def test_a_visitor_reads_a_prediction_in_the_downloaded_space(address, request):
    browser = request.getfixturevalue("browser")  # where there is none, the page has answered
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 120, ignored_exceptions=[Exception])

    def find(selector):
        return browser.find_element("css selector", selector)

    browser.get(address)
    record = ">mine\nGGATG" + "GCC" * 40 + "TAATTTATT"
    wait.until(lambda _: find("#fasta textarea")).send_keys(record)
    find("#read").click()
    wait.until(lambda _: "mine" in find("#table").text)
    assert "90% interval" in find("#table").text


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
