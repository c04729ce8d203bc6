"""One byte a nucleotide: base, codon start and exon end in one token.

token = base + 8·codon_start + 16·exon_end, with A0 C1 G2 T3 N4 MASK5 PAD7; U reads as T, lower case
as upper. A codon start is the first base of a codon of the CDS; an exon end is the last base of an
exon, the final one included. Coordinates are 0-based and half-open, on the spliced transcript.

With `alphabet="protein"` a token is one amino acid (configuration_isoclr.RESIDUE_TOKENS), and there
are no marks.
"""

import numpy as np
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.utils import logging

from .configuration_isoclr import (
    CODON_START_BIT,
    EXON_END_BIT,
    MASK_BASE,
    N_BASE,
    PAD_BASE,
    RESIDUE_TOKENS,
    VOCABULARY_SIZE,
)

logger = logging.get_logger(__name__)

_BASE_NAMES = ["A", "C", "G", "T", "N", "<mask>", "<unused>", "<pad>"]
_VOCABULARY = {
    name + "^" * codon_start + "|" * exon_end: base
    + CODON_START_BIT * codon_start
    + EXON_END_BIT * exon_end
    for exon_end in (0, 1)
    for codon_start in (0, 1)
    for base, name in enumerate(_BASE_NAMES)
}
_PROTEIN_VOCABULARY = RESIDUE_TOKENS | {"<mask>": MASK_BASE, "<pad>": PAD_BASE}
for _index in sorted(set(range(VOCABULARY_SIZE)) - set(_PROTEIN_VOCABULARY.values())):
    _PROTEIN_VOCABULARY[f"<unused{_index}>"] = _index
_VOCABULARIES = {"rna": _VOCABULARY, "protein": _PROTEIN_VOCABULARY}
_TOKENS = {
    alphabet: {index: token for token, index in vocabulary.items()}
    for alphabet, vocabulary in _VOCABULARIES.items()
}

_UNKNOWN = 255
_BASE_OF_BYTE = bytearray([_UNKNOWN] * 256)
for _letters, _base in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("TtUu", 3), ("Nn", N_BASE)):
    for _letter in _letters:
        _BASE_OF_BYTE[ord(_letter)] = _base
_RESIDUE_OF_BYTE = bytearray([_UNKNOWN] * 256)
for _letter, _token in RESIDUE_TOKENS.items():
    _RESIDUE_OF_BYTE[ord(_letter)] = _RESIDUE_OF_BYTE[ord(_letter.lower())] = _token
_WANTED = {"rna": "A, C, G, T, U or N", "protein": "an amino acid, B, Z, J, U, O or X"}

_START_CODON = 0 * 25 + 3 * 5 + 2  # ATG
_STOP_CODONS = (3 * 25 + 0 * 5 + 0, 3 * 25 + 0 * 5 + 2, 3 * 25 + 2 * 5 + 0)  # TAA TAG TGA

_SHORTEST_STEP = 32  # of padded lengths
# Padding that a part may have: this share of it, or as much as costs no more than a part more does.
_PADDING_SHARE, _PADDING = 0.04, 2048

_CROPS = ("five_prime", "three_prime", "cds_centre")


