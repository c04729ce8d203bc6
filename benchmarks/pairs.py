"""Speed of making batches of pairs: groups to micro-batches of tokens, on one core.

Every configuration draws the same pairs, tokenizes both views and pads them into micro-batches
sorted by length; nothing is masked. Files are in the page cache.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from datasets import load_dataset
from measure import (
    Workload,
    length_mix,
    machine,
    print_machine,
    race,
    random_transcripts,
    read_arguments,
)

from data_builders.groups.parquet import write_groups
from data_builders.records import IsoformGroup, Transcript
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.sampling import Pairs, PairSampler
from isoclr.objectives.isoforms.token_cache import (
    TokenCache,
    build_token_cache,
    open_token_cache,
)
from modeling_isoclr import IsoCLRTokenizer
from modeling_isoclr.tokenization_isoclr import cut_by_tokens, pad_tokens

TRANSCRIPTS = 20_000
GROUPS_A_BATCH = 768
MICRO_BATCH_TOKENS = 1 << 18
SECTION = "pairs"
_ONE_TRANSCRIPT = 0.64  # of groups; with a geometric tail, 1.57 a group as in nine annotations


def main() -> None:
    """Print a table of groups, transcripts and megabytes (of nucleotides) a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        read_arguments(parser, lambda _, name: workload(name, Path(folder)))
    print_machine(machine())
    lengths, source = length_mix(TRANSCRIPTS)
    print(f"{TRANSCRIPTS} transcripts, {sum(lengths):,} nt; lengths: {source}")
    print(f"{'':44}{'groups/s':>12}{'transcripts/s':>15}{'MB/s':>9}{'ratio':>9}")
    for result in race(__file__, SECTION, list(CONFIGURATIONS)):
        groups = result["groups"] / min(result["seconds"])
        rate = result["nt_per_second"] / 1e6
        print(f"{result['name']:44}{groups:12,.0f}{2 * groups:15,.0f}{rate:9.1f}", end="")
        print(f"{result['ratio']:9.2f}")


def workload(name: str, folder: Path) -> Workload:
    """One epoch: a pair of every group."""
    groups = list(grouped(random_transcripts(length_mix(TRANSCRIPTS)[0])))
    write_groups(groups, folder / "groups")
    batches = CONFIGURATIONS[name](folder)

    def run():
        for views in batches():
            collate(views)

    nucleotides = sum(len(view) for views in batches() for view in views)
    return Workload(run, nucleotides, {"groups": len(groups)})


def grouped(transcripts: list[Transcript]) -> Iterator[IsoformGroup]:
    """Transcripts dealt out to groups, of one species and gene each."""
    rng, start = np.random.default_rng(0), 0
    while start < len(transcripts):
        end = start + int(rng.geometric(_ONE_TRANSCRIPT))
        yield IsoformGroup(f"g{start}", tuple(transcripts[start:end]))
        start = end


def collate(views: list[np.ndarray]) -> list[np.ndarray]:
    """Micro-batches of (rows, padded length)."""
    lengths = np.array([len(view) for view in views])
    parts = cut_by_tokens(lengths, MICRO_BATCH_TOKENS)
    return [pad_tokens([views[row] for row in part]) for part in parts]


def rows(folder: Path, streaming: bool):
    """As one first writes it: a row of Python objects for every group, its pair tokenized."""
    data = load_groups(folder, streaming)
    members = cached(folder).members

    def views_of(batch: list[dict], first: int) -> list[np.ndarray]:
        groups = np.arange(first, first + len(batch))
        pairs = SAMPLER.draw(members, groups, 0)
        return [
            tokenize(row, transcript - start)
            for drawn in (pairs.first, pairs.second)
            for row, transcript, start in zip(batch, drawn, members.offsets[groups], strict=True)
        ]

    def batches():
        in_order: Iterable[dict] = data if streaming else (data[i] for i in range(len(data)))
        batch, first = [], 0
        for row in in_order:
            batch.append(row)
            if len(batch) == GROUPS_A_BATCH:
                yield views_of(batch, first)
                batch, first = [], first + GROUPS_A_BATCH
        if batch:
            yield views_of(batch, first)

    return batches


def tokenize(row: dict, member: int) -> np.ndarray:
    """Tokens of one member of a row."""
    cds = row["cds_start"][member], row["cds_end"][member]
    return TOKENIZER.tokenize_transcript(
        row["sequence"][member], cds, row["exon_junctions"][member]
    )


def arrow_batches(folder: Path):
    """Streamed from Parquet, a table at a time."""
    data = load_groups(folder, streaming=True).with_format("arrow")

    def batches():
        first = 0
        for table in data.iter(batch_size=GROUPS_A_BATCH):
            made = ArrowGroups(table.combine_chunks().to_batches(), TOKENIZER)
            tokens, groups = made.all_tokens(), np.arange(len(table))
            pairs = SAMPLER.draw(made.members, groups, 0, keys=first + groups)
            yield [tokens[t] for t in np.concatenate([pairs.first, pairs.second]).tolist()]
            first += len(table)

    return batches


def token_cache(folder: Path):
    """Groups in random order, from a mapped cache."""
    cache = cached(folder)
    order = np.random.default_rng(0).permutation(len(cache.members))

    def batches():
        for start in range(0, len(order), GROUPS_A_BATCH):
            groups = order[start : start + GROUPS_A_BATCH]
            yield views(cache, SAMPLER.draw(cache.members, groups, 0))

    return batches


def views(groups: ArrowGroups | TokenCache, pairs: Pairs) -> list[np.ndarray]:
    """Tokens of the first transcript of every pair, then of the second."""
    return [groups.tokens(t) for t in np.concatenate([pairs.first, pairs.second]).tolist()]


def load_groups(folder: Path, streaming: bool):
    """The groups of a folder as `datasets` has them."""
    return load_dataset(
        str(folder / "groups"), split="train", streaming=streaming, cache_dir=str(folder / "hf")
    )


def cached(folder: Path):
    """The groups of a folder in a token cache."""
    build_token_cache(folder / "groups", folder / "cache", TOKENIZER)
    return open_token_cache(folder / "groups", folder / "cache", TOKENIZER)


TOKENIZER, SAMPLER = IsoCLRTokenizer(), PairSampler(seed=0)
CONFIGURATIONS = {
    "dataset[i], tokenize_transcript": lambda folder: rows(folder, streaming=False),
    "streaming, by row, tokenize_transcript": lambda folder: rows(folder, streaming=True),
    "streaming, by Arrow table": arrow_batches,
    "token cache, random order": token_cache,
}

if __name__ == "__main__":
    main()
