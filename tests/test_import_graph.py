"""Which folder imports which: no circle, and no arrow against the flow of data."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("modeling_isoclr", "data_builders", "isoclr")
# Every part imports those before it alone.
ORDER = (
    *("modeling_isoclr", "data_builders"),
    *("isoclr.registration", "isoclr", "isoclr.statistics", "isoclr.bounds", "isoclr.tokens"),
    *(
        "isoclr.repositories",
        "isoclr.shipped",
        "isoclr.progress",
        "isoclr.threads",
        "isoclr.pretrained",
    ),
    *(
        "isoclr.model_folder",
        "isoclr.training",
        "isoclr.objectives",
        "isoclr.hub",
        "isoclr.train",
        "isoclr.launch",
    ),
    *("isoclr.information", "isoclr.evaluation", "isoclr.metrics"),
    *(
        "isoclr.report",
        "isoclr.sklearn",
        "isoclr.app",
        "isoclr.demo",
        "isoclr.demo_homologs",
        "isoclr.demo_interactions",
        "isoclr.demo_expression",
        "isoclr.doctor",
        "isoclr.reproduce",
        "isoclr.cli",
        "isoclr.__main__",
    ),
)
# A run that is asked for a probe loads it, and only then.
AGAINST = {("isoclr.train", "isoclr.evaluation")}


def part(module: str) -> str:
    """A folder of isoclr, or a module of it; another package as a whole."""
    names = module.split(".")
    return ".".join(names[:2]) if names[0] == "isoclr" else names[0]


def imports():
    """(part, part that it imports, where), of every import, the lazy ones too."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            importer = part(module.removesuffix(".__init__"))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                else:
                    continue
                for name in names:
                    if name.split(".")[0] in PACKAGES and part(name) != importer:
                        yield importer, part(name), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_part_imports_those_before_it_alone():
    found = list(imports())
    assert len(found) > 200
    unknown = sorted({name for pair in found for name in pair[:2]} - set(ORDER))
    assert not unknown, f"add {unknown} to ORDER"
    wrong = [
        f"{where}: {importer} imports {imported}"
        for importer, imported, where in found
        if ORDER.index(imported) > ORDER.index(importer) and (importer, imported) not in AGAINST
    ]
    assert not wrong, "\n".join(wrong)


def test_the_models_import_nothing_of_ours_and_the_builders_no_torch():
    assert not [pair for pair in imports() if pair[0] == "modeling_isoclr"]
    for path in sorted((ROOT / "data_builders").rglob("*.py")):
        assert "import torch" not in path.read_text(), path


def test_folders_of_data_builders_import_in_no_circle():
    folders = {}
    for path in sorted((ROOT / "data_builders").rglob("*.py")):
        folder = path.relative_to(ROOT).with_suffix("").parts[1]
        for node in ast.walk(ast.parse(path.read_text())):
            names = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else [""]
            if names[0] == "data_builders" and names[1:] and names[1] != folder:
                folders.setdefault(folder, set()).add(names[1])
    assert len(folders) > 10
    TopologicalSorter(folders).prepare()
