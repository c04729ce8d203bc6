"""isoclr docs: the guides that come with the package."""

from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr import shipped


def docs(name: Annotated[str | None, typer.Argument(help="print this guide")] = None) -> None:
    """List the guides, or print one.

    Example:
    isoclr docs
    isoclr docs TRAINING | less
    """
    found = shipped.guides()
    if name is None:
        width = max(map(len, found), default=0)
        for guide, path in found.items():
            title = path.read_text().partition("\n")[0].removeprefix("# ")
            print(f"{guide:<{width}}  {title}")
        return
    known = {guide.lower(): path for guide, path in found.items()}
    wanted = name.removeprefix("docs/").removesuffix(".md").lower()
    if wanted not in known:
        raise InputError(f"{name}: got no such guide, wanted one of {', '.join(found)}")
    print(known[wanted].read_text(), end="")
