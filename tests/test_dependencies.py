"""What the code imports is declared, pinned, and explained in docs/DEPENDENCIES.md."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("isoclr", "data_builders", "modeling_isoclr")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "DEPENDENCIES.md").read_text()


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")


def declared(extra: str | None = None) -> set[str]:
    lines = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return {name_of(line) for line in lines} - {"isoclr"}


def imported(packages: tuple[str, ...]) -> dict[str, set[str]]:
    """Distributions that the modules of packages import, and the modules that do."""
    distributions = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top not in OURS:
                    (distribution, *_) = distributions.get(top, [top])
                    found.setdefault(name_of(distribution), set()).add(str(path.relative_to(ROOT)))
    return found


def test_what_the_code_imports_is_declared():
    extras = set().union(*map(declared, set(PROJECT["optional-dependencies"]) - {"test", "dev"}))
    found = imported(OURS)
    # torch's CUDA build brings it; without it the model does the same in torch.
    assert found.pop("triton", set()) <= {"modeling_isoclr/kernels_isoclr.py"}
    undeclared = {
        name: modules for name, modules in found.items() if name not in declared() | extras
    }
    assert not undeclared


def test_what_is_declared_is_used_and_explained():
    # accelerate imports it when a recipe names it as the tracker.
    assert declared() - imported(OURS).keys() <= {"tensorboard"}
    rows = set(re.findall(r"^\| ([a-z0-9-]+) \|", PAGE, re.MULTILINE)) - {"package"}
    assert rows == declared().union(*map(declared, PROJECT["optional-dependencies"]))


def test_what_is_declared_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name_of(line) for line in lines if line and not line.startswith("#")}
    assert declared().union(*map(declared, PROJECT["optional-dependencies"])) <= pinned


@pytest.mark.parametrize("package", ["modeling_isoclr"])
def test_the_model_needs_torch_transformers_and_numpy_alone(package):
    found = imported((package,))
    # What answers an Inference Endpoint reads a head; transformers brings safetensors.
    assert found.pop("safetensors", set()) <= {"modeling_isoclr/handler.py"}
    assert found.pop("triton", set()) <= {"modeling_isoclr/kernels_isoclr.py"}
    assert found.keys() <= {"torch", "transformers", "numpy"}


def test_builders_of_data_never_import_torch():
    assert "torch" not in imported(("data_builders",))
