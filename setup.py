"""Put recipes, guides and the shipped models into the wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = {"docs": "*.md", "recipes": "**/*.yaml", "model_cards": "*/**/*"}
"""Folders of the repository, and what of them goes to `isoclr/shipped` of a wheel."""

# What tells of a model but neither loads nor describes it stays in the repository.
LEFT_OUT = ("results", "log.jsonl", "NOTES.md", ".png")


class BuildWithShippedFiles(build_py):
    """Copies the shipped folders beside the modules; a development install reads them in place."""

    def run(self) -> None:
        """Build the modules, then copy."""
        super().run()
        if self.editable_mode:
            return
        root = Path(__file__).resolve().parent
        for folder, pattern in SHIPPED.items():
            for source in (root / folder).glob(pattern):
                if source.is_dir() or {*source.parts, source.suffix} & {*LEFT_OUT}:
                    continue
                target = Path(self.build_lib, "isoclr", "shipped", source.relative_to(root))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithShippedFiles})
