"""What makes vectors of RNAs and proteins for models of their interaction.

`make_embedder` reads the specification that `RPIConfig` has; see there for the kinds.
"""

import hashlib
from itertools import product
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from .configuration_rpi import KMER_SIZES, ONE_HOT_SIZES, check_embedder

LETTERS = {"rna": "ACGT", "protein": "ACDEFGHIKLMNPQRSTVWY"}
AMINO_ACID_CLASSES = ("AGV", "ILFP", "YMTS", "HNQW", "RK", "DE", "C")
_CLASSES = np.array(
    [
        next(number for number, letters in enumerate(AMINO_ACID_CLASSES) if letter in letters)
        for letter in LETTERS["protein"]
    ]
    + [len(AMINO_ACID_CLASSES)]
)
# Letters of which it is not known what they stand for; U of a protein is selenocysteine.
_UNKNOWN = {"rna": "NRYSWKMBDHV", "protein": "BZJUOX*"}
# A model that comes with its own code may load the encoder that it names with that one's.
_IS_REMOTE_CODE = __name__.startswith("transformers_modules")


def letter_codes(molecule, sequence):
    """Numbers of letters of `LETTERS`, int64 (length,); the one beyond is of a letter not known.

    U of an RNA reads as T, in either case. An empty sequence, or a letter that stands for nothing,
    is a ValueError that names the position.
    """
    if not sequence:
        raise ValueError(f"{molecule}: got an empty sequence, wanted letters")
    upper = sequence.upper()
    if molecule == "rna":
        upper = upper.replace("U", "T")
    known = {letter: number for number, letter in enumerate(LETTERS[molecule])}
    known |= dict.fromkeys(_UNKNOWN[molecule], len(known))
    try:
        return np.array([known[letter] for letter in upper])
    except KeyError as error:
        position = upper.index(error.args[0])
        raise ValueError(
            f"{molecule}: got letter {sequence[position]!r} at position {position}, wanted "
            f"{LETTERS[molecule]} or {_UNKNOWN[molecule]}"
        ) from None


class LetterEmbedder:
    """A fixed vector a letter, of a table (letters, width); letters that are not known are zero."""

    def __init__(self, molecule, table):
        self.molecule = molecule
        self.table = np.vstack([table, np.zeros((1, table.shape[1]))]).astype(np.float32)
        self.size = self.table.shape[1]

    def positions(self, sequence):
        """How many vectors a sequence has."""
        return len(sequence)

    def __call__(self, sequences):
        """Return float32 (length, width) of each sequence."""
        return [self.table[letter_codes(self.molecule, each)] for each in sequences]


