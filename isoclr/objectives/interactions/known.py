"""What a model has seen: sketches of its training molecules, for the distance to new ones.

The sketch of a sequence is the smallest hashes of its words (MinHash, Broder 1997). The share of
hashes that two sketches have in common estimates the Jaccard index j of the sets of words, and
-ln(2j / (1 + j)) / k the number of substitutions a letter (Mash, Ondov et al. 2016).
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data_builders.interactions.dataset import Molecule
from data_builders.records import InputError
from data_builders.storage import reason_of, respect_umask
from isoclr.training.order import keyed_hash

FILE = "known.safetensors"
_WORD = {"rna": 10, "protein": 5}
_SKETCH = 64
_NONE = np.uint64(2**64 - 1)


def sketch(molecule: str, sequence: str) -> np.ndarray:
    """Return the smallest hashes of the words of a sequence in capitals, ascending, uint64 (64,).

    Words of an RNA have 10 letters, of a protein 5; a shorter sequence is one word. Filled up with
    the largest number where there are fewer words.
    """
    letters = np.frombuffer(sequence.encode(), np.uint8).astype(np.uint64)
    length = min(_WORD[molecule], len(letters))
    words = np.zeros(len(letters) - length + 1, np.uint64)
    for offset in range(length):
        words = words * np.uint64(32) + letters[offset : offset + len(words)] % np.uint64(32)
    hashes = np.unique(keyed_hash(length, words))[:_SKETCH]
    return np.concatenate([hashes, np.full(_SKETCH - len(hashes), _NONE)])


def write_known(
    folder: str | os.PathLike, rnas: Sequence[Molecule], proteins: Sequence[Molecule]
) -> None:
    """Write the sketches of the molecules that a model was trained on, and their ids."""
    tensors, ids = {}, {}
    for molecule, molecules in (("rna", rnas), ("protein", proteins)):
        tensors[molecule] = np.stack([sketch(molecule, each.sequence) for each in molecules])
        ids[molecule] = [each.id for each in molecules]
    path = Path(folder) / FILE
    # One key alone: safetensors keeps several in no order.
    save_file(tensors, path, metadata={"ids": json.dumps(ids)})
    respect_umask(path)


class Known:
    """The molecules that a model was trained on; a damaged file of them is an InputError."""

    def __init__(self, folder: str | os.PathLike):
        path = Path(folder) / FILE
        try:
            with safe_open(path, "numpy") as opened:
                self._sketches = {name: opened.get_tensor(name) for name in _WORD}
                self._ids = json.loads(opened.metadata()["ids"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {reason_of(error)[:200]}") from error

    @staticmethod
    def there(folder: str | os.PathLike) -> bool:
        """Return whether a model says what it was trained on."""
        return (Path(folder) / FILE).is_file()

    def nearest(self, molecule: str, sequence: str) -> tuple[str | None, float]:
        """Return the id of the nearest molecule in training, and the identity with it.

        The sequence is in capitals, U of an RNA as T. None and 0 where no molecule in training
        shares a word of the sketch. The identity is an estimate, 1 of the same sequence; below
        about 0.6 nothing is left to see.
        """
        own = sketch(molecule, sequence)
        own = own[own < _NONE]
        others = self._sketches[molecule]
        shared = np.isin(others, own).sum(1)
        # Of the words of both, the smallest: as many as the smaller sketch has.
        sizes = np.minimum((others < _NONE).sum(1), len(own))
        index = np.minimum(shared / np.maximum(sizes, 1), 1.0)
        best = int(index.argmax())
        if not index[best]:
            return None, 0.0
        j = float(index[best])
        length = _WORD[molecule]
        distance = -np.log(2 * j / (1 + j)) / length
        return self._ids[molecule][best], float(max(0.0, 1 - distance))
