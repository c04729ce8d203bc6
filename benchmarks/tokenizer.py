"""Speed of tokenization: IsoCLRTokenizer beside a Python loop and character-level tokenizers."""

import argparse
from collections.abc import Callable

from measure import (
    Workload,
    length_mix,
    machine,
    print_machine,
    race,
    random_transcripts,
    read_arguments,
)
from transformers import ByT5Tokenizer, CanineTokenizer

from data_builders.records import Transcript
from modeling_isoclr import IsoCLRTokenizer

TRANSCRIPTS = 256
SECTION = "tokenizer"


def main() -> None:
    """Print a table of MB/s, a megabyte being a million nucleotides."""
    parser = argparse.ArgumentParser(description=__doc__)
    read_arguments(parser, lambda _, name: workload(CONFIGURATIONS[name]))
    print_machine(machine())
    lengths, source = length_mix(TRANSCRIPTS)
    print(f"{TRANSCRIPTS} transcripts, {sum(lengths):,} nt; lengths: {source}")
    for result in race(__file__, SECTION, list(CONFIGURATIONS)):
        rate = result["nt_per_second"] / 1e6
        print(f"{result['name']:44}{rate:10.2f} MB/s{result['ratio']:10.4f}")


def workload(tokenize: Callable[[Transcript], object]) -> Workload:
    """One transcript after the other."""
    lengths, _ = length_mix(TRANSCRIPTS)
    transcripts = random_transcripts(lengths)

    def run():
        for transcript in transcripts:
            tokenize(transcript)

    return Workload(run, sum(lengths))


def loop(transcript: Transcript) -> list[int]:
    """The bases of a sequence, as one first writes it."""
    base = {"A": 0, "C": 1, "G": 2, "T": 3, "N": 4}
    return [base[letter] for letter in transcript.sequence]


ours, canine, byt5 = IsoCLRTokenizer(), CanineTokenizer(), ByT5Tokenizer()
bare = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
CONFIGURATIONS = {
    "tokenize_transcript, sequence": lambda t: ours.tokenize_transcript(t.sequence),
    "tokenize_transcript, sequence, CDS and exons": lambda t: ours.tokenize_transcript(
        t.sequence, (t.cds_start, t.cds_end), t.exon_junctions
    ),
    "IsoCLRTokenizer(...), to lists": lambda t: ours(t.sequence),
    "Python loop and dict, to a list": loop,
    "CanineTokenizer(...), to lists": lambda t: canine(t.sequence, **bare),
    "ByT5Tokenizer(...), to lists": lambda t: byt5(t.sequence, **bare),
}

if __name__ == "__main__":
    main()
