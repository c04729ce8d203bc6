"""What the guides say can be typed, linked and built."""

import doctest
import html
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
import yaml

from isoclr import __version__
from isoclr.cli import COMMANDS, application
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from modeling_isoclr import IsoCLRConfig

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


def test_the_examples_of_docstrings_give_what_they_say():
    """Those of public modules that have some, run as their readers would."""
    packages = ("isoclr", "data_builders", "modeling_isoclr")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    with_examples = [path for path in paths if re.search(r"^ +>>> ", path.read_text(), re.M)]
    assert ROOT / "modeling_isoclr" / "tokenization_isoclr.py" in with_examples
    for path in with_examples:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        failed, tried = doctest.testmod(importlib.import_module(name))
        assert tried and not failed, name


def test_every_promise_names_tests_that_are_there():
    """Rows of promises have a last cell with a file, a class or a function of tests, all there."""
    page = (ROOT / "docs" / "RELIABILITY.md").read_text()
    promises, rest = page.split("## Attacks and fuzzing")
    rows = [row.split(" | ") for row in re.findall(r"^\| (?!promise )(.+) \|$", promises, re.M)]
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    defined = set(
        re.findall(r"^ *(?:def|class) (test_\w+|Test\w+)", "\n".join(files.values()), re.M)
    )
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w./]*|test_\w+(?:\.py)?|Test\w+)`", row[-1])
        assert len(row) == 3 and named, row[0]
        for name in named:
            assert name in defined | set(files) or (ROOT / name).exists(), name
    ends = (ROOT / "tests" / "attacks" / "ends.tsv").read_text().splitlines()[1:]
    assert f"| hostile files with an end of their own | {len(ends)} |" in rest


def test_every_guide_is_in_the_list_of_guides():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_no_page_keeps_the_marks_of_a_merge():
    for page in [*PAGES, *(ROOT / "model_cards").rglob("*.md"), *ROOT.rglob("recipes/*.yaml")]:
        assert not re.search(r"^(<{7}|={7}$|>{7})", page.read_text(), re.M), page


def test_there_is_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    newest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest[:1] == [__version__]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """What `make docs` builds; a warning is an error there."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_guide_tutorial_command_and_key(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    guides = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} - {"README.html"}
    tutorials = {f"tutorials/{path.stem}.html" for path in (ROOT / "examples").glob("*.ipynb")}
    commands = {f"commands/{name}.html" for names in COMMANDS.values() for name in names}
    assert guides | tutorials | commands | {"index.html"} <= pages
    recipes = (site / "recipes.html").read_text()
    assert all(f"<code>{key}</code>" in recipes for key in ("steps", "pairs.graft", "objective"))
    embed = (site / "commands" / "embed.html").read_text()
    assert "--guess-cds" in embed and "--per-position" in embed
    assert (
        'id="isoclr.evaluation.embed.embed_to_file"'
        in (site / "api/isoclr.evaluation.html").read_text()
    )


@pytest.mark.slow
def test_no_link_of_the_site_is_dead(site):
    ids = {}
    for page in site.rglob("*.html"):
        ids[page.resolve()] = set(re.findall(r'\bid="([^"]+)"', page.read_text()))
    checked = 0
    for page in ids:
        if page.name == "404.html":  # its links begin at the root of a server
            continue
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', page.read_text()):
            target, _, anchor = html.unescape(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (page.parent / unquote(target)).resolve() if target else page
            path = path / "index.html" if path.is_dir() else path
            assert path.exists(), f"{page.relative_to(site)}: {link}"
            assert not anchor or anchor in ids.get(path, {anchor}), f"{page.name}: {link}"
            checked += 1
    assert checked > 1000


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


@pytest.mark.slow
def test_the_python_of_the_readme_runs_and_says_what_it_prints(capsys):
    (block,) = python_blocks(ROOT / "README.md")
    exec(compile(block, "README.md", "exec"), {})
    wanted = re.search(r"print\(.*\)  # (\(\d+, \d+\))", block)[1]
    assert capsys.readouterr().out.strip() == wanted


def test_the_readme_is_a_screen_with_the_numbers_of_the_shipped_model():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 90
    config = json.loads((ROOT / "model_cards" / "isoclr-small" / "config.json").read_text())
    shape = IsoCLRConfig.from_dict(config)
    assert f"has {shape.pooled_size:,} numbers**, or {shape.hidden_size} for every" in text
    assert f"over {IsoformRecipe.model_fields['max_length'].default:,} nt" in text
    results = ROOT / "model_cards" / "isoclr-small" / "results"
    probe = json.loads((results / "half_life_human" / "probe.json").read_text())["summary"]
    mean, half = probe["isoclr-small"]["pearson"]
    others = [f"{probe[name]['pearson'][0]:.3f}" for name in ("random weights", "boosting")]
    assert f"r = {mean:.3f} ± {half:.3f}, random weights {others[0]}, boosting {others[1]}" in text
    summary = json.loads((results / "retrieve" / "retrieve.json").read_text())["summary"]
    (splice,) = [row for row in summary if (row["pairs"], row["identity"]) == ("splice", "all")]
    first = {name: scores["recall@1"][0] for name, scores in splice["scores"].items()}
    ours, words = first["isoclr-small, whitened"], first["6-mers"]
    assert f"{splice['queries']:,} splice partners {ours:.0%} come first" in text.replace(" %", "%")
    assert f"{words:.0%} by shared" in " ".join(text.replace(" %", "%").split())


def test_the_tables_of_the_guides_have_the_numbers_of_the_results():
    model = ROOT / "model_cards" / "isoclr-small"
    text = (ROOT / "docs" / "EVALUATION.md").read_text()
    for species, sizes in (("human", (None, 171, 85)), ("mouse", (None,)), ("yeast", (None,))):
        probe = json.loads((model / f"results/half_life_{species}/probe.json").read_text())
        found = {few["train_rows"]: few["summary"] for few in probe["few_labels"]}
        for size in sizes:
            summary = found[size] if size else probe["summary"]
            names = ("isoclr-small", "random weights", "boosting", "codons + structure")
            cells = [f"{summary[name]['pearson'][0]:.3f}" for name in names]
            what = f"{species}, {size} labels" if size else species
            assert f"| {' | '.join([what, *cells])} |" in text
    text = (ROOT / "docs" / "PREDICT.md").read_text()
    for path in (model / "heads").glob("*/head.json"):
        mean, half = next(iter(json.loads(path.read_text())["held_out"].values()))
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{path.parent.name}`"))
        assert f"{mean:.3f} ± {half:.3f}" in row


