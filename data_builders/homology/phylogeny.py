"""How far species are from each other: a tree in Newick, or a table."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data_builders.records import InputError
from data_builders.text import decode, numbered_lines

_HEADER = ["species_a", "species_b", "distance"]
_SPECIAL = set("(),:;[]'")
_SHOWN = 60  # characters of what an error shows
NEWICK_TOKEN = re.compile(r"'(?:[^']|'')*'|\[[^\]]*\]|[(),:;]|[^\s(),:;\[\]']+|\s+|.", re.DOTALL)
"""What a tree is made of: names, quoted ones and comments whole, and the marks between them."""


@dataclass(frozen=True)
class SpeciesDistances:
    """Distances between species.

    Attributes:
        source: the file, for errors.
        species: names, as the data has them.
        matrix: (species, species), symmetric, zero on its diagonal, in the unit of the file.
    """

    source: str
    species: tuple[str, ...]
    matrix: np.ndarray

    def between(self, names: Sequence[str]) -> np.ndarray:
        """Return the distances between some of the species, (names, names)."""
        known = {name: row for row, name in enumerate(self.species)}
        for name in names:
            if name not in known:
                raise InputError(f"{self.source}: got no species {name!r}, wanted all of the data")
        rows = [known[name] for name in names]
        return self.matrix[np.ix_(rows, rows)]


def read_species_distances(path: str | os.PathLike) -> SpeciesDistances:
    """Read distances between species.

    A file that begins with `(`, or a comment in `[]`, is one tree in Newick: leaves are species,
    written as in the data (an underscore stays one; quotes where a name has blanks), and a distance
    is the sum of branch lengths between two. Any other is tab-separated with the header species_a,
    species_b, distance, and has each pair of its species once or, equal, both ways.

    Raises:
        InputError: the file cannot be read as either; names the line.
    """
    text = text_of(path)
    is_tree = text.lstrip().startswith(("(", "["))
    return _newick(text, path) if is_tree else _table(text, path)


def text_of(path: str | os.PathLike) -> str:
    """Return the text of a file, plain or gzip, with line feeds at the ends of its lines."""
    lines = [decode(line, path, number) for number, line in numbered_lines(path)]
    return "".join(lines).replace("\r\n", "\n")


@dataclass
class _Node:
    parent: "_Node | None"
    line: int = 0
    name: str | None = None
    length: float | None = None
    children: list["_Node"] = field(default_factory=list)

    def child(self) -> "_Node":
        self.children.append(_Node(self))
        return self.children[-1]


def _newick(text: str, path) -> SpeciesDistances:
    order = _post_order(_parse(text, path))
    leaves = sum(not node.children for node in order)
    names, matrix = [], np.zeros((leaves, leaves))
    # Of a node: the leaves found below it so far, and how far each is from it.
    below: dict[int, tuple[list[int], np.ndarray]] = {}
    for node in order:
        if node.children:
            rows, depths = below.pop(id(node))
        else:
            if not node.name:
                raise InputError(f"{path}:{node.line}: leaf: got no name, wanted a species")
            if node.name in names:
                raise InputError(f"{path}:{node.line}: leaf: got {node.name!r} a second time")
            rows, depths = [len(names)], np.zeros(1)
            names.append(node.name)
        if node.parent is None:
            continue
        if node.length is None:
            raise InputError(f"{path}:{node.line}: {node.name or 'inner node'}: no branch length")
        depths = depths + node.length
        others, other_depths = below.get(id(node.parent), ([], np.zeros(0)))
        matrix[np.ix_(others, rows)] = other_depths[:, None] + depths
        matrix[np.ix_(rows, others)] = matrix[np.ix_(others, rows)].T
        below[id(node.parent)] = others + rows, np.concatenate([other_depths, depths])
    return SpeciesDistances(str(path), tuple(names), matrix)


def _post_order(root: _Node) -> list[_Node]:
    """Return children before parents; trees may be deeper than Python's stack."""
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.children
    return order[::-1]


def _parse(text: str, path) -> _Node:
    root = node = _Node(None)
    line, expects_length, ended = 1, False, False
    for token in NEWICK_TOKEN.findall(text):
        here, line = line, line + token.count("\n")
        if token.isspace() or (token[0] == "[" and token[-1] == "]"):
            continue
        node.line = here
        labelled = node.name is not None or node.length is not None
        if ended or expects_length and token in _SPECIAL:
            _refuse(path, here, token, "nothing more" if ended else "a branch length")
        elif expects_length:
            node.length, expects_length = _distance(token, path, here, "branch length"), False
        elif token == "(" and not labelled and not node.children:
            node = node.child()
        elif token == "," and node.parent is not None:
            node = node.parent.child()
        elif token == ")" and node.parent is not None:
            node = node.parent
        elif token == ":" and node.length is None:
            expects_length = True
        elif token == ";" and node.parent is None:
            ended = True
        elif not labelled and token not in _SPECIAL:
            node.name = token[1:-1].replace("''", "'") if token[0] == "'" else token
        else:
            _refuse(path, here, token, "a tree in Newick")
    if not ended:
        _refuse(path, line, "the end", "a tree in Newick that ends in ;")
    return root


def _refuse(path, line: int, token: str, wanted: str) -> None:
    raise InputError(f"{path}:{line}: got {token[:_SHOWN]!r}, wanted {wanted}")


def _distance(text: str, path, line: int, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{path}:{line}: {name}: got {text!r}, wanted a number of at least 0")
    return value


def _table(text: str, path) -> SpeciesDistances:
    header, *rows = text.splitlines() or [""]
    if header.split("\t") != _HEADER:
        raise InputError(
            f"{path}:1: got {header[:_SHOWN]!r}, wanted a tree in Newick or the columns "
            f"{', '.join(_HEADER)}"
        )
    found: dict[tuple[str, str], float] = {}
    for line, row in enumerate(rows, 2):
        fields = row.split("\t")
        if len(fields) != 3:
            raise InputError(f"{path}:{line}: columns: got {len(fields)}, wanted 3")
        first, second, text = fields
        value = _distance(text, path, line, "distance")
        if first == second and value:
            raise InputError(f"{path}:{line}: distance: got {text}, wanted 0 of {first} to itself")
        for pair in ((first, second), (second, first)):
            if found.setdefault(pair, value) != value:
                raise InputError(f"{path}:{line}: distance: got {text} and {found[pair]} before")
    species = tuple(dict.fromkeys(first for first, _ in found))
    matrix = np.zeros((len(species), len(species)))
    for i, first in enumerate(species):
        for j, second in enumerate(species):
            if i != j and (first, second) not in found:
                raise InputError(f"{path}: got no distance of {first} and {second}, wanted all")
            matrix[i, j] = found.get((first, second), 0.0)
    return SpeciesDistances(str(path), species, matrix)
