"""What an encoder reads of a transcript besides its columns: for some heads, and for probes."""

import numpy as np

from data_builders.records import InputError
from isoclr.evaluation.heads import Head
from isoclr.pretrained import on_device
from modeling_isoclr import IsoCLRConfig, IsoCLRModel


def read_also(encoder: IsoCLRModel, **readings: int) -> IsoCLRModel:
    """Return the encoder with columns that read more of a transcript.

    They stand right before what is learned; all others stay as they are, and no weight is new.

    Args:
        encoder: with pooling by regions.
        readings: keys of `IsoCLRConfig`: `start_window`, `residue_pairs`. What is 0 or False stays
            as the encoder has it.

    Raises:
        InputError: another pooling, or a value that the configuration refuses.
    """
    readings = {name: value for name, value in readings.items() if value}
    if not readings:
        return encoder
    try:
        config = IsoCLRConfig.from_dict({**encoder.config.to_dict(), **readings})
    except ValueError as error:
        raise InputError(str(error)) from error
    reading = IsoCLRModel(config).eval()
    reading.load_state_dict(encoder.state_dict())
    return on_device(reading, encoder.device)


def encoder_of(head: Head, encoder: IsoCLRModel) -> IsoCLRModel:
    """Return the encoder as the head reads it."""
    return read_also(encoder, **head.readings)


def columns_for(head: Head, encoder: IsoCLRConfig, reader: IsoCLRConfig) -> np.ndarray:
    """Return which columns a head reads of an encoder that reads more.

    Args:
        head: of the encoder.
        encoder: its configuration.
        reader: that of the same as `read_also` gives it, with all that the head reads.

    Returns:
        Numbers of the columns, ascending.
    """
    sizes = {"residue_pairs": reader.pairs_size, "start_window": reader.start_size}
    learned = reader.pooled_size - reader.contrasted_size
    place, unread = learned - sum(sizes.values()), []
    for reading, size in sizes.items():
        if reading not in head.readings and not getattr(encoder, reading):
            unread += range(place, place + size)
        place += size
    return np.delete(np.arange(reader.pooled_size), unread)
