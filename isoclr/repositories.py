"""Names and layout of repositories on the Hub, and one line for each fault there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import get_session
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

from data_builders.records import InputError

DEFAULT = "default"
"""The configuration whose files are at the root of its dataset repository."""

TIMEOUT = 60
"""Seconds that the Hub may be silent within a request."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def check_source(source: str | os.PathLike, wanted: str, marker: str) -> None:
    """Refuse what is neither a folder that holds `marker` nor the form of a Hub repository.

    The marker is a glob; the error says what was `wanted`.
    """
    folder = Path(source)
    if folder.is_dir():
        if not any(folder.glob(marker)):
            raise InputError(f"{source}: no {marker} in it, wanted {wanted}")
    elif not _REPOSITORY.fullmatch(str(source)):
        raise InputError(f"{source}: no such folder, wanted {wanted}")


def prefix(config: str) -> str:
    """Return the folder of a configuration in its dataset repository."""
    return "" if config == DEFAULT else f"{config}/"


@contextmanager
def hub_errors(repo: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub raises about a repository into one line.

    Requests within have `TIMEOUT`: those of huggingface_hub wait for ever.
    """
    session = get_session()
    before, session.timeout = session.timeout, TIMEOUT
    try:
        yield
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise InputError(f"{repo}: {reason(error, endpoint)}") from error
    except InputError:
        raise
    except ValueError as error:  # a name or a card that huggingface_hub finds invalid
        raise InputError(f"{repo}: {' '.join(str(error).split())}") from error
    finally:
        session.timeout = before


def reason(error: Exception, endpoint: str) -> str:
    """Explain in one line why a request failed."""
    if not isinstance(error, HfHubHTTPError):
        return f"cannot reach the Hub at {endpoint}: {' '.join(str(error).split())}"
    status = error.response.status_code
    message = error.server_message or error.response.reason_phrase
    advice = "; log in with `hf auth login` or set HF_TOKEN" if status == 401 else ""
    return f"the Hub at {endpoint} refuses ({status}): {' '.join(message.split())}{advice}"
