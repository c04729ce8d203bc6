import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import load_dataset

from data_builders.records import InputError
from isoclr.objectives.isoforms.arrow_groups import ArrowGroups
from isoclr.objectives.isoforms.pairs import Masking, PairBatches
from isoclr.objectives.isoforms.sampling import PairSampler
from isoclr.objectives.isoforms.sources import MappedGroups
from modeling_isoclr import IsoCLRConfig, IsoCLRTokenizer
from modeling_isoclr.packing_isoclr import PackedShape

MASK, PAD = 5, 7


@pytest.fixture(scope="module")
def dataset(groups_folder):
    return load_dataset(str(groups_folder), split="train")


@pytest.fixture(scope="module")
def source(dataset):
    groups = ArrowGroups(dataset.data.table.to_batches(), IsoCLRTokenizer())
    options = {"batch_size": 4, "max_length": 12288, "held_out": 4, "seed": 3}
    return MappedGroups(groups, [len(dataset)], [1], **options)


def batches(source, sampler=None, **overrides):
    arguments = {
        "masking": Masking(fractions=(0.15, 0.15)),
        "shape": shape_of(source, 4096),
        "seed": 3,
    }
    return PairBatches(source, sampler or PairSampler(3), **{**arguments, **overrides})


def shape_of(source, micro_batch_tokens):
    return PackedShape.of(IsoCLRConfig.preset("small"), micro_batch_tokens, source.longest)


