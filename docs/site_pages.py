"""Pages of the site that are made from code: commands, recipe keys, API, tutorials.

MkDocs calls the functions `on_...` (see mkdocs.yml). The guides are the files beside this one.
"""

import json
import posixpath
import re
import sys
from pathlib import Path
from typing import get_args

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

EXPLANATION = ("LABELS", "EVALUATION", "RELIABILITY", "HOMOLOGS", "EXPRESSION", "INTERACTIONS")
REFERENCE = ("FORMATS", "SPECIES", "DEPENDENCIES")
API = (
    "modeling_isoclr",
    "data_builders",
    "isoclr.training",
    "isoclr.objectives",
    "isoclr.hub",
    "isoclr.information",
    "isoclr.evaluation",
    "isoclr.report",
    "isoclr.sklearn",
    "isoclr.app",
)


def on_files(files: Files, config) -> Files:
    """Add the pages that are made from code, and say in which order all of them are listed."""
    tutorials = {path.stem: tutorial(path) for path in sorted((ROOT / "examples").glob("*.ipynb"))}
    commands = command_pages()
    pages = {f"tutorials/{name}.md": text for name, text in tutorials.items()}
    pages |= {f"commands/{name}.md": text for name, text in commands.items()}
    pages |= {"recipes.md": recipe_page()}
    pages |= {f"api/{name}.md": f"# {name}\n\n::: {name}\n" for name in API}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    guides = [path.stem for path in sorted((ROOT / "docs").glob("*.md")) if path.stem != "README"]
    how_to = [name for name in guides if name not in (*EXPLANATION, *REFERENCE)]
    logs = [f"log/{path.name}" for path in sorted((ROOT / "docs" / "log").glob("*.md"))]
    config.nav = [
        {"Guides": "README.md"},
        {"Tutorials": [f"tutorials/{name}.md" for name in tutorials]},
        {"How to": [f"{name}.md" for name in how_to]},
        {"Explanation": [f"{name}.md" for name in EXPLANATION if name in guides] + logs},
        {
            "Reference": [
                *(f"{name}.md" for name in REFERENCE),
                {"Commands": [f"commands/{name}.md" for name in commands]},
                {"Recipes": "recipes.md"},
                {"API": [f"api/{name}.md" for name in API]},
            ]
        },
    ]
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Turn links to files of the repository that the site does not have into their names."""
    folder = posixpath.dirname(page.file.src_uri)

    def shown(link: re.Match) -> str:
        place = posixpath.normpath(posixpath.join("docs", folder, link[2]))
        inside = place.startswith("docs/") or "://" in link[2]
        return link[0] if inside else f"{link[1]} (`{place}`)"

    return re.sub(r"(?<!!)\[([^\]\n]+)\]\(([^)#\s]+)\)", shown, markdown)


def tutorial(path: Path) -> str:
    """Return a notebook as Markdown."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    parts.append(f"The notebook is `examples/{path.name}`; a test runs it to its end.")
    return "\n\n".join(parts).replace("](../docs/", "](../") + "\n"


def command_pages() -> dict[str, str]:
    """Return the page of each command, by its name."""
    from isoclr.cli import COMMANDS, application

    group = application()
    pages = {}
    for names in COMMANDS.values():
        for name in names:
            command = group.get_command(None, name)
            pages[name] = f"# isoclr {name}\n\n" + _command(command, f"isoclr {name}", 2)
    return pages


def _command(command, called: str, level: int) -> str:
    parts = [cell(command.help or "").replace("<br>", "\n\n")]
    examples = getattr(command, "examples", ())
    if examples:
        lines = "\n".join(examples)
        parts.append(f"```bash\n{lines}\n```")
    rows = [_option(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        parts.append(
            "\n".join(["| option | value | meaning | default |", "|---|---|---|---|", *rows])
        )
    for name, kind in getattr(command, "commands", {}).items():
        heading = f"{'#' * level} {called} {name}"
        parts.append(f"{heading}\n\n{_command(kind, f'{called} {name}', level + 1)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _option(parameter) -> str:
    is_option = parameter.param_type_name == "option"
    name = ", ".join(parameter.opts) if is_option else parameter.name.upper()
    value = "" if getattr(parameter, "is_flag", False) else parameter.metavar or _type(parameter)
    default = "" if parameter.default in (None, False, ()) else str(parameter.default)
    if parameter.required:
        default = "required"
    cells = [
        f"`{name}`",
        cell(value or ""),
        cell(getattr(parameter, "help", "") or ""),
        cell(default),
    ]
    return f"| {' | '.join(cells)} |"


def _type(parameter) -> str:
    kind = parameter.type_descriptor.annotation
    return " or ".join(map(str, get_args(kind))) or getattr(kind, "__name__", str(kind))


def recipe_page() -> str:
    """Return the page of recipe keys, an objective each, from the models that check them."""
    from isoclr.objectives import OBJECTIVES, objective_class
    from isoclr.training.recipe import Recipe
    from isoclr.training.recipe_keys import recipe_keys

    common = {key.name for key in recipe_keys(Recipe)}
    parts = [
        "# Recipe keys",
        "A recipe is a YAML file; `isoclr recipes` lists those that come with the package. Any key "
        "can be given as `--key value` to `isoclr train`. Keys of every objective:",
        keys_of(recipe_keys(Recipe)),
    ]
    for name in sorted(OBJECTIVES):
        keys = recipe_keys(objective_class(name).recipe_class)
        own = [key for key in keys if key.name not in common]
        parts.append(f"## objective: {name}\n\n{keys_of(own)}")
    return "\n\n".join(parts) + "\n"


def keys_of(keys) -> str:
    """Return keys of recipes as a table."""
    rows = ["| key | type | meaning | default |", "|---|---|---|---|"]
    for key in keys:
        default = "required" if key.default is None else key.default
        rows.append(f"| `{key.name}` | {cell(key.type)} | {cell(key.meaning)} | {cell(default)} |")
    return "\n".join(rows)


def cell(text: str) -> str:
    """Return text as a cell of a Markdown table that shows it as it is."""
    for special in ("\\", "`", "*", "_", "[", "]", "|"):
        text = text.replace(special, f"\\{special}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "<br>".join(" ".join(part.split()) for part in text.split("\n\n")).strip()
