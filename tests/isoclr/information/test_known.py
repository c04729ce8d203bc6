"""The table of known channels, small: reproduced, saved, and fair to other critics."""

import json

import numpy as np
import pytest

from data_builders.records import InputError
from data_builders.simulate.homologs import Channel, substitution_model
from isoclr.information.known import PUBLISHED, Table, known_table, measure, off_by


@pytest.fixture(scope="module")
def table():
    return Table("jc69", 20, list(known_table(batch_sizes=(16, 64, 256), batches=20)))


def test_the_published_table_is_reproduced(table):
    assert len(table.cells) == 3 * len(PUBLISHED)
    for cell in table.cells:
        assert abs(off_by(cell)) < 3, (cell.sites, cell.distance, cell.batch_size)
        assert cell.bounds["optimal"].info_nce.mean <= cell.log_n + 1e-9
        assert cell.efficiency("optimal") == 1


def test_a_permuted_control_stands_beside_every_bound(table):
    for cell in table.cells:
        control = cell.bounds["optimal"].permuted
        assert control.mean < 3 * control.standard_error


def test_only_what_is_3_nats_below_log_n_is_trusted(table):
    trusted = {(cell.sites, cell.distance, cell.batch_size) for cell in table.cells if cell.trusted}
    assert trusted == {(20, 1.0, 256), (100, 2.0, 64), (100, 2.0, 256)}
    assert table.table().count("(near log N)") == len(table.cells) - len(trusted)


def test_the_table_is_saved_with_its_figure(table, tmp_path):
    table.save(tmp_path)
    saved = json.loads((tmp_path / "information.json").read_text())
    assert saved["cells"][0]["bounds"]["optimal"]["info_nce"]["mean"] > 0
    assert (tmp_path / "information.txt").read_text() == table.table() + "\n"
    assert (tmp_path / "information.png").read_bytes().startswith(b"\x89PNG")


def test_a_worse_critic_is_seen_on_the_same_pairs():
    channel = Channel(substitution_model("jc69"), 1.0, np.ones(20))
    half = Channel(channel.model, 1.0, np.ones(10))
    critics = {
        "optimal": channel.scores,
        "half of the sites": lambda x, y: half.scores(x[:, :10], y[:, :10]),
        "constant": lambda x, y: np.zeros((len(x), len(y))),
    }
    found = measure(channel, critics, 64, batches=20)
    best, worse = found["optimal"].info_nce, found["half of the sites"].info_nce
    assert worse.mean + 3 * worse.standard_error < best.mean
    assert found["constant"].info_nce.mean == 0
    assert abs(found["constant"].nwj.mean) < 1e-6


def test_a_batch_of_one_has_no_negatives():
    channel = Channel(substitution_model("jc69"), 1.0, np.ones(5))
    with pytest.raises(InputError, match="batch size: got 1"):
        measure(channel, {"optimal": channel.scores}, 1)