class IsoCLRTokenizer(PreTrainedTokenizer):
    """Turns transcripts into tokens of one byte a nucleotide, or proteins into one a residue.

    Args:
        unknown_letters: `error`, or `N` to read letters that are not bases as N; of proteins, `X`.
        alphabet: `rna` or `protein`.
        kwargs: passed to `PreTrainedTokenizer`.
    """

    vocab_files_names = {}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, unknown_letters="error", alphabet="rna", **kwargs):
        if alphabet not in _VOCABULARIES:
            raise ValueError(f"alphabet: got {alphabet!r}, wanted 'rna' or 'protein'")
        unknown = "X" if alphabet == "protein" else "N"
        if unknown_letters not in ("error", unknown):
            raise ValueError(
                f"unknown_letters: got {unknown_letters!r}, wanted 'error' or {unknown!r}"
            )
        if kwargs.get("padding_side", "right") != "right":
            raise ValueError("padding_side: got 'left', wanted 'right': positions must not shift")
        self.unknown_letters = unknown_letters
        self.alphabet = alphabet
        kwargs.setdefault("pad_token", "<pad>")
        kwargs.setdefault("mask_token", "<mask>")
        super().__init__(unknown_letters=unknown_letters, alphabet=alphabet, **kwargs)

    def tokenize_transcript(self, sequence, cds=None, exon_junctions=None, record="sequence"):
        """Tokens of one transcript, or of one protein, which has no marks.

        Args:
            sequence: letters of a spliced transcript, 5'→3', or of a protein from its N-terminus.
            cds: (start, end) of the coding sequence with its stop codon; None or (-1, -1) when
                there is none.
            exon_junctions: first base of every exon but the first, ascending; empty for one exon;
                None when unknown, and then no exon end is marked.
            record: what an error calls this transcript.

        Returns:
            A uint8 array of shape (length,).

        Raises:
            ValueError: naming the record and the value.
        """
        protein = self.alphabet == "protein"
        tokens = residue_codes(sequence) if protein else base_codes(sequence)
        if protein and (cds not in (None, (-1, -1)) or exon_junctions is not None):
            raise ValueError(f"{record}: got a CDS or exon junctions of a protein, wanted none")
        if tokens.size == 0:
            raise ValueError(f"{record}: got no letters, wanted at least one")
        if tokens.max() == _UNKNOWN:
            unknown = tokens == _UNKNOWN
            if self.unknown_letters == "error":
                position = int(unknown.argmax())
                raise ValueError(
                    f"{record}: got letter {sequence[position]!r} at position {position}, "
                    f"wanted {_WANTED[self.alphabet]}"
                )
            tokens[unknown] = N_BASE
        if cds is not None and tuple(cds) != (-1, -1):
            start, end = cds
            if not 0 <= start < end <= tokens.size or (end - start) % 3:
                raise ValueError(
                    f"{record}: got CDS ({start}, {end}), wanted 0 <= start < end <= {tokens.size} "
                    "and a multiple of three"
                )
            tokens[start:end:3] |= CODON_START_BIT
        if exon_junctions is not None:
            junctions = np.asarray(exon_junctions, dtype=np.int64)
            bounds = np.concatenate([[0], junctions, [tokens.size]])
            if (np.diff(bounds) < 1).any():
                raise ValueError(
                    f"{record}: got exon junctions {junctions.tolist()}, wanted them ascending "
                    f"and between 1 and {tokens.size - 1}"
                )
            tokens[bounds[1:] - 1] |= EXON_END_BIT
        return tokens

    def __call__(
        self,
        text,
        cds=None,
        exon_junctions=None,
        padding=False,
        truncation=False,
        max_length=None,
        pad_to_multiple_of=None,
        return_tensors=None,
        guess_cds=None,
        **kwargs,
    ):
        """Tokenize one transcript or a list of them.

        Args:
            text: a sequence, or a list of sequences.
            cds: (start, end) of the sequence, or a list of them; see `tokenize_transcript`.
            exon_junctions: junctions of the sequence, or a list of them.
            padding: False, True or `longest`, `max_length`.
            truncation: what happens to a transcript over `max_length`: False is an error; a crop
                keeps the `five_prime` end (also True), the `three_prime` end or the `cds_centre`,
                and is reported as a warning.
            max_length: in nt.
            pad_to_multiple_of: pads further, to a multiple of this.
            return_tensors: `pt`, `np`, or None for lists.
            guess_cds: where no CDS is given, take the longest open reading frame of at least this
                many nt, and report how often as a warning; None: never.
            kwargs: what else `PreTrainedTokenizer.pad` takes; `add_special_tokens` changes nothing.

        Returns:
            `input_ids` and `attention_mask`, of shape (length,) or (batch, length).

        Raises:
            ValueError: naming the record and the value.
        """
        batched = not isinstance(text, str)
        sequences = list(text) if batched else [text]
        cds = _per_sequence("cds", cds, batched, len(sequences))
        exon_junctions = _per_sequence("exon_junctions", exon_junctions, batched, len(sequences))
        if guess_cds is not None:
            cds = _guess(sequences, cds, guess_cds)
        rows = [
            self.tokenize_transcript(sequence, *marks, record=f"sequence {index}")
            for index, (sequence, *marks) in enumerate(
                zip(sequences, cds, exon_junctions, strict=True)
            )
        ]
        if max_length is not None:
            rows = _crop(rows, max_length, truncation)
        encoding = {"input_ids": [row.tolist() for row in rows]}
        encoding["attention_mask"] = [[1] * len(row) for row in rows]
        if not batched:
            encoding = {name: values[0] for name, values in encoding.items()}
        if not batched and return_tensors is not None and not padding:
            return BatchEncoding(encoding, tensor_type=return_tensors, prepend_batch_axis=True)
        encoding = self.pad(
            encoding,
            padding=padding,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            return_tensors=return_tensors,
        )
        return encoding

    @property
    def vocab_size(self):
        """32: four bases, N, MASK, PAD and one unused, each with its marks; or as many residues."""
        return VOCABULARY_SIZE

    def get_vocab(self):
        """Token to index."""
        return dict(_VOCABULARIES[self.alphabet])

    def _tokenize(self, text, **kwargs):
        names = _TOKENS[self.alphabet]
        return [names[token] for token in self.tokenize_transcript(text).tolist()]

    def _convert_token_to_id(self, token):
        return _VOCABULARIES[self.alphabet][token]

    def _convert_id_to_token(self, index):
        return _TOKENS[self.alphabet][index]

    def convert_tokens_to_string(self, tokens):
        """Letters of the tokens, without their marks."""
        return "".join(token.rstrip("^|") for token in tokens)

    def _decode(self, token_ids, skip_special_tokens=False, **kwargs):
        ids = np.atleast_1d(np.asarray(token_ids, dtype=np.int64))
        if self.alphabet == "rna":
            ids = ids & 7
        if skip_special_tokens:
            ids = ids[(ids != MASK_BASE) & (ids != PAD_BASE)]
        return "".join(_TOKENS[self.alphabet][index] for index in ids.tolist())

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """A transcript has no begin, end or separator tokens."""
        return token_ids_0 + (token_ids_1 or [])

    def get_special_tokens_mask(
        self, token_ids_0, token_ids_1=None, already_has_special_tokens=False
    ):
        """1 where a token is MASK or PAD."""
        ids = token_ids_0 + (token_ids_1 or [])
        bits = 7 if self.alphabet == "rna" else VOCABULARY_SIZE - 1
        return [int(token & bits in (MASK_BASE, PAD_BASE)) for token in ids]

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Nothing to save: the vocabulary is the code."""
        return ()


def base_codes(sequence):
    """Bases of a sequence as uint8 (length,): A0 C1 G2 T3 N4, 255 for any other letter."""
    # bytearray.translate is the fastest look-up there is, and its result can be written to.
    letters = bytearray(sequence, "utf-8", "replace").translate(_BASE_OF_BYTE)
    return np.frombuffer(letters, dtype=np.uint8)


def residue_codes(sequence):
    """Residues of a protein as uint8 (length,), by RESIDUE_TOKENS; 255 for any other letter."""
    letters = bytearray(sequence, "utf-8", "replace").translate(_RESIDUE_OF_BYTE)
    return np.frombuffer(letters, dtype=np.uint8)


def longest_orf(sequence):
    """The longest open reading frame, from an ATG to its stop codon, on the given strand.

    Args:
        sequence: letters, 5'→3'.

    Returns:
        (start, end) with the stop codon, the first of equally long ones; None when there is none.
    """
    codes = base_codes(sequence).astype(np.int64)
    if codes.size < 6:
        return None
    codons = codes[:-2] * 25 + codes[1:-1] * 5 + codes[2:]
    codons[np.maximum(np.maximum(codes[:-2], codes[1:-1]), codes[2:]) >= N_BASE] = -1
    starts = np.flatnonzero(codons == _START_CODON)
    stops = np.flatnonzero(np.isin(codons, _STOP_CODONS))
    best = None
    for frame in range(3):
        begin, end = starts[starts % 3 == frame], stops[stops % 3 == frame]
        after = np.searchsorted(end, begin)
        begin, after = begin[after < end.size], after[after < end.size]
        if begin.size == 0:
            continue
        lengths = end[after] + 3 - begin
        longest = int(lengths.argmax())
        found = (int(begin[longest]), int(begin[longest] + lengths[longest]))
        if best is None or (found[0] - found[1], found[0]) < (best[0] - best[1], best[0]):
            best = found
    return best


def _per_sequence(name, values, batched, n):
    values = values if batched and values is not None else [values] * n
    if len(values) != n:
        raise ValueError(f"{name}: got {len(values)} entries, wanted one a sequence, {n}")
    return values


def _guess(sequences, cds, min_length):
    guessed, out = 0, []
    for sequence, given in zip(sequences, cds, strict=True):
        if given is None:
            found = longest_orf(sequence)
            if found is not None and found[1] - found[0] >= min_length:
                given, guessed = found, guessed + 1
        out.append(given)
    if guessed:
        logger.warning(f"guessed the CDS of {guessed} of {len(out)} sequences: longest ORF")
    return out


def _crop(rows, max_length, keep):
    too_long = [index for index, row in enumerate(rows) if len(row) > max_length]
    if not too_long:
        return rows
    if not keep:
        index = too_long[0]
        raise ValueError(
            f"sequence {index}: got {len(rows[index])} nt, wanted at most max_length={max_length}; "
            f"drop it, or pass truncation={' or '.join(map(repr, _CROPS))}"
        )
    keep = "five_prime" if keep is True else keep
    if keep not in _CROPS:
        raise ValueError(f"truncation: got {keep!r}, wanted False, True or one of {_CROPS}")
    logger.warning(
        f"cropped {len(too_long)} of {len(rows)} transcripts to {max_length} nt ({keep})"
    )
    return [_crop_row(row, max_length, keep) for row in rows]


def _crop_row(row, max_length, keep):
    excess = max(len(row) - max_length, 0)
    start = {"five_prime": 0, "three_prime": excess}.get(keep)
    if start is None:
        codons = np.flatnonzero(row & CODON_START_BIT)
        centre = (codons[0] + codons[-1] + 3) // 2 if codons.size else len(row) // 2
        start = int(np.clip(centre - max_length // 2, 0, excess))
    return row[start : start + max_length]


def cut_by_tokens(lengths, budget):
    """Cut rows, sorted by length, so that each part padded to its longest stays in a budget.

    A part also ends before padding to its longest would be over 4 % of it and over 2,048 nt.

    Args:
        lengths: nt of each row, (rows,).
        budget: nucleotides a part, padding included; a row over it is a part of its own.

    Returns:
        A list of arrays of rows, longest rows first.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    parts, start = [], 0
    while start < len(order):
        longest = lengths[order[start]]
        part = order[start : start + max(budget // padded_length(longest), 1)]
        padded = longest * np.arange(1, len(part) + 1)
        much = padded - np.cumsum(lengths[part]) > np.maximum(_PADDING_SHARE * padded, _PADDING)
        rows = int(much.argmax()) if much.any() else len(part)
        parts.append(part[:rows])
        start += rows
    return parts


def pad_tokens(rows, padding=PAD_BASE):
    """Token rows to one uint8 array of shape (rows, longest, rounded up to one of few lengths)."""
    out = np.full((len(rows), padded_length(max(map(len, rows)))), padding, dtype=np.uint8)
    for target, row in zip(out, rows, strict=True):
        target[: len(row)] = row
    return out


def padded_length(length, an_octave=32, shortest_step=_SHORTEST_STEP):
    """A length in nt, rounded up to one of few.

    Args:
        length: in nt.
        an_octave: most lengths between a number and its double, a power of 2.
        shortest_step: what all of them are multiples of, a power of 2.
    """
    step = max(shortest_step, (1 << int(length).bit_length()) // (2 * an_octave))
    return -(-int(length) // step) * step
