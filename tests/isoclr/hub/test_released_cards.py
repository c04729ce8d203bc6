"""Cards of the released models: whole, as `isoclr card` writes them, and their code runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from isoclr.evaluation.results import read_results
from isoclr.hub.card import write_card
from isoclr.statistics import plus_minus

CARDS = Path(__file__).resolve().parents[3] / "model_cards"
FOLDERS = sorted(path.parent for path in CARDS.glob("*/README.md"))
# None of our packages can be imported after this.
ALONE = "import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)\n"


def examples(card: str) -> str:
    """The Python of a card's usage, as one program."""
    usage = card.split("\n## How to use it\n")[1].split("\n## ")[0]
    return "\n".join(re.findall("^```python\n(.*?)^```", usage, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_is_the_one_that_its_folder_gives(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    assert write_card(copy).read_text() == (folder / "README.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_says_who_made_what(folder):
    text = (folder / "README.md").read_text()
    data = ModelCard(text).data
    assert data.license == "apache-2.0" and data.library_name == "transformers"
    of_pairs = "rna-protein-interaction" in data.tags  # two inputs, no embedding
    languages = (["rna", "protein"],) if of_pairs else ("rna", "protein")
    assert data.language in ((None,) if "expression" in data.tags else languages)
    if list(folder.glob("results/*/probe.json")):
        assert data.model_name == folder.name and data.eval_results
    rows = ("developed by", "license", "source", "sibling", "longest input")
    heads = ("## How to use it", "## Training", "## Speed and memory", "## Citation")
    for row in (*rows, "width" if of_pairs else "embedding"):
        assert f"\n| {row} | " in text
    for head in heads:
        assert f"\n{head}\n" in text
    siblings = re.findall(r"^\| sibling \| `([\w.-]+)`", text, re.MULTILINE)
    assert folder.name not in siblings
    assert all((CARDS / name / "config.json").exists() for name in siblings)


def test_what_training_adds_to_isoclr_base_is_what_its_results_say():
    folder = CARDS / "isoclr-base"
    files = {name: f"half_life_{name}" for name in ("human", "mouse", "yeast")}
    files["Gene Ontology"] = "go_mf"
    rows = re.findall(
        r"^\| ((?:all|content alone), .+?) \| (\S+) \| (\S+) \| (.+?) \|$",
        (folder / "NOTES.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 9
    for row, *printed in rows:
        columns, of, *few = row.split(", ")
        results = read_results(folder / "results" / files[of] / "probe.json")
        part = "" if columns == "all" else ", columns 2176 to 2431"
        trained, random = f"isoclr-base{part}", f"random weights{part}"
        labels = int(few[0].split()[0]) if few else None
        means = [f"{results.mean(name, labels=labels)[0]:.3f}" for name in (trained, random)]
        gain, half, _ = results.gain(trained, labels=labels, reference=random)
        assert printed == [*means, plus_minus(gain, half, "+")], row


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_code_of_a_card_runs_by_transformers_alone(folder, tmp_path):
    for each in FOLDERS:  # a model of pairs loads the encoders that it names
        (tmp_path / each.name).symlink_to(each)
    program = ALONE + examples((folder / "README.md").read_text())
    shows_embeddings = "embeddings = " in program
    if shows_embeddings:
        program += "\nprint(tuple(embeddings.shape), loss.isfinite().item())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if not shows_embeddings:
        return
    width = ModelCard((folder / "README.md").read_text()).text
    width = int(re.search(r"\| embedding \| ([\d,]+) numbers", width)[1].replace(",", ""))
    assert re.fullmatch(rf"\(\d+, {width}\) True\n", done.stdout)
