from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset, load_dataset

from data_builders.records import InputError
from isoclr.training.pairs import PairBatches, draw_pair, index_groups
from modeling_isoclr import IsoCLRTokenizer

MASK, PAD = 5, 7


@pytest.fixture(scope="module")
def groups(groups_folder):
    return load_dataset(str(groups_folder), split="train")


def batches(groups, held_out=4, **overrides):
    arguments = {"batch_size": 4, "mask_fraction": 0.15, "micro_batch_tokens": 4096, "seed": 3}
    index = index_groups(groups, 12288, held_out, seed=3)
    return PairBatches(groups, index, IsoCLRTokenizer(), **{**arguments, **overrides})


def views(batch):
    """Tokens of each view without padding, in the order of the pairs."""
    rows = [row[row != PAD] for part in batch.micro_batches for row in part]
    return [rows[i].tolist() for i in batch.order]


def test_pairs_are_uniform_and_differ_when_they_can():
    rng = np.random.default_rng(0)
    drawn = Counter(draw_pair(3, rng) for _ in range(6000))
    assert set(drawn) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert all(850 < n < 1150 for n in drawn.values())
    assert draw_pair(1, rng) == (0, 0)


def test_a_batch_holds_two_unmasked_views_of_each_group(groups):
    made = batches(groups, mask_fraction=0.0, micro_batch_tokens=None)
    batch = made[0]
    order = np.random.default_rng((3, 0)).permutation(made.index.train)[:4]
    tokenizer = IsoCLRTokenizer()
    rows = views(batch)
    for i, group in enumerate(order):
        row = groups[int(group)]
        isoforms = [
            tokenizer.tokenize_transcript(sequence, (start, end), junctions).tolist()
            for sequence, start, end, junctions in zip(
                row["sequence"],
                row["cds_start"],
                row["cds_end"],
                row["exon_junctions"],
                strict=True,
            )
        ]
        assert rows[i] in isoforms and rows[i + 4] in isoforms
        assert batch.counts[i] == len(isoforms)
    assert batch.nucleotides == sum(map(len, rows))


def test_micro_batches_change_nothing_but_the_cut(groups):
    whole, cut = (batches(groups, micro_batch_tokens=tokens)[1] for tokens in (None, 2048))
    assert len(whole.micro_batches) == 1 < len(cut.micro_batches)
    assert views(whole) == views(cut)
    assert cut.padding < whole.padding
    assert all(part.numel() <= 2048 for part in cut.micro_batches)


def test_masks_hide_the_stated_fraction_and_differ_between_epochs(groups):
    made = batches(groups)
    tokens = torch.tensor(sum(views(made[0]), []))
    assert (tokens == MASK).float().mean().item() == pytest.approx(0.15, abs=0.02)
    plain = batches(groups, mask_fraction=0.0)
    assert views(made[0]) != views(made[made.steps_per_epoch])
    hidden, shown = (torch.tensor(sum(views(m[2]), [])) for m in (made, plain))
    assert torch.equal(hidden[hidden != MASK], shown[hidden != MASK])


def test_every_epoch_has_each_group_at_most_once_and_never_a_held_out_one(groups):
    made = batches(groups, mask_fraction=0.0)
    group_of = {}
    for number, row in enumerate(groups):
        for sequence in row["sequence"]:
            group_of[tuple(IsoCLRTokenizer().tokenize_transcript(sequence))] = number
    orders = []
    for epoch in range(3):
        seen = []
        for step in range(epoch * made.steps_per_epoch, (epoch + 1) * made.steps_per_epoch):
            bases = [tuple(token & 7 for token in row) for row in views(made[step])]
            first, second = ([group_of[row] for row in half] for half in (bases[:4], bases[4:]))
            assert first == second
            seen += first
        assert len(seen) == len(set(seen)) == len(made.index.train) // 4 * 4
        assert not set(seen) & set(made.index.held_out)
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_any_number_of_processes_sees_the_same_pairs(groups, world_size):
    together = views(batches(groups)[5])
    parts = [batches(groups, rank=r, world_size=world_size)[5] for r in range(world_size)]
    pairs = [
        (rows[i], rows[i + len(rows) // 2])
        for rows in map(views, parts)
        for i in range(len(rows) // 2)
    ]
    assert sorted(pairs) == sorted(zip(together[:4], together[4:], strict=True))


def test_held_out_pairs_are_the_same_at_every_call(groups):
    made = batches(groups)
    first, second = views(made.held_out()), views(made.held_out())
    assert first == second
    assert not any(MASK in row for row in first)
    assert all(a != b for a, b in zip(first[:4], first[4:], strict=True))


def rows(*sequences):
    return Dataset.from_list(
        [
            {
                "group_id": f"g{i}",
                "transcript_id": [f"g{i}t{j}" for j in range(len(group))],
                "sequence": list(group),
                "cds_start": [-1] * len(group),
                "cds_end": [-1] * len(group),
                "exon_junctions": [None] * len(group),
            }
            for i, group in enumerate(sequences)
        ]
    )


def test_long_transcripts_are_left_out_and_counted():
    index = index_groups(rows(["A" * 5, "A" * 20], ["C" * 30], ["G"]), 10, 0, seed=0)
    assert index.train.tolist() == [0, 2]
    assert [eligible.tolist() for eligible in index.short_enough] == [[0], [], [0]]
    assert index.left_out == {"transcripts over 10 nt": 2, "groups with no transcript left": 1}


def test_nothing_left_is_an_error():
    with pytest.raises(InputError, match="at most 3 nt"):
        index_groups(rows(["ACGT"]), 3, 0, seed=0)


def test_a_batch_that_does_not_fit_is_an_error(groups):
    with pytest.raises(InputError, match="batch_size: got 999, wanted at most 20"):
        batches(groups, batch_size=999)
    with pytest.raises(InputError, match="batch_size: got 4, wanted a multiple of 3"):
        batches(groups, world_size=3)
