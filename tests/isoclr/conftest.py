import json
import shutil
from pathlib import Path

import pytest
import torch
from results import results_of

from isoclr.cli.printed import Printed
from isoclr.objectives.isoforms.objective import IsoformObjective
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.training.checkpoints import save_checkpoint
from isoclr.training.curves import RunLog, plot_curves
from modeling_isoclr import IsoCLRForPreTraining, IsoCLRTokenizer


@pytest.fixture(autouse=True)
def json_of_every_command(monkeypatch):
    """Whatever a command prints in any test for a person, it could print as JSON with names."""
    show = Printed.show

    def checked(printed, as_json):
        found = json.loads(printed.json(), parse_constant=pytest.fail)
        assert found and printed.text
        show(printed, as_json)

    monkeypatch.setattr(Printed, "show", checked)


@pytest.fixture(scope="session")
def model_folder(groups_folder, tmp_path_factory) -> Path:
    """What train.py writes, of a toy encoder that was not trained; copy it to alter it."""
    folder = tmp_path_factory.mktemp("model_folder")
    shape = {"filters": [4, 6], "blocks": [1, 1], "dilations": [1, 2], "pooling": "stages"}
    shape["projector_sizes"] = [8, 8, 4]
    recipe = IsoformRecipe(
        data=str(groups_folder), output=str(folder), steps=2, model=shape, max_length=5000
    )
    recipe.save(folder / "recipe.yaml")
    torch.manual_seed(0)
    model = IsoCLRForPreTraining(recipe.encoder_config())
    model.save_pretrained(folder)
    IsoCLRTokenizer().save_pretrained(folder)
    log = RunLog(folder / "log.jsonl", 0)
    held_out = {"held_out_loss": 2.345, "shuffled_loss": 6.789, "held_out_accuracy": 0.125}
    log.write(step=1, loss=4.25, accuracy=0.5, lr=0.1, **held_out, held_out_pairs=1024)
    log.write(step=2, loss=3.125, accuracy=0.5, lr=0.1)
    plot_curves(log.records, IsoformObjective.panels, folder / "curves.png")
    save_checkpoint(folder / "checkpoints", 2, model.state_dict(), {}, {}, 1)
    return folder


@pytest.fixture(scope="session")
def probe_file(tmp_path_factory) -> Path:
    """A probe.json: a model at r = 0.45, and k-mers at 0.56."""
    scores = {
        name: [{"pearson": value, "spearman": 0.5, "mse": 1.5} for value in r]
        for name, r in (("IsoCLR", (0.4, 0.5)), ("k-mers", (0.5, 0.62)))
    }
    path = tmp_path_factory.mktemp("probe") / "probe.json"
    results_of("regression", scores).to_json(path)
    return path


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium that reaches nothing but this machine, or a skip that says why not."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("no chromium and chromedriver on this machine: pages are not looked at")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1060,1400")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(programs[1])
    with webdriver.Chrome(options=options, service=service) as running:
        yield running
