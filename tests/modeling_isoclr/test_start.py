"""What `start_window` reads: the end of the 5'UTR by distance from the start codon."""

from itertools import product

import numpy as np
import pytest
import torch

from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.packing_isoclr import PackedShape, pack
from modeling_isoclr.pipeline_isoclr import embed_tokens
from toys import random_tokens, tiny, trained_like

WINDOW = 48
WORDS = ["".join(word) for word in product("ACGT", repeat=3)]
UTR = "GGGAGATGCCACTAAGGCATTGACCGTTACGATCCAAGGTTCTGCATGACCAGTAGGCATCC"
CDS = "ATGGCCTAA"
FIXED = 74  # layout and codon usage of the toy


def toy(**changes):
    options = {"pooling": "regions", "layout_size": 10, "content_size": 6, "norm": "layer"}
    options |= {"stem_kernel_size": 5, "stem_filters": 8, "start_window": WINDOW}
    return tiny(**options | changes)


@pytest.fixture(scope="module")
def model():
    return trained_like(IsoCLRModel(toy())).double()


def tokens(sequence, cds=None):
    return torch.from_numpy(IsoCLRTokenizer().tokenize_transcript(sequence, cds, None))


def start_part(model, pooled):
    return pooled[..., FIXED : FIXED + model.config.start_size]


def words_of(utr):
    """Counts of 3-mers of the last nucleotides by frame: an in-frame ATG is in the first row."""
    counts = np.zeros((3, 64))
    for first in range(max(len(utr) - WINDOW, 0), len(utr) - 2):
        counts[(len(utr) - first) % 3, WORDS.index(utr[first : first + 3])] += 1
    return counts


@pytest.mark.parametrize("cds", [True, False])
@pytest.mark.parametrize("length", [62, 48, 20, 2, 0])
def test_columns_equal_a_loop_over_distances(model, length, cds):
    utr = UTR[len(UTR) - length :]
    if not (utr or cds):
        return  # an empty transcript is none
    row = tokens(utr + CDS, (length, length + len(CDS))) if cds else tokens(utr)
    with torch.no_grad():
        found = start_part(model, model(row[None]).pooler_output)[0]
        tracks = model.embeddings(row[None]).transpose(1, 2).unsqueeze(2)
        stem = model.encoder.stem_norm(model.encoder.stem(tracks)).relu()[0, :, 0]
    counts = words_of(utr)
    torch.testing.assert_close(found[:192], torch.from_numpy(counts.ravel()))
    assert torch.equal(found[192:384], torch.from_numpy((counts > 0).ravel()).double())
    near = {d: stem[:, length - d] for d in range(1, WINDOW + 1) if d <= length}
    zero = torch.zeros(8, dtype=torch.float64)
    frames = [sum((near[d] for d in near if d % 3 == f), zero) / 16 for f in range(3)]
    edges = (0, 6, 12, 24, 48)
    bands = [
        sum((near[d] for d in near if low < d <= high), zero) / (high - low)
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    torch.testing.assert_close(found[384:], torch.cat(frames + bands))


def test_an_upstream_start_is_told_apart_by_its_frame(model):
    for gap, frame in ((6, 0), (7, 1), (8, 2)):
        utr = "C" * 20 + "ATG" + "C" * (gap - 3)
        row = tokens(utr + CDS, (len(utr), len(utr) + len(CDS)))
        with torch.no_grad():
            found = start_part(model, model(row[None]).pooler_output)[0, 192:384].view(3, 64)
        assert found[:, WORDS.index("ATG")].tolist() == [float(f == frame) for f in range(3)]


def test_padding_and_packing_change_nothing(model):
    rows = random_tokens(100, 37, 250, 5, seed=3)
    for row in rows[::2]:
        row[: len(row) // 3] &= ~8  # a 5'UTR
    rows[1] &= ~8  # no CDS
    with torch.no_grad():
        alone = torch.cat([model(row[None]).pooler_output for row in rows])
        for left in (0, 30):
            batch = torch.full((4, 290), 7)
            for place, row in zip(batch, rows, strict=True):
                place[left : left + len(row)] = row
            torch.testing.assert_close(model(batch).pooler_output, alone)
    values = [row.numpy().astype(np.uint8) for row in rows]
    shape = PackedShape.of(model.config, 1024, 250)
    assert pack(np.array([len(row) for row in rows]), shape).batches < len(rows)
    packed = embed_tokens(model, values, tokens_per_batch=1024, packed=True)
    torch.testing.assert_close(torch.from_numpy(packed), alone.float())


def test_nothing_else_changes_and_no_weight_is_new(model, tmp_path):
    plain = IsoCLRModel(toy(start_window=0)).double().eval()
    plain.load_state_dict(model.state_dict())
    (row,) = random_tokens(120)
    with torch.no_grad():
        without, found = plain(row[None]).pooler_output, model(row[None]).pooler_output
        learned = model(row[None], learned_only=True).pooler_output
    assert found.shape[1] == model.config.pooled_size == without.shape[1] + 384 + 7 * 8
    assert torch.equal(found[:, :FIXED], without[:, :FIXED])
    assert torch.equal(found[:, FIXED + model.config.start_size :], without[:, FIXED:])
    assert torch.equal(learned, without[:, FIXED:])
    plain.save_pretrained(tmp_path)
    loaded = IsoCLRModel.from_pretrained(tmp_path, start_window=WINDOW).eval()
    with torch.no_grad():
        assert torch.equal(loaded(row[None]).pooler_output, found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_window": 50}, "start_window: got 50, wanted a multiple of 24"),
        ({"start_window": -24}, "start_window: got -24"),
        ({"start_window": 24, "pooling": "last"}, "start_window: got 24 with pooling='last'"),
    ],
)
def test_a_window_that_cannot_be_read_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        IsoCLRConfig(**{"pooling": "regions", **changes})
