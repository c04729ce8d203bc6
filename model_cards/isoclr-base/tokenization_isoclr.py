"""One byte a nucleotide: base, codon start and exon end in one token.

token = base + 8·codon_start + 16·exon_end, with A0 C1 G2 T3 N4 MASK5 PAD7; U reads as T, lower case
as upper. A codon start is the first base of a codon of the CDS; an exon end is the last base of an
exon, the final one included. Coordinates are 0-based and half-open, on the spliced transcript.

With `alphabet="protein"` a token is one amino acid (configuration_isoclr.RESIDUE_TOKENS), and there
are no marks.
"""

from difflib import get_close_matches

import numpy as np
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.utils import logging

from .checks_isoclr import (
    CROPS,
    MASK_TOKEN,
    PAD_TOKEN,
    as_integer,
    cds_integers,
    check_cds,
    check_special_token,
    checked_junctions,
    checked_options,
    crop_named,
    listed,
    one_of,
    padding_named,
    refuse_unknown,
    shown,
)
from .configuration_isoclr import (
    CODON_START_BIT,
    EXON_END_BIT,
    MASK_BASE,
    N_BASE,
    PAD_BASE,
    RESIDUE_TOKENS,
    VOCABULARY_SIZE,
)
from .letters_isoclr import UNKNOWN, base_codes, longest_orf, residue_codes

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

_WANTED = {"rna": "A, C, G, T, U or N", "protein": "an amino acid, B, Z, J, U, O or X"}

_SHORTEST_STEP = 32  # of padded lengths
# Padding that a part may have: this share of it, or as much as costs no more than a part more does.
_PADDING_SHARE, _PADDING = 0.04, 2048

_NO_LIMIT = 10**9  # transformers stands for "no limit" by a number above this


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
        for keyword in kwargs:
            if get_close_matches(keyword.lower(), ("unknown_letters", "alphabet"), 1, 0.8):
                refuse_unknown("IsoCLRTokenizer", [keyword], ("unknown_letters", "alphabet"))
        self.unknown_letters = unknown_letters
        self.alphabet = alphabet
        kwargs.setdefault("pad_token", PAD_TOKEN)
        kwargs.setdefault("mask_token", MASK_TOKEN)
        for name, token in kwargs.items():
            check_special_token(name, token)
        super().__init__(unknown_letters=unknown_letters, alphabet=alphabet, **kwargs)

    def __setattr__(self, name, value):
        token = value
        if name in ("pad_token_id", "mask_token_id"):
            name, token = name.removesuffix("_id"), _TOKENS[self.alphabet].get(value, value)
        check_special_token(name, token)
        super().__setattr__(name, token)

    def _add_tokens(self, new_tokens, special_tokens=False):
        """Nothing: the look-up has the tokens that it has.

        Raises:
            ValueError: on a token that is not in the vocabulary.
        """
        for token in new_tokens or ():
            if str(token) not in _VOCABULARIES[self.alphabet]:
                raise ValueError(
                    f"got the new token {str(token)!r}, wanted one of the {VOCABULARY_SIZE} that "
                    "the model looks up: letters, <mask> and <pad>"
                )
        return super()._add_tokens(new_tokens, special_tokens)

    def __len__(self):
        """4: tokens 0 to 3 are plain letters.

        Stock collators for masked language models draw what they put in place of a token from the
        first `len(tokenizer)` ones, and must not draw PAD. All tokens are `vocab_size`.
        """
        return N_BASE

    def tokenize_transcript(self, sequence, cds=None, exon_junctions=None, record="sequence"):
        """Tokens of one transcript, or of one protein, which has no marks.

        Args:
            sequence: letters of a spliced transcript, 5'→3', or of a protein from its N-terminus;
                `<mask>` is one position of which nothing is known.
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
        _check_is_text(sequence, record)
        tokens = self._codes(sequence, record)
        cds = cds_integers(cds, record)
        if self.alphabet == "protein" and (cds is not None or exon_junctions is not None):
            raise ValueError(f"{record}: got a CDS or exon junctions of a protein, wanted none")
        if cds is not None:
            start, end = cds
            check_cds(start, end, tokens.size, record)
            tokens[start:end:3] |= CODON_START_BIT
        if exon_junctions is not None:
            junctions = checked_junctions(exon_junctions, tokens.size, record)
            tokens[junctions - 1] |= EXON_END_BIT
            tokens[-1] |= EXON_END_BIT
        return tokens

    def _codes(self, sequence, record):
        """Tokens without marks, of at least one letter."""
        codes = residue_codes if self.alphabet == "protein" else base_codes
        tokens = codes(sequence)
        if tokens.size == 0:
            raise ValueError(f"{record}: got no letters, wanted at least one")
        if tokens.max() != UNKNOWN:
            return tokens
        if MASK_TOKEN in sequence:
            parts = [codes(part) for part in sequence.split(MASK_TOKEN)]
            masked = np.array([MASK_BASE], dtype=np.uint8)
            tokens = np.concatenate([x for part in parts for x in (masked, part)][1:])
        unknown = np.flatnonzero(tokens == UNKNOWN)
        if unknown.size and self.unknown_letters == "error":
            position = int(unknown[0])
            letter = sequence.replace(MASK_TOKEN, "-")[position]
            raise ValueError(
                f"{record}: got letter {letter!r} at position {position}, "
                f"wanted {_WANTED[self.alphabet]}"
            )
        tokens[unknown] = N_BASE
        return tokens

    def __call__(
        self,
        text,
        cds=None,
        exon_junctions=None,
        padding=False,
        truncation: bool | str = False,
        max_length=None,
        pad_to_multiple_of=None,
        return_tensors=None,
        guess_cds=None,
        **options,
    ):
        """Tokenize one transcript or a list of them.

        Args:
            text: a sequence, or a list of sequences.
            cds: (start, end) of the sequence, or a list of them; see `tokenize_transcript`.
            exon_junctions: junctions of the sequence, or a list of them.
            padding: False, True or `longest`, `max_length`.
            truncation: what happens to a transcript over the longest length: False is an error; a
                crop keeps the `five_prime` end (also True), the `three_prime` end (also True where
                `truncation_side` is left) or the `cds_centre`, and is reported as a warning.
            max_length: the longest length, in nt; None: `model_max_length`.
            pad_to_multiple_of: pads further, to a multiple of this.
            return_tensors: `pt`, `np`, or None for lists.
            guess_cds: where no CDS is given, take the longest open reading frame of at least this
                many nt, and report how often as a warning; None: never.
            options: `padding_side` and `truncation_side`, `left` or `right`, instead of the
                tokenizer's; what is returned beside: `return_attention_mask` (unless False),
                `return_token_type_ids`, `return_special_tokens_mask`, `return_length`. Further
                keywords of transformers where they ask for nothing.

        Returns:
            `input_ids` and `attention_mask`, of shape (length,) or (batch, length).

        Raises:
            ValueError: naming the record, or the argument, and the value.
            TypeError: on an unknown keyword.

        Examples:
            >>> tokenizer = IsoCLRTokenizer()
            >>> tokenizer("GATGTAAC", cds=(1, 7), exon_junctions=[3])["input_ids"]
            [2, 8, 19, 2, 11, 0, 0, 17]
            >>> tokenizer(["ACGU", "AC"], padding=True)["attention_mask"]
            [[1, 1, 1, 1], [1, 1, 0, 0]]
            >>> tokenizer("ACGT", cds=(0, 4))
            Traceback (most recent call last):
            ...
            ValueError: sequence 0: got CDS (0, 4), wanted 0 <= start < end <= 4 and a multiple \
