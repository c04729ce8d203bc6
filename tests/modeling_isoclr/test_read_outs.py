"""What `sites_size` and `residue_pairs` read beside what is learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_builders.homology.alphabets import translate
from data_builders.records import Transcript
from isoclr.evaluation.features import CODONS, residue_pair_frequencies, site_features
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.codons_isoclr import CODE, RESIDUE_PAIRS
from modeling_isoclr.packing_isoclr import PackedShape, pack
from modeling_isoclr.pipeline_isoclr import embed_tokens
from modeling_isoclr.pooling_isoclr import _RowRegions
from modeling_isoclr.sites_isoclr import TYPICAL
from toys import tiny, trained_like

FIXED = 74  # layout and codon usage of the toy
SITES = 12
READ = SITES + RESIDUE_PAIRS


def toy(**changes):
    options = {"pooling": "regions", "layout_size": 10, "content_size": 6, "norm": "layer"}
    return tiny(**options | {"sites_size": SITES, "residue_pairs": True} | changes)


@pytest.fixture(scope="module")
def model():
    model = trained_like(IsoCLRModel(toy())).double()
    with torch.no_grad():
        model.pooling.sites.draw()
    return model


def transcript(sequence, cds=None, junctions=None):
    start, end = cds or (-1, -1)
    return Transcript(
        transcript_id="t",
        gene_id="g",
        species="human",
        sequence=sequence,
        cds_start=start,
        cds_end=end,
        exon_junctions=junctions,
    )


def random_transcripts():
    """Of many sites, with and without CDS, 3'UTR and junctions."""
    rng = np.random.default_rng(3)
    motifs = ["GGACT", "AAACA", "ATTTATTTA", "TGTAAATA", "TGTACATA", "GGAC", "C", "G", "N"]
    sequences = ["".join(rng.choice(motifs, 150 + 40 * k)) for k in range(6)]
    sizes = [len(sequence) for sequence in sequences]
    return [
        transcript(sequences[0], (90, 390), (1, 120, 350, 640)),
        transcript(sequences[1], (30, sizes[1] // 3 * 3), (400,)),
        transcript(sequences[2], None, (333,)),
        transcript(sequences[3], (60, 660)),
        transcript(sequences[4], (0, 300), (sizes[4] - 1,)),
        transcript(sequences[5]),
    ]


def tokens(record):
    cds = (record.cds_start, record.cds_end) if record.cds_start >= 0 else None
    row = IsoCLRTokenizer().tokenize_transcript(record.sequence, cds, record.exon_junctions)
    return torch.from_numpy(row)


def numbers(model, record):
    """As `site_features` gives them."""
    row = tokens(record)[None]
    tracks = model.embeddings(row).transpose(1, 2).unsqueeze(2)
    found = _RowRegions(tracks, torch.ones_like(tracks[:, :1], dtype=torch.bool)).site_numbers()
    mean, spread = np.array(TYPICAL).T
    return found[0].numpy() * spread + mean


def test_sites_are_counted_by_their_place(model):
    """GGACT counts from 101 nt after a junction on, and near the stop codon."""
    spacer = "C" * 100
    early = transcript(spacer[:-2] + "GGACT" + "C" * 500, (3, 9), (50,))
    assert np.expm1(numbers(model, early)[:6]).round().tolist() == [0, 0, 0, 1, 0, 0]
    late = transcript("C" * 50 + spacer[:-2] + "GGACT" + "C" * 500, (3, 9), (50,))
    assert np.expm1(numbers(model, late)[:6]).round().tolist() == [1, 0, 0, 1, 1, 1]
    far = transcript("C" * 50 + 4 * spacer + "GGACT", (3, 9), (50,))
    assert np.expm1(numbers(model, far)[:6]).round().tolist() == [1, 1, 1, 0, 0, 0]
    elements = transcript("ATTTA" + "C" * 91 + "ATTTATTTA" + "TGTAATATA" + "C" * 86, (96, 99))
    found = numbers(model, elements)
    assert np.expm1(found[6:8]).round().tolist() == [1, 0]
    assert found[8] == pytest.approx(100 / (101 + 100))


def test_numbers_equal_a_search_by_regular_expressions(model):
    known = known_transcripts()
    with torch.no_grad():
        found = np.stack([numbers(model, record) for record in known])
    np.testing.assert_allclose(found, site_features(known), atol=1e-5)
    assert (np.ptp(found, axis=0) > 0).all()


def known_transcripts():
    return [
        replace(record, sequence=record.sequence.replace("N", "T"))
        for record in random_transcripts()
    ]


def test_pairs_of_residues_are_counted_along_the_protein(model):
    assert translate("".join(CODONS)) == CODE
    known = known_transcripts()
    with torch.no_grad():
        rows = [model(tokens(record)[None]).pooler_output for record in known]
    found = torch.cat(rows)[:, FIXED + SITES : FIXED + READ].numpy()
    expected = 20 * np.sqrt(residue_pair_frequencies(known))
    np.testing.assert_allclose(found, expected, atol=3e-5)
    assert expected[0].any() and not expected[2].any()


def test_padding_and_packing_change_nothing(model):
    rows = [tokens(record) for record in random_transcripts()]
    with torch.no_grad():
        alone = torch.cat([model(row[None]).pooler_output for row in rows])
        batch = torch.full((len(rows), 40 + max(map(len, rows))), 7)
        for place, row in zip(batch, rows, strict=True):
            place[30 : 30 + len(row)] = row
        torch.testing.assert_close(model(batch).pooler_output, alone)
    values = [row.numpy().astype(np.uint8) for row in rows]
    shape = PackedShape.of(model.config, 4096, 1500)
    assert pack(np.array([len(row) for row in rows]), shape).batches < len(rows)
    packed = embed_tokens(model, values, tokens_per_batch=4096, packed=True)
    torch.testing.assert_close(torch.from_numpy(packed), alone.float())


def test_nothing_else_changes_and_a_model_without_them_loads_with_them(model, tmp_path):
    plain = IsoCLRModel(toy(sites_size=0, residue_pairs=False)).double().eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    row = tokens(random_transcripts()[0])[None]
    with torch.no_grad():
        without, found = plain(row).pooler_output, model(row).pooler_output
        learned = model(row, learned_only=True).pooler_output
    assert found.shape[1] == model.config.pooled_size == without.shape[1] + READ
    assert torch.equal(found[:, :FIXED], without[:, :FIXED])
    assert torch.equal(found[:, FIXED + READ :], without[:, FIXED:])
    assert torch.equal(learned, without[:, FIXED:])
    plain.save_pretrained(tmp_path)
    loaded = IsoCLRModel.from_pretrained(tmp_path, sites_size=SITES, residue_pairs=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(row).pooler_output, found)


@pytest.mark.parametrize(
    "columns", [slice(FIXED, FIXED + SITES), slice(FIXED + SITES, FIXED + READ)]
)
def test_gradients_reach_the_bases(model, columns):
    row = tokens(random_transcripts()[1])[None]
    inputs = model.embeddings(row).detach().requires_grad_()
    model(inputs_embeds=inputs).pooler_output[:, columns].sum().backward()
    assert (inputs.grad[..., :4] != 0).any() and inputs.grad.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sites_size": 8, "pooling": "last"}, "sites_size: got 8 with pooling='last'"),
        ({"sites_size": -1}, "sites_size: got -1"),
        ({"residue_pairs": True, "pooling": "last"}, "residue_pairs: got True with pooling='last'"),
        ({"residue_pairs": 1}, "residue_pairs: got 1, wanted true or false"),
    ],
)
def test_what_cannot_be_read_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        IsoCLRConfig(**{"pooling": "regions", **changes})