def test_the_figure_of_the_readme_is_drawn_from_the_results(tmp_path):
    script = ROOT / "docs" / "make_figure.py"
    subprocess.run([sys.executable, script, tmp_path / "overview.png"], check=True)
    drawn = (tmp_path / "overview.png").read_bytes()
    assert drawn.startswith(b"\x89PNG") and len(drawn) > 10_000


def test_the_python_of_the_embedding_guide_runs(tmp_path):
    model = ROOT / "model_cards" / "isoclr-small"
    blocks = python_blocks(ROOT / "docs" / "EMBEDDING.md")
    elsewhere = ("onnx", "start_window")  # see test_docs_blocks.py
    blocks = [block for block in blocks if not any(word in block for word in elsewhere)]
    assert len(blocks) == 3
    names: dict = {"MODEL": str(model)}
    for block in blocks:
        exec(compile(block, "EMBEDDING.md", "exec"), names)
    assert names["X"].shape == (2, 2112) and len(names["embeddings"]) == 2


@pytest.fixture(scope="module")
def one_hot():
    """The names that the module of one-hot sequences in the guide of predictions leaves."""
    (block,) = [b for b in python_blocks(ROOT / "docs" / "PREDICT.md") if "class OneHot" in b]
    names: dict = {}
    exec(compile(block, "PREDICT.md", "exec"), names)
    return names


def test_the_module_of_one_hot_sequences_gives_the_numbers_of_the_model(one_hot):
    x, structure, model = (one_hot[name] for name in ("x", "structure", "model"))
    assert x.shape == (1, 4, 14) and structure.shape == (1, 2, 14)
    assert x.sum(1).eq(1).all() and structure.sum((0, 2)).tolist() == [3, 2]
    with torch.inference_mode():
        found = model(x, structure)
        wanted = model.model(**one_hot["batch"]).logits
    assert found.shape == (1, 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_tangermeme_takes_the_module_of_one_hot_sequences(one_hot):
    pytest.importorskip("tangermeme", reason="tangermeme is not installed: it is no dependency")
    (block,) = [b for b in python_blocks(ROOT / "docs" / "PREDICT.md") if "tangermeme.predict" in b]
    exec(compile(block, "PREDICT.md", "exec"), one_hot)
    wanted = one_hot["model"](one_hot["x"], one_hot["structure"]).detach()
    torch.testing.assert_close(one_hot["half_lives"], wanted, rtol=0, atol=1e-5)
    assert one_hot["effects"].shape == (1, 4, 14)
