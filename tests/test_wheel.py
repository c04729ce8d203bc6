"""The wheel, in an environment without the checkout, does what README.md says."""

import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import polars as pl
import pytest

from isoclr.shipped import SHIPPED_MODELS

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of the files that git tracks."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).exists():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target, follow_symlinks=False)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("isoclr-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs a program of an environment with the wheel, outside the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    # Dependencies by their folder alone: .pth files in it, such as the checkout's, do not count.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment = inherited | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "cache"),
    }

    def run(program: str, *words, status: int = 0) -> subprocess.CompletedProcess:
        work = folder / "work"
        work.mkdir(exist_ok=True)
        done = subprocess.run(
            [folder / "bin" / program, *map(str, words)],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    run.work = folder / "work"
    return run


def test_the_wheel_has_what_it_needs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, pattern in (("recipes", "**/*.yaml"), ("docs", "*.md")):
        for path in (ROOT / folder).glob(pattern):
            assert f"isoclr/shipped/{path.relative_to(ROOT)}" in names
    for model in SHIPPED_MODELS:  # other tests load these files where our packages are not
        folder = ROOT / "model_cards" / model
        for name in ("config.json", "model.safetensors", "README.md"):
            assert f"isoclr/shipped/model_cards/{model}/{name}" in names
        for pattern in ("*.py", "*.json", "*.safetensors", "README.md", "heads/**/*.safetensors"):
            for path in folder.glob(pattern):
                shipped = f"isoclr/shipped/{path.relative_to(ROOT)}"
                assert zipfile.Path(wheel, shipped).read_bytes() == path.read_bytes()
    assert "isoclr/report/report.html" in names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "data_builders",
        "isoclr",
        "modeling_isoclr",
    }
    assert wheel.stat().st_size < 22_000_000  # of which weights are most


def test_nothing_of_the_checkout_is_imported(installed):
    code = "import isoclr, data_builders, modeling_isoclr as m; print(isoclr.__file__, m.__file__)"
    printed = installed("python", "-c", code).stdout
    assert str(ROOT) not in printed and printed.count("site-packages/") == 2


def test_version_doctor_recipes_and_guides(installed):
    version = re.search(r'__version__ = "(.*)"', (ROOT / "isoclr" / "__init__.py").read_text())[1]
    assert installed("isoclr", "--version").stdout == f"isoclr {version}\n"
    assert "isoclr-small" in installed("isoclr", "doctor").stdout
    assert installed("isoclr", "recipes", "laptop").stdout.startswith("# ")
    assert installed("isoclr", "docs", "TRAINING").stdout.startswith("# ")


def test_the_whole_path_without_a_checkout(installed):
    work = installed.work
    installed("isoclr", "simulate", "--species", 2, "--genes", 24, "--output", "genomes")
    words = []
    for name in ("alpha_simulata", "beta_simulata"):
        words += ["--genome", f"genomes/{name}.fa.gz", "--annotation", f"genomes/{name}.gtf.gz"]
        words += ["--species", name]
    installed("isoclr", "build", *words, "--homology", "genomes/homology.tsv", "--output", "groups")
    quick = ["--steps", 2, "--warmup_steps", 1, "--batch_size", 8, "--held_out_groups", 4]
    installed("isoclr", "train", "demo", "--data", "groups", "--output", "model", *quick)
    installed("isoclr", "embed", "--model", "model", "--groups", "groups", "--output", "e.parquet")
    assert len(pl.read_parquet(work / "e.parquet")) > 40
    installed("isoclr", "embed", *words[:6], "--output", "shipped.parquet")
    assert pl.read_parquet(work / "shipped.parquet")["embedding"].dtype.size > 100
    launched = ["-m", "accelerate.commands.launch", "--num_processes", 1, "--num_machines", 1]
    launched += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "isoclr.train"]
    shape = {"preset": "null", "filters": "[4, 6]", "blocks": "[1, 1]", "dilations": "[1, 2]"}
    shape["projector_sizes"] = "[8, 8, 4]"
    tiny = [word for key, value in shape.items() for word in (f"--model.{key}", value)]
    tiny += ["--steps", 1, "--warmup_steps", 0, "--batch_size", 4, "--held_out_groups", 0]
    installed("python", *launched, "laptop", "--data", "groups", "--output", "more", *tiny)
    assert (work / "more" / "model.safetensors").exists()