def parts(batch):
    """Views of every micro-batch, without what lies between them."""
    found, in_row = [], batch.n_segments
    in_batch = batch.tokens.shape[1] * in_row
    for number, (part, ids) in enumerate(zip(batch.tokens, batch.segment_ids, strict=True)):
        assert torch.equal(part == PAD, ids == 0)
        slots = batch.slots[batch.slots // in_batch == number] % in_batch
        places = [divmod(slot, in_row) for slot in slots.tolist()]
        found.append([part[row][ids[row] == number + 1].tolist() for row, number in places])
    return found


def views(*of_ranks):
    """Tokens of each view, in the order of the pairs, from the batches of all processes."""
    rows = [row for batch in of_ranks for part in parts(batch) for row in part]
    return [rows[i] for i in of_ranks[0].order]


def test_a_batch_holds_two_views_of_each_group(source, dataset):
    made = batches(source, masking=None, shape=shape_of(source, None))
    batch, tokenizer = made[0], IsoCLRTokenizer()
    rows = views(batch)
    pairs = len(batch.counts)
    for i, group in enumerate(source.locate(0).rows):
        row = dataset[int(group)]
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
        assert rows[i] in isoforms and rows[i + pairs] in isoforms
        assert batch.counts[i] == len(isoforms)
        assert made.records(0)[i].startswith(f"{row['group_id']}: ")
    assert batch.nucleotides == sum(map(len, rows))
    assert batch.encoded == batch.tokens.numel()


def test_micro_batches_change_nothing_but_the_cut(source):
    whole, cut = (batches(source, shape=shape_of(source, tokens))[1] for tokens in (None, 2048))
    assert len(whole.tokens) == 1 < len(cut.tokens)
    assert views(whole) == views(cut)


@pytest.mark.parametrize("micro_batch_tokens", [None, 2048, 4096])
@pytest.mark.parametrize("batch_size", [4, 9])
def test_a_run_has_few_shapes(dataset, micro_batch_tokens, batch_size):
    groups = ArrowGroups(dataset.data.table.to_batches(), IsoCLRTokenizer())
    options = {"batch_size": batch_size, "max_length": 12288, "held_out": 4, "seed": 3}
    source = MappedGroups(groups, [len(dataset)], [1], **options)
    made = batches(source, shape=shape_of(source, micro_batch_tokens))
    steps = [made[step] for step in range(2 * source.order.steps_per_epoch)]
    shapes = {batch.tokens.shape[1:] for batch in [*steps, made.held_out()]}
    assert len(shapes) <= (8 if micro_batch_tokens is None else 1)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_micro_batches_of_one(source, world_size):
    alone = batches(source, shape=shape_of(source, 2048))[2]
    ranks = [
        batches(source, shape=shape_of(source, 2048), rank=rank, world_size=world_size)[2]
        for rank in range(world_size)
    ]
    assert views(*ranks) == views(alone)
    shared = [(p, s) for r in ranks for p, s in zip(parts(r), r.seeds, strict=True)]
    assert sorted(shared) == sorted(zip(parts(alone), alone.seeds, strict=True))
    for rank, batch in enumerate(ranks):
        assert batch.views_of_rank[rank] == len(batch.slots)
        assert batch.views_of_rank == ranks[0].views_of_rank
        assert (batch.nucleotides, batch.encoded) == (alone.nucleotides, alone.encoded)


def test_every_process_has_something_to_encode(source):
    ranks = [
        batches(source, shape=shape_of(source, 1 << 20), rank=rank, world_size=8)[0]
        for rank in range(8)
    ]
    assert all(len(batch.tokens) for batch in ranks)
    alone = batches(source, shape=shape_of(source, 1 << 20))[0]
    assert len(alone.tokens) < 8 and views(*ranks) == views(alone)
    with pytest.raises(InputError, match="a view or more for each of 99 processes"):
        batches(source, world_size=99)[0]


def test_without_a_budget_every_process_has_one_part_of_like_size(source):
    ranks = [
        batches(source, shape=shape_of(source, None), rank=rank, world_size=2)[0] for rank in (0, 1)
    ]
    assert [len(batch.tokens) for batch in ranks] == [1, 1]
    assert views(*ranks) == views(batches(source, shape=shape_of(source, None))[0])


def test_masks_hide_the_stated_fraction_and_differ_between_epochs(source):
    made, plain = batches(source), batches(source, masking=None)
    per_epoch = source.order.steps_per_epoch
    everything = [views(made[step]) for step in range(per_epoch)]
    tokens = torch.tensor([t for rows in everything for row in rows for t in row])
    assert (tokens == MASK).float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert views(made[0]) != views(made[per_epoch])
    for hidden, shown in zip(everything[2], views(plain[2]), strict=True):
        hidden, shown = torch.tensor(hidden), torch.tensor(shown)
        assert torch.equal(hidden[hidden != MASK], shown[hidden != MASK])


def test_two_fractions_bound_each_views_own(source):
    made = batches(source, masking=Masking(fractions=(0.1, 0.4)))
    rows = [np.array(row) for step in range(6) for row in views(made[step])]
    fractions = [(row == MASK).mean() for row in rows if len(row) > 500]
    assert min(fractions) > 0.05 and max(fractions) < 0.45
    assert np.ptp(fractions) > 0.15


def test_marks_are_hidden_on_their_own_when_asked(source):
    plain = batches(source, masking=None)
    made = batches(source, masking=Masking(fractions=(0.15, 0.15), mark_fraction=0.3))
    counts = np.zeros((2, 2))
    for step in range(source.order.steps_per_epoch):
        for hidden, shown in zip(views(made[step]), views(plain[step]), strict=True):
            hidden, shown = np.array(hidden), np.array(shown)
            for i, mark in enumerate((8, 16)):
                assert not ((hidden & mark) & ~(shown & mark)).any()
                counts[i] += (hidden & mark).astype(bool).sum(), (shown & mark).astype(bool).sum()
            chosen = (hidden & 7) == MASK
            assert np.array_equal((hidden & 7)[~chosen], (shown & 7)[~chosen])
    assert counts[:, 0] / counts[:, 1] == pytest.approx([0.7, 0.7], abs=0.1)


def test_labels_are_the_hidden_bases_and_nothing_else(source):
    plain = batches(source, masking=None)[1].to("cpu")
    batch = batches(source, masking=Masking(fractions=(0.15, 0.15), labels=True))[1].to("cpu")
    labels, known = batch.labels, (plain.tokens & 7) < 4
    assert torch.equal(labels != -100, (batch.tokens == MASK) & known)
    assert torch.equal(labels[labels != -100], (plain.tokens & 7)[labels != -100].long())
    assert batches(source)[1].labels is None


def test_masks_and_pairs_do_not_depend_on_the_cut_or_the_step_before(source):
    fresh = views(batches(source)[5])
    used = batches(source, shape=shape_of(source, 1024))
    for step in (0, 9, 5):
        again = views(used[step])
    assert again == fresh


def test_held_out_pairs_are_two_transcripts_unmasked_and_always_the_same(source):
    made = batches(
        source, rank=1, world_size=2, masking=Masking(fractions=(0.15, 0.15), labels=True)
    )
    batch = made.held_out()
    assert views(batch) == views(made.held_out())
    rows = views(batch)
    assert len(rows) == 8 and not any(MASK in row for row in rows)
    assert batch.views_of_rank == [8] and batch.labels is None
    trained = {int(row) for step in range(40) for row in source.locate(step).rows}
    assert not trained & set(source.held_out().rows.tolist())


def test_a_grafted_view_is_as_long_as_was_planned(source, dataset):
    """Partners known by their CDS alone come between the UTRs of the first."""
    whole, cds = "CC" + "ATGAAATAA" + "GGGG", "ATGCCCCCCTAA"
    values = {"sequence": [whole, cds], "cds_start": [2, 0], "cds_end": [11, 12]}
    values |= {"transcript_id": ["a", "b"], "gene_id": ["a", "b"], "species": ["x", "y"]}
    row = {"group_id": ["g"], "exon_junctions": [[[4], None]]}
    row |= {name: [value] for name, value in values.items()}
    batch = pa.RecordBatch.from_pydict(row, schema=dataset.data.table.schema)
    groups = ArrowGroups([batch, batch], IsoCLRTokenizer())
    options = {"batch_size": 2, "max_length": 100, "held_out": 0, "seed": 0}
    grafting = MappedGroups(groups, [2], [1], **options)
    made = batches(grafting, PairSampler(0, graft=True, max_length=100), masking=None)
    rows = views(made[0])
    letters = ["".join("ACGTN"[t & 7] for t in row) for row in rows]
    assert letters == [whole, whole, "CC" + cds + "GGGG", "CC" + cds + "GGGG"]
    assert made[0].nucleotides == sum(map(len, rows))
