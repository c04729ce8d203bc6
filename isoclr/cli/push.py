"""isoclr push: share a model or a dataset on the Hub."""

from typing import Annotated

import typer

from isoclr.cli.options import Option


def push(
    folder: Annotated[
        str, typer.Argument(help="model that train.py wrote, isoform groups, or pairs")
    ],
    repo: Annotated[str, typer.Argument(help="owner/name on the Hub; made when there is none")],
    private: Annotated[bool, Option("--private", help="visible to its owner alone")] = False,
    revision: Annotated[
        str | None, Option("--revision", metavar="BRANCH", help="made from main if absent")
    ] = None,
    create_pr: Annotated[
        bool, Option("--create-pr", help="propose the upload as a pull request")
    ] = False,
) -> None:
    """Share a model or a dataset on the Hub.

    Example:
    isoclr push model OWNER/NAME --private
    """
    from isoclr.hub.dataset import is_dataset, push_dataset
    from isoclr.hub.interactions import is_interactions, push_interactions
    from isoclr.hub.push import push as push_model

    share = push_dataset if is_dataset(folder) else push_model
    share = push_interactions if is_interactions(folder) else share
    print(share(folder, repo, private, revision=revision, create_pr=create_pr))
