"""Vectors of molecules, by what they are and never by where they stand, on disk where they cost.

Vectors that an encoder made lie in `{cache}/{molecule}-{digest}`: safetensors files of arrays whose
names are checksums of sequences. The digest is that of the encoder's weights and of how it is used.
A run that is stopped goes on with what is there.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data_builders.interactions.dataset import Molecule
from data_builders.records import InputError
from data_builders.storage import reason_of, respect_umask
from isoclr.pretrained import one_line
from isoclr.progress import progress
from isoclr.shipped import resolve_model
from modeling_isoclr import RPIConfig
from modeling_isoclr.configuration_rpi import MEAN_DESIGNS
from modeling_isoclr.embedders_rpi import encoder_place, make_embedder

_LETTERS_A_PART = 1 << 18
_KEPT = 1024  # molecules whose vectors are not made anew each time
_ENCODERS = ("isoclr", "transformers")


class MoleculeVectors:
    """The vectors of molecules, one after another as a list has them.

    Args:
        molecule: `rna` or `protein`.
        molecules: whose vectors are asked for.
        config: of the model.
        cache: folder for what an encoder makes.
        file: of precomputed arrays: safetensors of (positions, size), by id.

    Attributes:
        molecules: as given.
        lengths: positions of each, int64 (molecules,), after cutting.
        long: how many molecules have more positions than `config.max_positions`.

    Raises:
        InputError: an encoder that cannot be loaded, a file without some of the molecules, or
            arrays of another shape.
    """

    def __init__(
        self,
        molecule: str,
        molecules: Sequence[Molecule],
        config: RPIConfig,
        *,
        cache: str | os.PathLike | None = None,
        file: str | os.PathLike | None = None,
    ):
        self.molecules = tuple(molecules)
        spec = getattr(config, f"{molecule}_embedder")
        size = getattr(config, f"{molecule}_size")
        self._get: Callable[[int], np.ndarray]
        if spec["kind"] == "precomputed":
            self._get, lengths = _precomputed(molecule, self.molecules, file, size)
        else:
            embedder = load_embedder(molecule, config)
            assert embedder is not None  # precomputed vectors alone have none
            sequences = [each.sequence for each in self.molecules]
            lengths = np.array([embedder.positions(each) for each in sequences], np.int64)
            if spec["kind"] in _ENCODERS and cache is not None:
                folder = Path(cache) / f"{molecule}-{_digest(spec, config, embedder)}"
                self._get = _encoded(folder, sequences, embedder)
            else:
                self._get = lru_cache(_KEPT)(lambda i: embedder([sequences[i]])[0])
        self.long = int((lengths > config.max_positions).sum())
        self._most = config.max_positions if config.long == "cut" else None
        self.lengths = lengths if self._most is None else np.minimum(lengths, self._most)

    def __len__(self) -> int:
        """The number of molecules."""
        return len(self.molecules)

    def __getitem__(self, i: int) -> np.ndarray:
        """The vectors of a molecule, float32 (positions, size)."""
        return self._get(i)[: self._most]


class MeanVectors:
    """The mean vector of each molecule, as one position: all that some designs look at.

    Attributes are those of `MoleculeVectors`; lengths are ones.
    """

    def __init__(self, vectors: MoleculeVectors):
        self.molecules, self.long = vectors.molecules, vectors.long
        self.lengths = np.ones(len(vectors), np.int64)
        means = [vectors[i].mean(0, dtype=np.float64) for i in range(len(vectors))]
        self._means = np.stack(means).astype(np.float32)

    def __len__(self) -> int:
        """The number of molecules."""
        return len(self.molecules)

    def __getitem__(self, i: int) -> np.ndarray:
        """The mean vector of a molecule, float32 (1, size)."""
        return self._means[i : i + 1]


def vectors_of(
    molecules: Mapping[str, Sequence[Molecule]],
    config: RPIConfig,
    *,
    cache: str | os.PathLike | None = None,
    files: Mapping[str, str] | None = None,
) -> Mapping[str, MoleculeVectors | MeanVectors]:
    """Return the vectors of RNAs and of proteins as the design of a model wants them.

    `molecules`, and `files` of precomputed arrays, are by `rna` and `protein`; the folder `cache`
    takes what an encoder makes.
    """
    found = {
        name: MoleculeVectors(name, each, config, cache=cache, file=(files or {}).get(name))
        for name, each in molecules.items()
    }
    if config.design not in MEAN_DESIGNS:
        return found
    return {name: MeanVectors(vectors) for name, vectors in found.items()}


def load_embedder(molecule: str, config: RPIConfig):
    """Load what a configuration names to make vectors of a molecule; None: precomputed."""
    spec, near = dict(getattr(config, f"{molecule}_embedder")), config.name_or_path
    if "model" in spec and not _is_beside(spec["model"], near):
        # Where this installation has no such model, it may still be beside the model of pairs.
        with suppress(InputError):
            spec["model"] = str(resolve_model(spec["model"]))
    with one_line(spec.get("model", f"{molecule}_embedder")):
        return make_embedder(
            molecule, spec, max_positions=config.max_positions, cut=config.long == "cut", near=near
        )


def _is_beside(model: str, near: str | None) -> bool:
    """Whether a folder of that name is in the working directory, or next to the model of pairs."""
    place = encoder_place(model, near)
    return place is not None and Path(place).is_dir()


def _precomputed(molecule, molecules, file, size) -> tuple[Callable, np.ndarray]:
    if file is None:
        raise InputError(
            f"{molecule}_embedder: got none, wanted a file of precomputed arrays by id"
        )
    try:
        opened = safe_open(file, "numpy")
        shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: cannot be read: {reason_of(error)[:200]}") from error
    missing = [each.id for each in molecules if each.id not in shapes]
    if missing:
        raise InputError(
            f"{file}: got no array for {len(missing):,} of {len(molecules):,} {molecule} ids, "
            f"wanted one for each: the first is {missing[0]!r}"
        )
    for each in molecules:
        shape = shapes[each.id]
        if len(shape) != 2 or shape[1] != size or not shape[0]:
            raise InputError(
                f"{file}: {each.id!r}: got an array of {tuple(shape)}, wanted (positions, {size})"
            )
    lengths = np.array([shapes[each.id][0] for each in molecules], np.int64)
    return lambda i: opened.get_tensor(molecules[i].id).astype(np.float32), lengths


def _digest(spec: dict, config: RPIConfig, embedder) -> str:
    """Checksum of all that decides an encoder's vectors."""
    kept = {key: value for key, value in spec.items() if key != "model"}
    if spec["kind"] == "transformers":
        kept |= {"max_positions": config.max_positions, "long": config.long}
    found = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for name, tensor in sorted(embedder.model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.cpu().float().numpy().tobytes())
    return found.hexdigest()[:16]


