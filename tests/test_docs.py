"""What the guides say can be typed, linked and built."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from isoclr import __version__
from isoclr.cli import application

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def commands(page: Path) -> list[list[str]]:
    """The `isoclr` command lines of a page's shell blocks."""
    found = []
    for block in re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", page.read_text(), re.S | re.M):
        block = block.replace("$SLURM_ARRAY_TASK_ID", "0")
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["isoclr"]:
                end = next((i for i, word in enumerate(words) if word in "|>;&&"), len(words))
                words = [word for word in words[1:end] if not word.endswith("[@]}")]
                # What a person may leave out stands in brackets.
                found.append([word.strip("[]") for word in words])
    return found


def parse(words: list[str]) -> None:
    """Parse a command line as `isoclr` does, without running it."""
    context = application().make_context("isoclr", list(words))
    rest = list(words)
    while hasattr(context.command, "resolve_command"):
        name, command, rest = context.command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_one_that_isoclr_takes(page):
    for words in commands(page):
        try:
            parse(words)
        except Exception as error:
            raise AssertionError(f"isoclr {shlex.join(words)}: {error}") from error


def test_the_pages_have_commands():
    assert sum(len(commands(page)) for page in PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_is_there(page):
    text = page.read_text()
    named = re.findall(r"`((?:docs|recipes|tests|isoclr|data_builders|modeling_isoclr|benchmarks)/"
                       r"[\w./-]+\.(?:py|md|yaml|json|txt))`", text)  # fmt: skip
    named += [link for link in re.findall(r"\]\(([^)#:\s]+)\)", text) if "<" not in link]
    for name in named:
        if "NAME" in name:  # of what a reader is to write
            continue
        places = (ROOT / name, page.parent / name)
        assert any(place.exists() for place in places), f"{page.name}: {name}"


def test_every_guide_is_in_the_list_of_guides():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_there_is_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    newest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest[:1] == [__version__]


@pytest.mark.slow
def test_the_api_reference_is_built_without_warnings(tmp_path):
    command = [sys.executable, "-W", "error::UserWarning", "-m", "pdoc", "--docformat", "google"]
    command += ["--no-show-source", "-o", str(tmp_path), "isoclr", "data_builders"]
    done = subprocess.run([*command, "modeling_isoclr"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    pages = {path.name for path in tmp_path.rglob("*.html")}
    assert {"isoclr.html", "data_builders.html", "modeling_isoclr.html", "embed.html"} <= pages