of three
        """
        options = checked_options(options)
        batched = not isinstance(text, str)
        sequences = listed("text", text, "a sequence or a list of them") if batched else [text]
        cds = _per_sequence("cds", cds, batched, len(sequences))
        exon_junctions = _per_sequence("exon_junctions", exon_junctions, batched, len(sequences))
        if guess_cds is not None:
            cds = _guess(sequences, cds, as_integer("guess_cds", guess_cds))
        rows = [
            self.tokenize_transcript(sequence, *marks, record=f"sequence {index}")
            for index, (sequence, *marks) in enumerate(
                zip(sequences, cds, exon_junctions, strict=True)
            )
        ]
        limit = self._limit(max_length)
        side = options.pop("truncation_side") or self.truncation_side
        keep = crop_named(truncation, side)
        if limit is not None:
            rows = _crop(rows, limit, keep)
        encoding = {"input_ids": [row.tolist() for row in rows]}
        encoding["attention_mask"] = [[1] * len(row) for row in rows]
        if options["return_token_type_ids"]:
            encoding["token_type_ids"] = [[0] * len(row) for row in rows]
        if options["return_special_tokens_mask"]:
            masks = map(self.get_special_tokens_mask, encoding["input_ids"])
            encoding["special_tokens_mask"] = list(masks)
        if options["return_length"]:
            encoding["length"] = [len(row) for row in rows]
        if options["return_attention_mask"] is False:
            del encoding["attention_mask"]
        if not batched:
            encoding = {name: values[0] for name, values in encoding.items()}
        if return_tensors is not None:
            return_tensors = one_of("return_tensors", return_tensors, ("pt", "np"))
        if not batched and return_tensors is not None and not padding_named(padding):
            return BatchEncoding(encoding, tensor_type=return_tensors, prepend_batch_axis=True)
        return self.pad(
            encoding,
            padding=padding,
            max_length=limit,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=options["padding_side"],
            return_attention_mask=options["return_attention_mask"],
            return_tensors=return_tensors,
        )

    def _limit(self, max_length):
        """Longest length in nt, of the call or else of the tokenizer; None: no limit."""
        if max_length is not None:
            return as_integer("max_length", max_length)
        if self.model_max_length > _NO_LIMIT:
            return None
        return as_integer("model_max_length", self.model_max_length)

    def pad(self, encoded_inputs, padding=True, max_length=None, **options):
        """As in `PreTrainedTokenizer`, on either side.

        Raises:
            ValueError: on a `padding` or a multiple that there is not; `max_length` without one.
        """
        if max_length is None and padding_named(padding) == "max_length":
            max_length = self._limit(None)
            if max_length is None:
                raise ValueError("max_length: got none with padding='max_length', wanted one")
        if options.get("pad_to_multiple_of") is not None:
            as_integer("pad_to_multiple_of", options["pad_to_multiple_of"])
        return super().pad(encoded_inputs, padding_named(padding), max_length, **options)

    def encode(self, text, text_pair=None, **options):
        """`input_ids` of one transcript; keywords as in a call of the tokenizer."""
        if not isinstance(text, str):
            raise ValueError(f"text: got {shown(text)}, wanted one sequence")
        if text_pair is not None:
            options["text_pair"] = text_pair
        return self(text, **options)["input_ids"]

    def encode_plus(self, text, **options):
        """As a call of the tokenizer."""
        return self(text, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs, **options):
        """As a call of the tokenizer."""
        return self(batch_text_or_text_pairs, **options)

    def tokenize(self, text, pair=None, add_special_tokens=False, cds=None, exon_junctions=None):
        """Names of the tokens of one transcript, such as `A^` for an A that begins a codon.

        Args:
            text: a sequence.
            pair: None alone.
            add_special_tokens: changes nothing, there are none to add.
            cds: see `tokenize_transcript`.
            exon_junctions: see `tokenize_transcript`.

        Raises:
            ValueError: as `tokenize_transcript`.

        Examples:
            >>> IsoCLRTokenizer().tokenize("GATGTAAC", cds=(1, 7), exon_junctions=[3])
            ['G', 'A^', 'T|', 'G', 'T^', 'A', 'A', 'C|']
        """
        if pair is not None:
            raise ValueError(f"pair: got {shown(pair)}, wanted one sequence alone")
        names = _TOKENS[self.alphabet]
        tokens = self.tokenize_transcript(text, cds, exon_junctions)
        return [names[token] for token in tokens.tolist()]

    @property
    def vocab_size(self):
        """32: four bases, N, MASK, PAD and one unused, each with its marks; or as many residues."""
        return VOCABULARY_SIZE

    def get_vocab(self):
        """Token to index."""
        return dict(_VOCABULARIES[self.alphabet])

    def _convert_token_to_id(self, token):
        if token not in _VOCABULARIES[self.alphabet]:
            raise ValueError(f"got the token {token!r}, wanted one of the vocabulary")
        return _VOCABULARIES[self.alphabet][token]

    def _convert_id_to_token(self, index):
        if index not in _TOKENS[self.alphabet]:
            raise ValueError(f"got the token {index!r}, wanted 0 to {VOCABULARY_SIZE - 1}")
        return _TOKENS[self.alphabet][index]

    def convert_tokens_to_string(self, tokens):
        """Letters of the tokens, without their marks."""
        return "".join(token.rstrip("^|") for token in tokens)

    def _decode(self, token_ids, skip_special_tokens=False, **kwargs):
        ids = np.atleast_1d(np.asarray(token_ids))
        if ids.size and ids.dtype.kind not in "iu":
            raise ValueError(f"token_ids: got {token_ids!r:.60}, wanted integers")
        ids = ids.astype(np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < VOCABULARY_SIZE:
            raise ValueError(
                f"got tokens {ids.min()} to {ids.max()}, wanted 0 to {VOCABULARY_SIZE - 1}"
            )
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


def _check_is_text(sequence, record):
    if not isinstance(sequence, str):
        raise ValueError(f"{record}: got {shown(sequence)}, wanted letters in a string")


def _per_sequence(name, values, batched, n):
    if values is None or not batched:
        return [values] * n
    values = listed(name, values)
    if len(values) != n:
        raise ValueError(f"{name}: got {len(values)} entries, wanted one a sequence, {n}")
    return values


def _guess(sequences, cds, min_length):
    guessed, out = 0, []
    for index, (sequence, given) in enumerate(zip(sequences, cds, strict=True)):
        if given is None:
            _check_is_text(sequence, f"sequence {index}")
            found = longest_orf(sequence.replace(MASK_TOKEN, "N"))
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
    if keep is None:
        index = too_long[0]
        raise ValueError(
            f"sequence {index}: got {len(rows[index])} nt, wanted at most max_length={max_length}; "
            f"drop it, or pass truncation={' or '.join(map(repr, CROPS))}"
        )
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
