"""isoclr app: a page in the browser."""

import importlib.util
from typing import Annotated

from data_builders.records import InputError
from isoclr.cli.options import Model, Option
from isoclr.shipped import DEFAULT_MODEL


def app(
    model: Model = DEFAULT_MODEL,
    pairs: Annotated[
        str | None,
        Option(metavar="MODEL", help="of RNA–protein interactions; by default the one that ships"),
    ] = None,
    expression: Annotated[
        str | None, Option(metavar="MODEL", help="of expression; by default the one that ships")
    ] = None,
    host: Annotated[
        str, Option(metavar="ADDRESS", help="to listen on; 0.0.0.0 lets other machines in")
    ] = "127.0.0.1",
    port: Annotated[int, Option(help="to listen on")] = 7860,
    write_space: Annotated[
        str | None,
        Option(metavar="DIR", help="write the folder of a Space of the Hub instead of serving"),
    ] = None,
) -> None:
    """Serve a page: paste transcripts, read predictions, mutate bases.

    It listens on this machine alone, unless told otherwise, and asks no other host for anything.

    Example:
    isoclr app --port 7860
    isoclr app --write-space my-space
    """
    if write_space is not None:
        from isoclr.hub.space import write_space as write

        print(f"{write_space}: {len(write(write_space, model))} files; python app.py runs it")
        return
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the page needs the package gradio: pip install 'isoclr[app]'")
    from isoclr.app.page import load_models, make_page, serve

    serve(make_page(load_models(model, pairs, expression)), host, port)
