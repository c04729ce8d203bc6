from collections import Counter

import numpy as np
import pytest

from data_builders.records import InputError
from isoclr.training.order import EpochOrder, keyed_hash, permute


def test_the_hash_is_that_of_splitmix64():
    # The first outputs of SplitMix64 seeded with 0, as its authors publish them.
    assert keyed_hash(0)[0] == 0xE220A8397B1DCDAF
    assert keyed_hash(0x9E3779B97F4A7C15)[0] == 0x6E789E6AA1B965F4


def test_a_hash_depends_on_every_part_and_on_their_order():
    hashes = {int(keyed_hash(*key)[0]) for key in [(1, 2), (2, 1), (1,), (1, 2, 0), (-1, 2)]}
    assert len(hashes) == 5
    assert keyed_hash(3, np.arange(4)).tolist() == [int(keyed_hash(3, i)[0]) for i in range(4)]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 255, 1000])
def test_every_entry_comes_once(n):
    order = permute(np.arange(n), n, 7, 1)
    assert sorted(order) == list(range(n))
    assert [int(permute(np.array(i), n, 7, 1)) for i in range(n)] == order.tolist()


def test_keys_choose_the_permutation():
    orders = {tuple(permute(np.arange(50), 50, *key)) for key in [(1,), (2,), (1, 0), (0, 1)]}
    assert len(orders) == 4


def test_all_permutations_of_four_are_about_as_frequent():
    counts = Counter(tuple(permute(np.arange(4), 4, key)) for key in range(4800))
    assert len(counts) == 24
    # Chi-square of 23 degrees of freedom; 49.7 is its 0.999 quantile.
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 49.7


def epoch(order, number):
    """What each dataset gives in an epoch, as positions of its stream."""
    steps = range(number * order.steps_per_epoch, (number + 1) * order.steps_per_epoch)
    return [np.concatenate(parts) for parts in zip(*map(order.positions, steps), strict=True)]


@pytest.mark.parametrize(("groups", "batch_size"), [(10, 3), (9, 3), (7, 3), (5, 2), (100, 64)])
def test_each_group_comes_once_an_epoch_in_even_steps(groups, batch_size):
    order = EpochOrder([groups], [1], batch_size)
    sizes = [len(order.positions(step)[0]) for step in range(order.steps_per_epoch)]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 2
    assert max(sizes) <= batch_size or groups % 2
    for number in (0, 1, 5):
        assert epoch(order, number)[0].tolist() == list(
            range(number * groups, (number + 1) * groups)
        )


def test_weights_are_visits_an_epoch_and_every_step_holds_all_datasets():
    order = EpochOrder([100, 60], [0.5, 2], 17)
    first, second = epoch(order, 3)
    assert first.tolist() == list(range(150, 200))  # the other half of pass 1
    assert second.tolist() == list(range(360, 480))  # passes 6 and 7
    for step in range(order.steps_per_epoch):
        few, many = order.positions(step)
        assert len(few) == pytest.approx(5, abs=1) and len(many) == pytest.approx(12, abs=1)


def test_one_group_is_no_epoch():
    with pytest.raises(InputError, match="got 1 group an epoch, wanted two or more"):
        EpochOrder([1], [1], 8)
