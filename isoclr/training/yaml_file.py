"""A strict YAML reader: no duplicate keys, no alias bombs, 1e-5 is a number."""

import os
import re
from typing import Any

import yaml

from data_builders.records import InputError

_MOST_BYTES = 1 << 20
_MOST_ALIASES = 100


def read_yaml(path: str | os.PathLike, what: str) -> Any:
    """Read the value of a YAML file.

    Args:
        path: the file.
        what: it is, for an error.

    Raises:
        InputError: no such file, one that cannot be read or is larger than 1 MiB, or as
            `parse_yaml`.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InputError(f"{path}: got more than {_MOST_BYTES:,} bytes, wanted a {what}")
        text = content.decode()
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except OSError as error:
        raise InputError(f"{path}: got '{error.strerror}', wanted a {what}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start}: got no UTF-8, wanted a {what}") from None
    return parse_yaml(text, str(path))


def read_mapping(path: str | os.PathLike, what: str) -> dict:
    """Read a YAML file of keys and values; as `read_yaml`, and other values are an InputError."""
    found = read_yaml(path, what)
    if not isinstance(found, dict):
        raise InputError(f"{path}: got {type(found).__name__}, wanted keys and values")
    return found


def parse_yaml(text: str, source: str) -> Any:
    """Parse a YAML text into the types of JSON and no others.

    Args:
        text: one document.
        source: what an error calls it.

    Raises:
        InputError: it is not YAML, has a key twice, an alias within what an alias stands for, or
            over a hundred aliases.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{source}: not YAML: {reason}") from None


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses duplicate keys, nested aliases and unusual types."""

    def __init__(self, stream):
        super().__init__(stream)
        self._aliases, self._anchors_open = 0, 0

    def compose_node(self, parent, index):
        """Refuse too many aliases, and one within an anchored node: nested, they multiply."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._anchors_open or self._aliases > _MOST_ALIASES:
                raise _fault(
                    event,
                    f"the alias *{event.anchor} within an anchored value, or more than "
                    f"{_MOST_ALIASES} of them, wanted few and plain ones",
                )
            return super().compose_node(parent, index)
        anchored = event.anchor is not None
        self._anchors_open += anchored
        node = super().compose_node(parent, index)
        self._anchors_open -= anchored
        return node

    def compose_mapping_node(self, anchor):
        """Refuse a mapping with a key twice, or with a list for a key."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault(key, "a list or a mapping for a key, wanted text")
            if key.value in seen:
                raise _fault(key, f"the key {key.value} twice, wanted it once")
            seen.add(key.value)
        return node


def _fault(node: yaml.Node | yaml.Event, got: str) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {node.start_mark.line + 1}: got {got}")


def _refuse(loader: _Loader, node: yaml.Node) -> None:
    raise _fault(node, f"the type {node.tag}, wanted text, numbers, lists or keys and values")


for _name in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _refuse)
# A date is text, and 1e-5, which YAML 1.1 takes for text, is a number.
_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if not entry[0].endswith(":timestamp")]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"),
    list("-+.0123456789"),
)
