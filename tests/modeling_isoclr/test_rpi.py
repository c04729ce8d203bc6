"""Models of RNA–protein interaction: counts, gradients, padding, folders, remote code."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, EsmConfig, EsmModel

from isoclr.model_folder import write_model_folder
from modeling_isoclr import (
    IsoCLRModel,
    IsoCLRTokenizer,
    RPIConfig,
    RPIForSequenceClassification,
    RPIModel,
    RPIProcessor,
)
from modeling_isoclr.configuration_rpi import KMER_SIZES
from modeling_isoclr.embedders_rpi import (
    batches_of_like_length,
    encoder_place,
    make_embedder,
)
from toys import tiny

PROTEIN_LAYER = 538_900
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
PAIRS = {"rna": ["ACGUACGUNN", "GGCAU"], "protein": ["MKVLAWX", "ACDEFGHIKLMNP"]}
DESIGNS = {
    "attention": {"num_attention_heads": 2},
    "two layers": {"num_hidden_layers": 2, "kernel_size": 3, "rna_stride": 2},
    "windows": {"long": "windows", "max_positions": 3},
    "towers": {"design": "towers", "kernel_size": 3, "motifs": 6, "protein_stride": 2},
}


def made(cls=RPIForSequenceClassification, seed=0, **keys):
    torch.manual_seed(seed)
    return cls(RPIConfig(**{"hidden_size": 8, "intermediate_size": 5} | keys)).eval()


def inputs_of(model, pairs=PAIRS):
    return RPIProcessor.of(model.config)(**pairs, return_tensors="pt")


@pytest.fixture(scope="module")
def paper():
    torch.manual_seed(0)
    return RPIForSequenceClassification(RPIConfig.paper(dropout=0.0, max_positions=6))


def without_gradient(model, **inputs):
    model.zero_grad()
    model(**inputs, labels=torch.tensor([1, 0])).loss.backward()
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_published_model_has_its_parameters_and_its_dead_branch(paper):
    assert sum(p.numel() for p in paper.parameters()) == 1_447_721
    layer = paper.rpi.protein_layers[0]
    assert sum(p.numel() for p in layer.parameters()) == PROTEIN_LAYER
    rna, protein = torch.randn(2, 6, 640), torch.randn(2, 5, 640)
    paper.zero_grad()
    paper(rna, protein, labels=torch.tensor([1, 0])).loss.backward()
    without = {name: p.numel() for name, p in paper.named_parameters() if p.grad is None}
    assert sum(n for name, n in without.items() if "protein_layers" in name) == PROTEIN_LAYER
    assert {name for name in without if "protein_layers" not in name} == {
        "rpi.norm.weight",
        "rpi.norm.bias",
    }
    assert not any("rna_layers" in name for name in without)


def test_published_it_attends_padding_and_ignores_masks(paper):
    rna, protein = torch.randn(2, 6, 640), torch.randn(2, 5, 640)
    rna[:, 4:] = 0
    mask = torch.ones(2, 6)
    mask[:, 4:] = 0
    with torch.no_grad():
        masked = paper.eval()(rna, protein, rna_mask=mask).logits
        assert torch.equal(masked, paper(rna, protein).logits)
        assert not torch.allclose(masked, paper(rna[:, :4], protein).logits)


def test_repaired_it_has_the_same_parameters_and_all_learn():
    torch.manual_seed(0)
    size = {"kind": "precomputed", "size": 640}
    model = RPIForSequenceClassification(RPIConfig(rna_embedder=size, protein_embedder=size))
    assert sum(p.numel() for p in model.parameters()) == 1_447_721
    rna, protein = torch.randn(2, 6, 640), torch.randn(2, 5, 640)
    model.eval()(rna, protein, labels=torch.tensor([1, 0])).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_one_layer_is_that_of_pytorchs_attention():
    """Self-attention, cross-attention to the other's input, narrow network: as published."""
    model = made(RPIModel, readout="first", dropout=0.0, hidden_size=8).double()
    layer, x, other = model.rna_layers[0], torch.randn(2, 5, 8).double(), torch.randn(2, 4, 8)
    other = other.double()

    def theirs(attention, query, key):
        oracle = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
        parts = attention.query, attention.key, attention.value
        with torch.no_grad():
            oracle.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
            oracle.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            oracle.out_proj.load_state_dict(attention.out.state_dict())
        return oracle(query, key, key)[0]

    y = layer.self_norm(x)
    y = x + theirs(layer.self_attention, y, y)
    y = y + theirs(layer.cross_attention, layer.cross_norm(y), layer.other_norm(other))
    y = y + layer.linear2(layer.linear1(layer.norm(y)).relu())
    for weights in (False, True):
        torch.testing.assert_close(layer(x, other, weights=weights)[0], y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("keys", DESIGNS.values(), ids=DESIGNS)
def test_both_molecules_count_and_both_branches_learn(keys):
    model = made(**keys)
    inputs = inputs_of(model)
    with torch.no_grad():
        logits = model(**inputs).logits
        assert logits.shape == (2, 1)
        for molecule in ("rna", "protein"):
            swapped = PAIRS | {molecule: PAIRS[molecule][::-1]}
            assert not torch.allclose(model(**inputs_of(model, swapped)).logits, logits)
    names = without_gradient(model, **inputs)
    assert all(name.endswith("key.bias") for name in names), names  # no softmax sees these
    for molecule in ("rna", "protein"):
        gradient = model.rpi.get_parameter(f"{molecule}_motifs.linear.weight").grad
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("keys", DESIGNS.values(), ids=DESIGNS)
def test_padding_is_never_seen(keys):
    model = made(**keys).double()
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs_of(model).items()}
    with torch.no_grad():
        together = model(**inputs).logits
        for row in range(2):
            alone = inputs_of(model, {name: [each[row]] for name, each in PAIRS.items()})
            alone = {k: v.double() if v.is_floating_point() else v for k, v in alone.items()}
            torch.testing.assert_close(model(**alone).logits[0], together[row], rtol=0, atol=1e-12)
        filled = dict(inputs)
        for molecule in ("rna", "protein"):
            padded = ~inputs[f"{molecule}_mask"].unsqueeze(2)
            noise = torch.randn_like(inputs[f"{molecule}_embeds"])
            filled[f"{molecule}_embeds"] = inputs[f"{molecule}_embeds"] + 9 * noise * padded
        assert torch.equal(model(**filled).logits, together)  # to the bit


