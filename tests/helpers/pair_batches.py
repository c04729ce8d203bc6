"""Batches of random views for tests of what encodes them."""

import torch

from isoclr.objectives.isoforms.pairs import PairBatch
from toys import PAD, padded, random_tokens


def pair_batch(lengths, parts, rank=0, world_size=1, labels=False):
    """The part of one process of a batch of random views, each in a row of its own.

    Args:
        lengths: nt of each view, the first views of all pairs, then the second.
        parts: views of each micro-batch of the whole batch.
        rank: the process.
        world_size: processes, which take micro-batches in turn.
        labels: predict every fifth kind of token.
    """
    views, longest = random_tokens(*lengths), -(-max(lengths) // 32) * 32
    dealt = [parts[r::world_size] for r in range(world_size)]
    rows = max(map(len, parts))
    tokens = torch.full((len(dealt[rank]), rows, longest), PAD, dtype=torch.uint8)
    for number, part in enumerate(dealt[rank]):
        tokens[number, : len(part)] = padded([views[i] for i in part], longest)
    slots = [n * rows + i for n, part in enumerate(dealt[rank]) for i in range(len(part))]
    by_rank = [i for mine in dealt for part in mine for i in part]
    pairs = len(lengths) // 2
    return PairBatch(
        tokens=tokens,
        segment_ids=(tokens != PAD).to(torch.uint8),
        n_segments=1,
        labels=torch.where(tokens % 5 == 0, tokens.long() % 8, -100) if labels else None,
        seeds=[100 + parts.index(part) for part in dealt[rank]],
        slots=torch.tensor(slots),
        views_of_rank=[sum(map(len, mine)) for mine in dealt],
        order=torch.tensor(by_rank).argsort(),
        counts=torch.ones(pairs, dtype=torch.long),
        types=torch.zeros(pairs, dtype=torch.long),
        nucleotides=sum(lengths),
        encoded=len(parts) * rows * longest,
    )
