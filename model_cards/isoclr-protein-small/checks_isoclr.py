"""What a caller may say: each check names the argument, what was got and what was wanted."""

from difflib import get_close_matches
from math import isfinite
from operator import index

import numpy as np

PAD_TOKEN, MASK_TOKEN = "<pad>", "<mask>"
CROPS = ("five_prime", "three_prime", "cds_centre")
_OTHER_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token")
_NO_CROP = (False, None, "do_not_truncate")
_CROP_BY_SIDE = (True, "longest_first", "only_first")
# What else transformers' tokenizers take: what a transcript has is obeyed, and of the rest only
# what asks for nothing is let through.
_OPTIONS = {
    "padding_side": (None, "left", "right"),
    "truncation_side": (None, "left", "right"),
    "return_attention_mask": (None, True, False),
    "return_token_type_ids": (None, True, False),
    "return_special_tokens_mask": (None, True, False),
    "return_length": (None, True, False),
    "add_special_tokens": (True, False, None),
    "verbose": (True, False),
    "stride": (0,),
    "is_split_into_words": (False, None),
    "return_overflowing_tokens": (False, None),
    "return_offsets_mapping": (False, None),
    "split_special_tokens": (False, None),
    "text_pair": (None,),
    "text_target": (None,),
    "text_pair_target": (None,),
    "pair": (None,),
}


def as_integer(name, value, minimum=1):
    """`value` as an int, of at least `minimum`.

    Raises:
        ValueError: on anything that is not a whole number: a float, NaN, a truth value, None.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise ValueError(f"{name}: got {value!r}, wanted an integer") from None
    if number < minimum:
        raise ValueError(f"{name}: got {value!r}, wanted at least {minimum}")
    return number


def as_number(name, value, minimum=None, above=None, below=None):
    """`value`, a finite number within bounds.

    Args:
        name: of the argument.
        value: an int or a float.
        minimum: the least; None: any.
        above: what it must be greater than; None: nothing.
        below: what it must be less than; None: nothing.

    Raises:
        ValueError: on anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise ValueError(f"{name}: got {value!r}, wanted a number")
    bounds = {">=": minimum, ">": above, "<": below}
    fits = (minimum is None or value >= minimum) and (above is None or value > above)
    if not (fits and (below is None or value < below)):
        wanted = " and ".join(f"{sign} {x}" for sign, x in bounds.items() if x is not None)
        raise ValueError(f"{name}: got {value!r}, wanted {wanted}")
    return value


def one_of(name, value, allowed):
    """`value`, if it equals one of `allowed`.

    Raises:
        ValueError: otherwise.
    """
    for choice in allowed:
        if isinstance(value, type(choice)) and value == choice:  # 1 equals True, and is no bool
            return value
    wanted = ", ".join(map(repr, allowed))
    raise ValueError(f"{name}: got {value!r}, wanted one of {wanted}")


def refuse_unknown(where, keywords, known):
    """Refuse keywords that would be dropped in silence.

    Args:
        where: what was called, for the error.
        keywords: names that were given and that nothing takes.
        known: names that something takes, for advice.

    Raises:
        TypeError: naming the first, and the nearest known one.
    """
    for keyword in sorted(keywords):
        near = get_close_matches(keyword.lower(), [name.lower() for name in known], 1, 0.6)
        names = {name.lower(): name for name in known}
        advice = f"; did you mean {names[near[0]]!r}?" if near else ""
        raise TypeError(f"{where}: got the unknown keyword {keyword!r}{advice}")


def shown(value):
    """A value of a wrong type, as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."


def listed(name, values, wanted="a list"):
    """Values of a list, array or column.

    Raises:
        ValueError: on anything else; letters, bytes and mappings are no lists.
    """
    try:
        if isinstance(values, (str, bytes, bytearray, dict)):
            raise TypeError
        return list(values)
    except TypeError:
        raise ValueError(f"{name}: got {shown(values)}, wanted {wanted}") from None


def cds_integers(cds, record):
    """A CDS as two integers; None where there is none: None, or (-1, -1).

    Raises:
        ValueError: on anything that is not two whole numbers, naming the record.
    """
    if cds is None:
        return None
    try:
        start, end = (as_integer("cds", bound, minimum=-(10**18)) for bound in cds)
    except (TypeError, ValueError):
        raise ValueError(
            f"{record}: got CDS {shown(cds)}, wanted (start, end), two integers, or None"
        ) from None
    return None if (start, end) == (-1, -1) else (start, end)


def check_cds(start, end, length, record):
    """Refuse a CDS outside the transcript, or not of whole codons.

    Raises:
        ValueError: naming the record.
    """
    if not 0 <= start < end <= length or (end - start) % 3:
        raise ValueError(
            f"{record}: got CDS ({start}, {end}), wanted 0 <= start < end <= {length} "
            "and a multiple of three"
        )


def checked_junctions(exon_junctions, length, record) -> np.ndarray:
    """Junctions as int64, ascending and inside the transcript.

    Raises:
        ValueError: naming the record.
    """
    try:
        junctions = np.asarray(exon_junctions)
    except ValueError:  # lists of several lengths
        junctions = np.zeros((0, 0))
    wanted = None
    if junctions.ndim != 1 or (junctions.size and junctions.dtype.kind not in "iu"):
        wanted = "a list of integers, or None"
    else:
        junctions = junctions.astype(np.int64)
        inside = not junctions.size or (junctions[0] >= 1 and junctions[-1] < length)
        if not inside or (junctions[1:] <= junctions[:-1]).any():
            wanted = f"them ascending and between 1 and {length - 1}"
    if wanted:
        raise ValueError(f"{record}: got exon junctions {shown(exon_junctions)}, wanted {wanted}")
    return junctions


def checked_options(options):
    """Keywords of transformers, all of `_OPTIONS`; None where not given.

    Raises:
        TypeError: on an unknown one.
        ValueError: on what a transcript cannot be asked for.
    """
    known = ("text", "cds", "exon_junctions", "padding", "truncation", "max_length", *_OPTIONS)
    refuse_unknown("IsoCLRTokenizer", options.keys() - _OPTIONS.keys(), known)
    for name, value in options.items():
        one_of(name, value, _OPTIONS[name])
    return {name: options.get(name) for name in _OPTIONS}


def check_special_token(name, token):
    """Only PAD and MASK are special, and nothing else can stand for them."""
    wanted = {"pad_token": PAD_TOKEN, "mask_token": MASK_TOKEN}.get(name)
    if wanted is not None and str(token) != wanted:
        raise ValueError(f"{name}: got {str(token)!r}, wanted {wanted!r}, which the model knows")
    if name in _OTHER_SPECIAL_TOKENS and token is not None:
        raise ValueError(f"{name}: got {str(token)!r}, wanted none: transcripts have no such token")


def padding_named(padding):
    """`longest`, `max_length` or False."""
    padding = getattr(padding, "value", padding)  # transformers' PaddingStrategy
    one_of("padding", padding, (True, False, "longest", "max_length", "do_not_pad"))
    return {True: "longest", "do_not_pad": False}.get(padding, padding)


def crop_named(truncation, side):
    """One of `CROPS`, or None for no crop."""
    truncation = getattr(truncation, "value", truncation)  # transformers' TruncationStrategy
    one_of("truncation", truncation, (*_NO_CROP, *_CROP_BY_SIDE, *CROPS))
    if truncation in _NO_CROP:
        return None
    if truncation in CROPS:
        return truncation
    return "five_prime" if side == "right" else "three_prime"
