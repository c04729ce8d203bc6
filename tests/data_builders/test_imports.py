"""Which folder of data_builders may import which: one way only, and never torch."""

import ast
from pathlib import Path

import data_builders

ROOT = Path(data_builders.__file__).parent
# Each folder, and those that it may import beside the modules of data_builders itself.
ALLOWED = {
    ".": set(),
    "genomes": set(),
    "annotation": {"genomes"},
    "homology": set(),
    "groups": {"annotation", "genomes", "homology"},
    "labels": {"groups", "homology"},
    "interactions": {"annotation", "genomes", "groups", "homology", "labels"},
    "expression": {"annotation", "genomes", "groups", "homology", "labels"},
    "simulate": {"homology", "interactions"},
}
FORBIDDEN = {"torch", "isoclr", "modeling_isoclr"}


def imports(path):
    """Modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(module):
    parts = module.split(".")[1:]
    is_folder = bool(parts) and (ROOT / parts[0]).is_dir()
    return parts[0] if is_folder else "."


def test_folders_import_each_other_one_way():
    for path in ROOT.rglob("*.py"):
        folder = path.parent.relative_to(ROOT).as_posix()
        allowed = ALLOWED[folder] | {folder, "."}
        for module in imports(path):
            assert module.split(".")[0] not in FORBIDDEN, (path, module)
            if module.split(".")[0] == "data_builders":
                assert folder_of(module) in allowed, (path, module)


def test_the_graph_has_no_cycle():
    left = {folder: set(others) for folder, others in ALLOWED.items()}
    while left:
        free = {folder for folder, others in left.items() if not others & left.keys()}
        assert free, left
        left = {folder: others for folder, others in left.items() if folder not in free}