class RandomMoleculeEmbedder:
    """One random vector a molecule, drawn by the checksum of its sequence."""

    def __init__(self, molecule, size, seed):
        self.molecule, self.size, self.seed = molecule, size, seed

    def positions(self, sequence):
        """How many vectors a sequence has."""
        return 1

    def __call__(self, sequences):
        """Return float32 (1, width) of each sequence."""
        return [self._drawn(_plain(self.molecule, each)) for each in sequences]

    def _drawn(self, sequence):
        digest = hashlib.sha256(f"{self.seed} {sequence}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "little"))
        return rng.standard_normal((1, self.size), np.float32)


class KmerEmbedder:
    """One vector of frequencies of words, and the logarithm of the length.

    Of an RNA all words of up to some length; of a protein its amino acids, and words of three
    classes of amino acids (the conjoint triads of Shen et al. 2007). The frequencies of the words
    of one length add up to 1; words with a letter that is not known do not count.

    Args:
        molecule: `rna` or `protein`.
        size: of `KMER_SIZES`.
    """

    def __init__(self, molecule, size):
        self.molecule, self.size = molecule, size

    def positions(self, sequence):
        """One."""
        return 1

    def names(self):
        """Return what each number of the vector is of, (size,)."""
        letters = LETTERS[self.molecule]
        if self.molecule == "protein":
            triads = product(AMINO_ACID_CLASSES, repeat=3) if self.size > len(letters) + 1 else ()
            words = [*letters, *("-".join(classes) for classes in triads)]
        else:
            lengths = range(1, KMER_SIZES["rna"].index(self.size) + 2)
            words = ["".join(word) for n in lengths for word in product(letters, repeat=n)]
        return [*words, "log length"]

    def __call__(self, sequences):
        """Return float32 (1, size) of each sequence."""
        return [self._vector(letter_codes(self.molecule, each))[None] for each in sequences]

    def _vector(self, codes):
        parts, letters = [], len(LETTERS[self.molecule])
        if self.molecule == "protein":
            parts.append(_frequencies(codes, 1, letters))
            if self.size > letters + 1:
                parts.append(_frequencies(_CLASSES[codes], 3, len(AMINO_ACID_CLASSES)))
        else:
            for length in range(1, KMER_SIZES["rna"].index(self.size) + 2):
                parts.append(_frequencies(codes, length, letters))
        return np.concatenate([*parts, [np.log(len(codes))]]).astype(np.float32)


def _frequencies(codes, length, letters):
    """Frequencies of words of a length, (letters ** length,); zero where there is no word."""
    count = max(len(codes) - length + 1, 0)
    words, known = np.zeros(count, np.int64), np.ones(count, bool)
    for offset in range(length):
        part = codes[offset : offset + count]
        words, known = words * letters + part, known & (part < letters)
    counts = np.bincount(words[known], minlength=letters**length)
    return counts / max(int(known.sum()), 1)


class IsoCLREmbedder:
    """The last stage of an encoder of the IsoCLR family: a vector for 32 letters."""

    def __init__(self, molecule, model, letters=1 << 16):
        self.molecule, self.letters = molecule, letters
        code = {"trust_remote_code": True} if _IS_REMOTE_CODE else {}
        self.model = AutoModel.from_pretrained(model, **code).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model, **code)
        alphabet = getattr(self.model.config, "alphabet", None)
        if alphabet != molecule:
            raise ValueError(f"{model}: got an encoder of {alphabet}, wanted one of {molecule}")
        self.size = self.model.config.hidden_size

    def positions(self, sequence):
        """How many vectors a sequence has."""
        return -(-len(sequence) // self.model.config.downsampling)

    @torch.inference_mode()
    def __call__(self, sequences):
        """Return float32 (positions, width) of each sequence."""
        plain = [_plain(self.molecule, sequence) for sequence in sequences]
        found: list = [None] * len(plain)
        for rows in batches_of_like_length([len(each) for each in plain], self.letters):
            batch = self.tokenizer([plain[i] for i in rows], padding=True, return_tensors="pt")
            states = self.model(**batch.to(self.model.device)).last_hidden_state
            for row, state in zip(rows, states.float().cpu().numpy(), strict=True):
                found[row] = state[: self.positions(plain[row])].copy()
        return found


class TransformersEmbedder:
    """A layer of any AutoModel of transformers, such as ESM-2, loaded without its own code.

    A sequence longer than `max_positions` goes through it in pieces, of which the first alone is
    kept where `cut`. `layer` is of `hidden_states`, -1 the last; `strip` are tokens that the
    tokenizer adds on the left and on the right.
    """

    def __init__(self, molecule, model, *, layer=-1, strip=(1, 1), max_positions=1024, cut=True):
        self.molecule, self.layer, self.strip = molecule, layer, tuple(strip)
        self.max_positions, self.cut = max_positions, cut
        self.model = AutoModel.from_pretrained(model).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.size = self.model.config.hidden_size

    def positions(self, sequence):
        """How many vectors a sequence has, where the tokenizer takes a letter for a token."""
        return len(sequence)

    @torch.inference_mode()
    def __call__(self, sequences):
        """Return float32 (positions, width) of each sequence."""
        found = []
        for sequence in sequences:
            plain = _plain(self.molecule, sequence)
            starts = range(0, len(plain), self.max_positions)
            pieces = [plain[start : start + self.max_positions] for start in starts]
            states = [self._piece(piece) for piece in (pieces[:1] if self.cut else pieces)]
            found.append(np.concatenate(states))
        return found

    def _piece(self, piece):
        batch = self.tokenizer(piece, return_tensors="pt").to(self.model.device)
        states = self.model(**batch, output_hidden_states=True).hidden_states[self.layer][0]
        left, right = self.strip
        return states[left : len(states) - right].float().cpu().numpy()


def encoder_place(model, near=None):
    """Return where an encoder is that a model of pairs names; None where it is not known.

    Args:
        model: a folder or OWNER/NAME on the Hub, which are returned; or a bare name, which is
            looked for in the working directory, and then beside the model of pairs: the folder of
            that name next to its own, or the repository of the same owner.
        near: folder or repository of the model of pairs; None: it is not known.
    """
    model, near = str(model), str(near or "")
    if "/" in model or Path(model).is_dir():
        return model
    if near and Path(near).is_dir():
        beside = Path(near).resolve().parent / model
        return str(beside) if beside.is_dir() else None
    owner, _, name = near.partition("/")
    return f"{owner}/{model}" if owner and name and "/" not in name else None


def _found(molecule, spec, near):
    """The place of an encoder.

    Raises:
        ValueError: saying where it was looked for, before the Hub is asked for a bare name.
    """
    place = encoder_place(spec["model"], near)
    if place is None:
        beside = f" or beside {near}" if near else ""
        raise ValueError(
            f"{molecule}_embedder: got {spec['model']!r}, wanted its folder in the working "
            f"directory{beside}, or OWNER/NAME on the Hub, as AutoProcessor.from_pretrained takes "
            f"it: {molecule}_embedder={dict(spec) | {'model': 'PLACE'}}"
        )
    return place


def make_embedder(molecule, spec, *, max_positions=1024, cut=True, near=None):
    """Make what turns sequences into vectors.

    Args:
        molecule: `rna` or `protein`.
        spec: as `RPIConfig` has it.
        max_positions: of the configuration.
        cut: whether the configuration says so of long molecules.
        near: folder or repository of the model that has the configuration, see `encoder_place`.

    Returns:
        A function of a list of sequences, with `size` and `positions(sequence)`; None for
        precomputed arrays, which it cannot make.

    Raises:
        ValueError: a specification of nothing, or a width other than it says.
    """
    check_embedder(f"{molecule}_embedder", spec)
    kind, size = spec["kind"], spec.get("size", ONE_HOT_SIZES[molecule])
    if kind == "precomputed":
        return None
    letters = len(LETTERS[molecule])
    if kind == "one_hot":
        made = LetterEmbedder(molecule, np.eye(letters))
    elif kind == "random" and spec.get("per") == "molecule":
        made = RandomMoleculeEmbedder(molecule, size, spec.get("seed", 0))
    elif kind == "random":
        draws = np.random.default_rng(spec.get("seed", 0)).normal(size=(letters, size))
        made = LetterEmbedder(molecule, draws)
    elif kind == "kmers":
        made = KmerEmbedder(molecule, size)
    elif kind == "isoclr":
        made = IsoCLREmbedder(molecule, _found(molecule, spec, near))
    else:
        others = {key: spec[key] for key in ("layer", "strip") if key in spec}
        made = TransformersEmbedder(
            molecule, spec["model"], max_positions=max_positions, cut=cut, **others
        )
    if made.size != size:
        raise ValueError(f"{molecule}_embedder.size: got {size}, wanted {made.size}, its width")
    return made


def batches_of_like_length(lengths, budget):
    """Cut rows, sorted by length, into batches of at most `budget` positions, padding included.

    Args:
        lengths: of each row.
        budget: positions; a longer row is a batch of its own.

    Returns:
        A list of lists of row numbers.
    """
    batches, batch = [], []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batch and (len(batch) + 1) * lengths[row] > budget:
            batches.append(batch)
            batch = []
        batch.append(row)
    return [*batches, batch] if batch else batches


def _plain(molecule, sequence):
    """A checked sequence, in capitals, with one letter for all that are not known."""
    letters = LETTERS[molecule] + ("N" if molecule == "rna" else "X")
    return "".join(letters[code] for code in letter_codes(molecule, sequence))