@pytest.mark.parametrize("keys", [DESIGNS[name] for name in ("attention", "two layers", "windows")])
def test_leaving_padding_out_is_masking_it(keys, monkeypatch):
    model = made(RPIModel, **keys).double()
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs_of(model).items()}
    found = []
    for packs in (True, False):
        model.zero_grad()
        if not packs:
            monkeypatch.setattr(model, "_packs", lambda *_: False)
            monkeypatch.setattr(model, "_attend_packed", None)  # nothing calls it
        output = model(**inputs)
        output.pooler_output.square().sum().backward()
        gradients = [p.grad.clone() for p in model.parameters()]
        states = output.rna_state, output.protein_state
        found.append([output.pooler_output, *states, *gradients])
    for packed, masked in zip(*found, strict=True):
        torch.testing.assert_close(packed, masked, rtol=0, atol=1e-12)


def test_padding_is_left_out_on_a_cpu_unless_something_needs_it():
    model = made(RPIModel)
    mask = torch.tensor([[True, True], [True, False]])
    assert model._packs((mask, mask), weights=False)
    assert not model._packs((mask, mask), weights=True)
    assert not model._packs((mask, torch.zeros(2, 2, dtype=torch.bool)), weights=False)
    assert not model._packs((mask.to("meta"), mask.to("meta")), weights=False)
    published = made(RPIModel, readout="first")
    assert not published._packs((mask, mask), weights=False)


def test_windows_change_nothing_of_short_molecules_and_something_of_long_ones():
    whole = made(max_positions=64)
    windows = made(max_positions=64, long="windows")
    narrow = made(max_positions=3, long="windows")
    inputs = inputs_of(whole)
    with torch.no_grad():
        assert torch.equal(whole(**inputs).logits, windows(**inputs).logits)
        assert not torch.allclose(whole(**inputs).logits, narrow(**inputs).logits)
        # Of a window, the attention within sees nothing beyond it.
        layer, x = narrow.rpi.rna_layers[0], torch.randn(1, 6, 8)
        other = x.clone()
        other[:, 3:] += 1
        mask = torch.ones(1, 6, dtype=torch.bool)
        first, second = (layer._attend_within(each, mask)[:, :3] for each in (x, other))
        assert torch.equal(first, second)