def _encoded(folder: Path, sequences: Sequence[str], embedder) -> Callable:
    """Return what reads the vectors of a sequence from a folder, after making those it lacks."""
    keys = [hashlib.sha256(each.encode()).hexdigest()[:32] for each in sequences]
    where = _parts(folder)
    todo = {key: each for key, each in zip(keys, sequences, strict=True) if key not in where}
    if todo:
        folder.mkdir(parents=True, exist_ok=True)
        with progress(None, f"vectors by {folder.name}", unit="nt", total=_letters(todo)) as bar:
            for part in _cut(todo):
                arrays = embedder(list(part.values()))
                _write(folder, dict(zip(part, arrays, strict=True)))
                bar.update(_letters(part))
        where = _parts(folder)
    return lambda i: where[keys[i]].get_tensor(keys[i])


def _letters(sequences: dict[str, str]) -> int:
    return sum(map(len, sequences.values()))


def _cut(sequences: dict[str, str]):
    """Yield dictionaries of about `_LETTERS_A_PART` letters; of like lengths, so that few pad."""
    part: dict[str, str] = {}
    for key in sorted(sequences, key=lambda key: len(sequences[key])):
        part[key] = sequences[key]
        if _letters(part) >= _LETTERS_A_PART:
            yield part
            part = {}
    if part:
        yield part


def _parts(folder: Path) -> dict:
    """Key -> open file, of all files of a folder."""
    where = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        try:
            opened = safe_open(path, "numpy")
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{path}: cannot be read: {reason_of(error)[:200]}; remove it, and its vectors are "
                "made again"
            ) from error
        where |= dict.fromkeys(opened.keys(), opened)
    return where


def _write(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a part whose name follows from what is in it; it is whole or not there."""
    name = hashlib.sha256("".join(sorted(arrays)).encode()).hexdigest()[:16]
    beside = folder / f".{name}.{os.getpid()}"
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, beside)
    respect_umask(beside)
    beside.replace(folder / f"part-{name}.safetensors")
