"""isoclr push: share a model, a dataset or the page on the Hub."""

from typing import Annotated

import typer

from data_builders.records import InputError
from isoclr.cli.options import Option
from isoclr.cli.printed import Printed
from isoclr.shipped import DEFAULT_MODEL


def push(
    folder: Annotated[
        str | None,
        typer.Argument(help="model that train.py wrote, isoform groups, families, or pairs"),
    ] = None,
    repo: Annotated[
        str | None, typer.Argument(help="owner/name on the Hub; made when there is none")
    ] = None,
    space: Annotated[
        str | None,
        Option(
            "--space",
            metavar="OWNER/NAME",
            help="upload the page of `isoclr app` instead, with the model of FOLDER if given",
        ),
    ] = None,
    private: Annotated[bool, Option("--private", help="visible to its owner alone")] = False,
    revision: Annotated[
        str | None, Option("--revision", metavar="BRANCH", help="made from main if absent")
    ] = None,
    create_pr: Annotated[
        bool, Option("--create-pr", help="propose the upload as a pull request")
    ] = False,
) -> Printed:
    """Share a model, a dataset or the page of `isoclr app` on the Hub.

    Example:
    isoclr push model OWNER/NAME --private
    isoclr push --space OWNER/NAME
    """
    from isoclr.hub.dataset import is_dataset, push_dataset
    from isoclr.hub.families import is_families, push_families
    from isoclr.hub.interactions import is_interactions, push_interactions
    from isoclr.hub.push import push as push_model
    from isoclr.hub.space import push_space

    if space is not None:
        if repo is not None:
            raise InputError(f"{repo}: got it beside --space {space}, wanted one of them")
        model = folder or DEFAULT_MODEL
        url = push_space(space, model, private, revision=revision, create_pr=create_pr)
        return Printed(text=str(url), data={"url": url})
    if folder is None or repo is None:
        raise InputError("wanted FOLDER and REPO, or --space OWNER/NAME")
    share = push_dataset if is_dataset(folder) else push_model
    share = push_families if is_families(folder) else share
    share = push_interactions if is_interactions(folder) else share
    url = share(folder, repo, private, revision=revision, create_pr=create_pr)
    return Printed(text=str(url), data={"url": url})