def test_towers_encode_each_molecule_once():
    model = made(**DESIGNS["towers"])
    inputs = inputs_of(model)
    with torch.no_grad():
        rna = model.rpi.encode("rna", inputs["rna_embeds"], inputs["rna_mask"])
        protein = model.rpi.encode("protein", inputs["protein_embeds"], inputs["protein_mask"])
        assert torch.equal(model.classifier(rna * protein), model(**inputs).logits)
    with pytest.raises(ValueError, match="design: got 'attention', wanted 'towers', 'bi"):
        made().rpi.encode("rna", inputs["rna_embeds"])


def test_the_bilinear_design_is_a_form_of_whitened_components(tmp_path):
    kmers = {"rna_embedder": {"kind": "kmers", "size": 21}}
    kmers["protein_embedder"] = {"kind": "kmers", "size": 364}
    model = made(design="bilinear", hidden_size=3, **kmers)
    processor = RPIProcessor.of(model.config)
    rng = np.random.default_rng(0)
    rnas = ["".join(rng.choice(list("ACGU"), n)) for n in range(20, 40)]
    means = torch.from_numpy(np.stack(processor.embed("rna", rnas))[:, 0]).double()
    model.rpi.rna_projection.fit(means)
    inputs = processor(rnas, ["MKVLAW"] * 20, return_tensors="pt")
    with torch.no_grad():
        assert not model(**inputs).logits.any()  # nothing is known yet
        model.rpi.form.weight.normal_()
        components = model.rpi.rna_projection(inputs["rna_embeds"], inputs["rna_mask"]).double()
        torch.testing.assert_close(components.T.cov(correction=0), torch.eye(3).double(), **CLOSE)
        torch.testing.assert_close(components.mean(0), torch.zeros(3).double(), **CLOSE)
        protein = model.rpi.encode("protein", inputs["protein_embeds"])
        form = torch.einsum("bi,ji,bj->b", components.float(), model.rpi.form.weight, protein)
        torch.testing.assert_close(model(**inputs).logits[:, 0], form, **CLOSE)
        model.save_pretrained(tmp_path)
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    assert sum(p.numel() for p in model.parameters()) == 3 * 3 + 3 + 1


def test_frequencies_of_words_are_counts():
    embedder = make_embedder("rna", {"kind": "kmers", "size": 21})
    (found,) = embedder(["ACAN"])
    expected = np.zeros(21)
    expected[[0, 1]] = 2 / 3, 1 / 3
    expected[[4 + 1, 4 + 4]] = 1 / 2  # AC, CA; AN is not known
    expected[20] = np.log(4)
    assert found.shape == (1, 21) and np.allclose(found[0], expected)
    names = dict(zip(embedder.names(), found[0], strict=True))
    assert names["A"] > names["C"] > 0 and names["AC"] == names["CA"] == 0.5
    for molecule, sizes in KMER_SIZES.items():
        for size in sizes:
            embedder = make_embedder(molecule, {"kind": "kmers", "size": size})
            assert embedder(["ACG"])[0].shape == (1, size) and len(set(embedder.names())) == size
    (found,) = make_embedder("protein", {"kind": "kmers", "size": 364})(["AGVC"])
    assert found[0][:20].sum() == pytest.approx(1) and found[0][0] == 0.25
    assert found[0][20:363].nonzero()[0].tolist() == [0, 6] and found[0][20] == 0.5


def test_attention_between_the_molecules_is_returned_and_sums_to_one():
    model = made()
    inputs = inputs_of(model)
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
        torch.testing.assert_close(output.logits, model(**inputs).logits)
    rna, protein = output.attentions
    assert rna.shape == (2, 2, 10, 13) and protein.shape == (2, 2, 13, 10)
    assert torch.allclose(rna.sum(3), torch.ones(2, 2, 10))
    assert not rna[0, :, :, 7:].any()  # padding of the first protein


CLIENT = """
import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor
folder, out = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor(["ACGUACGUNN", "GGCAU"], ["MKVLAWX", "ACDEFGHIKLMNP"], return_tensors="pt")
with torch.inference_mode():
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    logits = model.eval()(**inputs).logits
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    pooled = model.eval()(**inputs).pooler_output
save_file({"logits": logits, "pooled": pooled}, out)
"""


def test_a_folder_loads_here_and_where_our_packages_are_not(tmp_path):
    folder, out = tmp_path / "model", tmp_path / "out.safetensors"
    model = made(kernel_size=3, rna_stride=2, calibration=(2.0, -1.0), threshold=0.4)
    write_model_folder(model, RPIProcessor.of(model.config), folder)
    again = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert isinstance(again, RPIForSequenceClassification)
    assert again.config.calibration == [2.0, -1.0] and again.config.threshold == 0.4
    encoder, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    inputs = inputs_of(model)
    with torch.inference_mode():
        expected = {
            "logits": model(**inputs).logits,
            "pooled": model.rpi(**inputs).pooler_output,
        }
        assert torch.equal(again(**inputs).logits, expected["logits"])
        assert torch.equal(encoder.eval()(**inputs).pooler_output, expected["pooled"])
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(folder), str(out)],
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = load_file(out)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_probabilities_are_calibrated_logits():
    logits = torch.tensor([-1.0, 0.0, 2.0])
    assert torch.equal(made().probabilities(logits), logits.sigmoid())
    calibrated = made(calibration=(2.0, -1.0)).probabilities(logits)
    assert torch.equal(calibrated, (2 * logits - 1).sigmoid())


def test_letters_as_vectors():
    one_hot = make_embedder("rna", {"kind": "one_hot"})(["acguN"])[0]
    assert np.array_equal(one_hot, np.vstack([np.eye(4), np.zeros((1, 4))]))
    spec = {"kind": "random", "size": 6, "seed": 3}
    first, second = (make_embedder("protein", spec)(["MKM", "X"]) for _ in range(2))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[0][0], first[0][2])
    assert not first[1].any()
    alone = make_embedder("protein", spec | {"per": "molecule"})
    one, again, other = (alone([each])[0] for each in ("MKM", "mkm", "MKV"))
    assert one.shape == (1, 6) and alone.positions("MKM") == 1
    assert np.array_equal(one, again) and not np.isclose(one, other).any()
    with pytest.raises(ValueError, match="per: got 'word', wanted"):
        make_embedder("protein", spec | {"per": "word"})
    with pytest.raises(ValueError, match="rna: got letter 'L' at position 1"):
        make_embedder("rna", {"kind": "one_hot"})(["ALG"])
    with pytest.raises(ValueError, match="protein: got an empty sequence"):
        make_embedder("protein", {"kind": "one_hot"})([""])


@pytest.mark.parametrize(("molecule", "letters"), [("rna", "ACGU"), ("protein", "MKVL")])
def test_our_encoder_gives_a_vector_for_32_letters_whatever_else_is_there(
    tmp_path, molecule, letters
):
    torch.manual_seed(0)
    IsoCLRModel(tiny(alphabet=molecule)).save_pretrained(tmp_path)
    IsoCLRTokenizer(alphabet=molecule).save_pretrained(tmp_path)
    size = tiny().hidden_size
    embedder = make_embedder(molecule, {"kind": "isoclr", "model": str(tmp_path), "size": size})
    sequences = [letters * 20, letters * 3, letters * 9 + letters[0]]
    found = embedder(sequences)
    step = embedder.model.config.downsampling
    assert [each.shape for each in found] == [(-(-len(s) // step), size) for s in sequences]
    for sequence, array in zip(sequences, found, strict=True):
        assert np.allclose(embedder([sequence])[0], array, atol=1e-5)
    with pytest.raises(ValueError, match=f"size: got 7, wanted {size}"):
        make_embedder(molecule, {"kind": "isoclr", "model": str(tmp_path), "size": 7})


def test_an_esm_model_that_the_user_has(tmp_path):
    from transformers import EsmTokenizer

    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<mask>"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    torch.manual_seed(0)
    config = EsmConfig(vocab_size=len(tokens), hidden_size=12, num_hidden_layers=2)
    config.num_attention_heads, config.intermediate_size, config.pad_token_id = 2, 16, 1
    config.position_embedding_type = "rotary"
    EsmModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    EsmTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    spec = {"kind": "transformers", "model": str(tmp_path), "size": 12}
    cut = make_embedder("protein", spec, max_positions=5)
    whole = make_embedder("protein", spec, max_positions=5, cut=False)
    assert [each.shape for each in cut(["MKV", "MKVLAWMKV"])] == [(3, 12), (5, 12)]
    assert whole(["MKVLAWMKV"])[0].shape == (9, 12)
    assert np.array_equal(whole(["MKVLAWMKV"])[0][:5], cut(["MKVLAWMKV"])[0])
    first = make_embedder("protein", spec | {"layer": 0})(["MKV"])[0]
    assert not np.allclose(first, cut(["MKV"])[0])


def test_batches_of_like_length_hold_all_rows_within_the_budget():
    lengths = [5, 1, 9, 2, 2, 30]
    batches = batches_of_like_length(lengths, 10)
    assert sorted(row for batch in batches for row in batch) == list(range(6))
    assert all(
        len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= 10
        for batch in batches
    )


def test_arrays_and_sequences_go_side_by_side_and_long_ones_are_cut():
    processor = RPIProcessor(max_positions=4)
    array = np.eye(20, dtype=np.float32)
    inputs = processor(["ACGUAC", "AC"], [array, "MK"], return_tensors="np")
    assert inputs["rna_embeds"].shape == (2, 4, 4) and inputs["protein_embeds"].shape == (2, 4, 20)
    assert inputs["rna_mask"].sum() == 6 and inputs["protein_mask"].sum() == 6
    precomputed = RPIProcessor({"kind": "precomputed", "size": 3})
    with pytest.raises(ValueError, match="rna: got a sequence, wanted precomputed arrays"):
        precomputed(["ACGU"], ["MK"])
    with pytest.raises(ValueError, match=r"shape \(2, 5\), wanted \(positions, 3\)"):
        precomputed([np.zeros((2, 5))], ["MK"])
    with pytest.raises(ValueError, match="got 2 RNAs and 1 proteins"):
        processor(["A", "C"], ["MK"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"design": "trees"}, "design: got 'trees', wanted one of 'attention', 'towers', "),
        ({"hidden_size": 9}, "hidden_size: got 9 with 2 heads"),
        ({"rna_embedder": {"kind": "words"}}, "rna_embedder.kind: got 'words'"),
        ({"rna_embedder": {"kind": "random"}}, "rna_embedder.size: got none"),
        ({"protein_embedder": {"kind": "one_hot", "seed": 1}}, "seed: unknown for kind 'one_hot'"),
        ({"readout": "first", "long": "windows"}, "readout: got 'first' with design"),
        ({"landmarks": (3,)}, r"landmarks: got \[3\], wanted those of RNAs and proteins"),
        ({"calibration": (1.0,)}, r"calibration: got \[1.0\], wanted slope and intercept"),
    ],
)
def test_a_configuration_that_cannot_be(keys, message):
    with pytest.raises(ValueError, match=message):
        RPIConfig(**keys)


def test_inputs_of_another_shape():
    model = made()
    with pytest.raises(ValueError, match=r"rna_embeds: got shape \(1, 3, 5\), wanted"):
        model(torch.zeros(1, 3, 5), torch.zeros(1, 3, 20))
    with pytest.raises(ValueError, match=r"protein_mask: got shape \(1, 2\), wanted \(1, 3\)"):
        model(torch.zeros(1, 3, 4), torch.zeros(1, 3, 20), protein_mask=torch.ones(1, 2))
    with pytest.raises(ValueError, match="got 1 RNAs and 2 proteins"):
        model(torch.zeros(1, 3, 4), torch.zeros(2, 3, 20))


def test_the_bare_name_of_an_encoder_is_refused_before_the_hub_is_asked():
    spec = {"kind": "isoclr", "model": "isoclr-small", "size": 256}
    with pytest.raises(ValueError, match="rna_embedder: got 'isoclr-small', wanted its folder in"):
        make_embedder("rna", spec)


def test_encoders_of_bare_names_are_beside_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("models/encoder", "models/pairs", "here"):
        (tmp_path / name).mkdir(parents=True)
    assert encoder_place("encoder", "models/pairs") == str(tmp_path / "models" / "encoder")
    assert encoder_place("encoder", "OWNER/pairs") == "OWNER/encoder"
    assert encoder_place("OTHER/encoder", "OWNER/pairs") == "OTHER/encoder"
    assert encoder_place("here", "OWNER/pairs") == "here"
    assert encoder_place("another", "models/pairs") is None
    assert encoder_place("encoder", "gone/models/pairs") is None
    assert encoder_place("encoder") is encoder_place("encoder", "pairs") is None
