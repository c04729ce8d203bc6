import json
import random
import re
from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from data_builders.groups.build import GenomeSource, build
from data_builders.groups.parquet import read_groups
from data_builders.labels.label_set import Join, read_labels
from data_builders.records import InputError, Transcript
from data_builders.simulate.clade import WEIGHTS, half_life_signals, simulate_clade
from data_builders.simulate.evolution import MOTIFS
from isoclr.evaluation.explain import (
    Score,
    base_contributions,
    exon_end_contributions,
    explain,
    explain_model,
    head_score,
    input_gradients,
    mutate,
    probe_score,
    similarity_score,
)
from isoclr.evaluation.figures_explain import strongest
from isoclr.evaluation.heads import find_head
from isoclr.evaluation.networks import tokenize
from isoclr.evaluation.predict import predict
from modeling_isoclr import (
    IsoCLRConfig,
    IsoCLRForSequenceClassification,
    IsoCLRModel,
    IsoCLRTokenizer,
)
from modeling_isoclr.layers_isoclr import track_table

CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
# Distinct, so that no two codons can be mistaken for each other.
CODON_WEIGHTS = dict(zip(CODONS, np.linspace(-1, 1, 64).round(4).tolist(), strict=True))
SPREAD = {"junction_density": 5.0, "codon_optimality": 0.3, **dict.fromkeys(MOTIFS, 1.5)}


def one_hot(words):
    return torch.stack(
        [torch.eye(4, dtype=torch.float64)[["ACGT".index(c) for c in w]] for w in words]
    )


class Planted(nn.Module):
    """The simulator's half-life without its noise, as a network on tracks in float64."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(track_table(6, 0.25).double())

    def get_input_embeddings(self):
        return lambda tokens: self.table[tokens.long()]

    def forward(self, input_ids=None, inputs_embeds=None):
        x = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        bases, starts, ends = x[..., :4], x[..., 4], x[..., 5]
        begin = starts.argmax(1)
        finish = x.shape[1] - starts.flip(1).argmax(1) + 2
        place = torch.arange(x.shape[1])
        signals = {}
        # An exon end on the last base of the CDS has its junction behind it.
        inside = (place >= begin[:, None]) & (place < finish[:, None] - 1)
        signals["junction_density"] = 1000 * (ends * inside).sum(1) / (finish - begin)
        found = self._matches(bases, CODONS)  # (batch, codons, length - 2)
        sense = starts[:, :-2] * (place[:-2] < finish[:, None] - 3)
        weights = torch.tensor(list(CODON_WEIGHTS.values()), dtype=torch.float64)
        of_codons = torch.einsum("bwl,w,bl->b", found, weights, sense)
        signals["codon_optimality"] = of_codons / sense.sum(1)
        for name, motif in MOTIFS.items():
            copies = self._matches(bases, [motif])[:, 0]
            signals[name] = (copies * (place[: copies.shape[1]] >= finish[:, None])).sum(1)
        return sum(WEIGHTS[name] / SPREAD[name] * signals[name] for name in WEIGHTS)

    @staticmethod
    def _matches(bases, words):
        kernel = one_hot(words).transpose(1, 2)
        found = nn.functional.conv1d(bases.transpose(1, 2), kernel)
        return (found - (len(words[0]) - 1)).relu()


def planted_half_life(transcript):
    signals = half_life_signals(transcript, CODON_WEIGHTS)
    return sum(WEIGHTS[name] / SPREAD[name] * signals[name] for name in WEIGHTS)


@pytest.fixture(scope="module")
def tokenizer():
    return IsoCLRTokenizer()


@pytest.fixture(scope="module")
def transcript():
    """A CDS of 20 codons with two junctions, and one copy of each motif in the 3'UTR."""
    rng = random.Random(3)
    utr = "".join(f"GCGCAG{motif}GCAG" for motif in MOTIFS.values())
    coding = "ATG" + "".join(
        rng.choices([c for c in CODONS if c not in ("TAA", "TAG", "TGA")], k=18)
    )
    sequence = "GGATTTACC" + coding + "TAA" + utr
    return Transcript("t", "g", "s", sequence, 9, 9 + 60, (4, 30, 50, 69, 80))


@pytest.fixture(scope="module")
def planted():
    return Score("planted", Planted(), lambda output: output)


def small(**overrides):
    torch.manual_seed(0)
    sizes = {"filters": [6, 8], "blocks": [1, 1], "dilations": [1, 2], "norm": "layer"}
    return IsoCLRConfig(**sizes, **overrides)


def network_score(tokenizer, dtype=torch.float32, **overrides):
    network = IsoCLRForSequenceClassification(small(num_labels=1, **overrides)).eval().to(dtype)
    return head_score(network)


# --- Signals of the simulator, known to the last digit


def test_mutations_change_a_planted_score_as_the_simulator_has_it(planted, tokenizer, transcript):
    (tokens,), _ = tokenize(tokenizer, [transcript])
    unchanged = planted_half_life(transcript)
    assert planted(input_ids=torch.from_numpy(tokens)[None]).item() == pytest.approx(unchanged)
    effects = mutate(planted, tokens, progress=False)
    expected = np.zeros((len(tokens), 4))
    for i in range(len(tokens)):
        for column, base in enumerate("ACGT"):
            sequence = transcript.sequence[:i] + base + transcript.sequence[i + 1 :]
            expected[i, column] = planted_half_life(replace(transcript, sequence=sequence))
    np.testing.assert_allclose(effects, expected - unchanged, atol=1e-12)
    assert (np.abs(effects).sum(axis=1) > 0).sum() > 60


def test_exon_ends_add_what_their_junctions_do(planted, tokenizer, transcript):
    (tokens,), _ = tokenize(tokenizer, [transcript])
    found = exon_end_contributions(planted, tokens)
    one = WEIGHTS["junction_density"] / SPREAD["junction_density"] * 1000 / 60
    # Those of junctions 30 and 50 alone lie in the CDS; 69 is where it ends.
    expected = {3: 0, 29: one, 49: one, 68: 0, 79: 0, len(tokens) - 1: 0}
    assert np.flatnonzero(np.isfinite(found)).tolist() == list(expected)
    np.testing.assert_allclose(found[list(expected)], list(expected.values()), atol=1e-12)


def test_both_explanations_put_their_weight_on_planted_motifs(planted, tokenizer, transcript):
    explanation = explain(planted, tokenizer, transcript, progress=False)
    gradient, mutation = explanation.contributions.values()
    outside = explanation.regions == "3'UTR"
    for name, motif in MOTIFS.items():
        at = transcript.sequence.index(motif, transcript.cds_end)
        here = slice(at, at + len(motif))
        # Any other base breaks the only copy.
        np.testing.assert_allclose(mutation[here], WEIGHTS[name] / SPREAD[name], atol=1e-12)
        np.testing.assert_allclose(gradient[here], WEIGHTS[name] / SPREAD[name], atol=1e-12)
        outside[here] = False
    # Between the copies no base does anything, but where one substitution makes a copy.
    assert (gradient[outside] == 0).all()
    assert (mutation[outside] == 0).mean() > 0.8
    # The same words mean nothing in the 5'UTR.
    assert (mutation[explanation.regions == "5'UTR"] == 0).all()
    regions = explanation.summary()["regions"]
    assert (regions["CDS"]["exon_ends"], regions["3'UTR"]["exon_ends"]) == (3, 2)
    assert regions["CDS"]["exon_ends_add"] == pytest.approx(
        2 * WEIGHTS["junction_density"] / SPREAD["junction_density"] * 1000 / 60
    )
    assert explanation.summary()["agreement"] > 0.8


# --- Arithmetic


def test_gradients_are_those_of_finite_differences(tokenizer, transcript):
    score = network_score(tokenizer, torch.float64, pooling="stages")
    (tokens,), _ = tokenize(tokenizer, [transcript])
    gradient, tracks = input_gradients(score, tokens)
    assert gradient.shape == tracks.shape == (len(tokens), 6)
    expected = [transcript.sequence[i] == "ACGT"[j] for i in range(len(tokens)) for j in range(4)]
    assert tracks[:, :4].ravel().tolist() == expected
    step = 1e-6
    for i, j in ((0, 0), (29, 5), (40, 2), (68, 4), (len(tokens) - 1, 3)):
        moved = [torch.from_numpy(tracks.copy())[None] for _ in range(2)]
        moved[0][0, i, j] += step
        moved[1][0, i, j] -= step
        with torch.no_grad():
            up, down = (score(inputs_embeds=x).item() for x in moved)
        assert gradient[i, j] == pytest.approx((up - down) / (2 * step), abs=1e-8)
    assert np.abs(gradient).min(axis=0).max() > 0


def test_of_a_linear_score_the_gradient_expects_every_mutation(tokenizer, transcript):
    weights = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = Planted()
    lookup = network.get_input_embeddings()

    def linear(input_ids=None, inputs_embeds=None):
        x = lookup(input_ids) if inputs_embeds is None else inputs_embeds
        return (x * weights[: x.shape[1]]).sum((1, 2))

    network.forward = linear
    explanation = explain(Score("linear", network, lambda x: x), tokenizer, transcript)
    np.testing.assert_allclose(explanation.expected_effects, explanation.effects, atol=1e-12)
    assert explanation.summary()["agreement"] == pytest.approx(1)
    ends = np.flatnonzero(np.isfinite(explanation.exon_ends))
    np.testing.assert_allclose(explanation.exon_ends[ends], weights[ends, 5], atol=1e-12)


@pytest.mark.parametrize("tokens_per_batch", [1, 500, 1 << 16])
def test_mutations_do_not_depend_on_the_batch(tokenizer, transcript, tokens_per_batch):
    score = network_score(tokenizer, torch.float64, pooling="regions")
    (tokens,), _ = tokenize(tokenizer, [transcript])
    positions = [0, 50, 7, len(tokens) - 1]
    effects = mutate(score, tokens, positions, tokens_per_batch=tokens_per_batch, progress=False)
    assert np.flatnonzero(np.isfinite(effects).all(axis=1)).tolist() == sorted(positions)
    with torch.no_grad():
        unchanged = score(input_ids=torch.from_numpy(tokens)[None]).item()
        for i in positions:
            for base in range(4):
                row = tokens.copy()
                row[i] = row[i] // 8 * 8 + base  # its marks stay
                changed = score(input_ids=torch.from_numpy(row)[None]).item()
                assert effects[i, base] == pytest.approx(changed - unchanged, abs=1e-12)
            assert effects[i, tokens[i] & 7] == 0


def test_base_contributions_are_beside_the_mean_of_the_others():
    effects = np.array([[0, -1, -2, -3], [4, 0, 1, 1], [np.nan] * 4])
    assert base_contributions(effects)[:2].tolist() == [2, -2]
    assert np.isnan(base_contributions(effects)[2])


def test_unknown_bases_are_not_mutated_and_a_window_and_stride_are_kept(tokenizer, transcript):
    sequence = transcript.sequence[:20] + "N" + transcript.sequence[21:]
    score = network_score(tokenizer)
    explanation = explain(
        score,
        tokenizer,
        replace(transcript, sequence=sequence),
        window=(10, 31),
        stride=5,
        progress=False,
    )
    mutated = np.flatnonzero(np.isfinite(explanation.effects).all(axis=1))
    assert mutated.tolist() == [10, 15, 25, 30]
    assert np.isnan(explanation.expected_effects[20]).all()
    assert np.isfinite(np.delete(explanation.expected_effects, 20, 0)).all()
    summary = explanation.summary()
    assert (summary["unknown_bases"], summary["mutated_positions"]) == (1, 4)
    assert summary["regions"]["3'UTR"]["mutation"] is None


def test_half_precision_is_explained_in_full(tokenizer, transcript):
    torch.manual_seed(0)
    encoder = IsoCLRModel(small()).eval()
    half = similarity_score(encoder.half(), tokenizer, transcript)
    assert half.network.dtype == torch.float32 and encoder.dtype == torch.float16
    full = similarity_score(encoder.float(), tokenizer, transcript)
    assert full.network is encoder
    (tokens,), _ = tokenize(tokenizer, [replace(transcript, sequence=transcript.sequence[::-1])])
    batch = torch.from_numpy(tokens)[None]
    assert half(input_ids=batch).item() == full(input_ids=batch).item() < 1


def test_the_strongest_stretch():
    values = np.array([np.nan, 1, -5, 4, 0, np.nan, 8])
    assert strongest(values, 2) == (2, 4)
    assert strongest(values, 1) == (6, 7)
    assert strongest(values, 100) == (0, 7)


# --- Scores


@pytest.fixture(scope="module")
def labels(groups_folder, clade):
    return read_labels(
        clade.half_life, "half_life", join=Join(isoform_groups=read_groups(groups_folder))
    )


@pytest.mark.parametrize("kind", ["number", "classes"])
def test_a_probe_reads_its_own_prediction_off_the_embedding(tokenizer, labels, kind):
    encoder = IsoCLRModel(small(pooling="regions")).eval()
    name = None
    if kind == "classes":
        above = labels.targets > np.median(labels.targets)
        targets = np.stack([above, ~above], 1)
        labels = replace(labels, task="multilabel", targets=targets, classes=("long", "short"))
        name = "short"
    score = probe_score(encoder, tokenizer, labels, name, progress=False)
    assert score.name == f"linear probe of {name or 'half_life'}"
    assert score.quality.keys() == (
        {"pearson", "spearman", "mse"} if name is None else {"auroc", "auprc"}
    )
    held_out = [t for t in labels.transcripts if t.sequence not in score.learned_from]
    assert 0 < len(held_out) < 0.5 * len(labels.transcripts)
    if name is None:
        # In the label's units, and the slope on the train side is that of a shrunk fit.
        known = [t.sequence in score.learned_from for t in labels.transcripts]
        rows, _ = tokenize(tokenizer, labels.transcripts)
        with torch.no_grad():
            values = [score(input_ids=torch.from_numpy(row)[None]).item() for row in rows]
        residual = np.array(values)[known] - labels.targets[known]
        assert residual.mean() == pytest.approx(0, abs=1e-3)
        assert residual.std() < labels.targets[known].std()


def test_a_class_is_asked_for_by_name(tokenizer, transcript):
    names = {0: "nucleus", 1: "cytosol"}
    network = IsoCLRForSequenceClassification(small(id2label=names, num_labels=2)).eval()
    (tokens,), _ = tokenize(tokenizer, [transcript])
    batch = torch.from_numpy(tokens)[None]
    with torch.no_grad():
        expected = network(batch).logits[0]
        for i, name in names.items():
            score = head_score(network, name)
            assert score.name == f"fine-tuned prediction of {name}"
            assert score(input_ids=batch).item() == expected[i].item()
    for wrong in (None, "moon"):
        with pytest.raises(
            InputError, match=f"class: got {wrong!r}, wanted one of nucleus, cytosol"
        ):
            head_score(network, wrong)
    with pytest.raises(InputError, match="class: got 'moon', wanted none"):
        head_score(IsoCLRForSequenceClassification(small(num_labels=1)), "moon")


# --- Files


def test_an_explanation_is_written(planted, tokenizer, transcript, tmp_path):
    explanation = explain(planted, tokenizer, transcript, window=(9, 100), progress=False)
    explanation.write(tmp_path / "out")
    read = json.loads((tmp_path / "out" / "explain.json").read_text())
    assert read == explanation.summary()
    assert read["value"] == pytest.approx(planted_half_life(transcript))
    assert list(read["regions"]) == ["5'UTR", "CDS", "3'UTR"]
    assert [region["positions"] for region in read["regions"].values()] == [
        9,
        60,
        len(transcript.sequence) - 69,
    ]
    table = pl.read_csv(tmp_path / "out" / "explain.tsv", separator="\t")
    assert "".join(table["base"]) == transcript.sequence
    assert table.filter("codon_start")["position"].to_list() == list(range(9, 69, 3))
    ends = table.filter("exon_end")
    assert ends["position"].to_list() == [3, 29, 49, 68, 79, len(transcript.sequence) - 1]
    assert ends["contribution of exon_end"].null_count() == 0
    assert table["contribution by mutation"].null_count() == len(transcript.sequence) - 91
    assert np.allclose(table["mutation_to_G"][9:100], explanation.effects[9:100, 2])
    lines = explanation.table().splitlines()
    assert lines[0] == f"t: planted {read['value']:.3g}"
    assert lines[-2].split()[:2] == ["CDS", "60"] and lines[-2].split()[-2] == "3"
    image = imread(tmp_path / "out" / "explain.png")
    assert all((edge == 1).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


def test_a_transcript_without_cds_or_known_exons_is_drawn(tokenizer, tmp_path):
    bare = Transcript("bare", "g", "s", "ACGTN" * 9)
    explanation = explain(network_score(tokenizer, n_tracks=4), tokenizer, bare, progress=False)
    explanation.write(tmp_path)
    summary = explanation.summary()
    assert list(summary["regions"]) == ["no CDS"]
    assert summary["regions"]["no CDS"]["exon_ends"] == 0
    table = pl.read_csv(tmp_path / "explain.tsv", separator="\t")
    assert "gradient_T" in table.columns and "gradient_codon_start" not in table.columns
    assert (tmp_path / "explain.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tokenizer):
    """An encoder, and a fine-tuned model."""
    root = tmp_path_factory.mktemp("models")
    for name, kind in (("encoder", IsoCLRModel), ("head", IsoCLRForSequenceClassification)):
        kind(small(num_labels=1, id2label={0: "half_life"})).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


def test_of_a_model_its_head_a_probe_or_a_similarity_is_explained(folders, labels, tmp_path):
    transcripts = labels.transcripts
    one, other = transcripts[0].transcript_id, transcripts[1].transcript_id
    options = {"window": (0, 2), "progress": False}
    head = explain_model(folders / "head", transcripts, one, tmp_path / "head", **options)
    assert head.score.name == "fine-tuned prediction of half_life"
    # Found among those of the labels.
    probe = explain_model(
        folders / "encoder", None, one, tmp_path / "probe", labels=labels, **options
    )
    assert probe.score.name == "linear probe of half_life"
    assert probe.transcript == transcripts[0]
    learned = transcripts[0].sequence in probe.score.learned_from
    assert probe.summary()["learned_from_it"] == learned
    assert ("the probe was fitted to this transcript too" in probe.table()) == learned
    assert "on held-out transcripts: pearson" in probe.title()
    near = explain_model(
        folders / "head", transcripts, one, tmp_path / "near", similar_to=other, **options
    )
    assert near.score.name == f"similarity to {other}" and -1 <= near.value <= 1
    for name in ("head", "probe", "near"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
            "explain.json",
            "explain.png",
            "explain.tsv",
        ]


def test_a_ready_made_head_is_explained(tmp_path):
    coding = Transcript("t", "g", "human", "GGGACATGGCCGCCTAATTTATT", 5, 17, (9,))
    options = {"head": "half-life-human", "window": (0, 2), "progress": False}
    found = explain_model("isoclr-small", [coding], "t", tmp_path, **options)
    assert found.score.name == "half-life-human: half_life_pc1"
    (predicted,) = predict([coding], ["half-life-human"], progress=False)["prediction"]
    assert found.value == pytest.approx(predicted, rel=1e-4)
    folder = find_head("half-life-human")
    assert "on held-out transcripts: pearson 0.72," in found.title()
    with pytest.raises(InputError, match="got one of another encoder, wanted one of this model"):
        explain_model("isoclr-base", [coding], "t", tmp_path, **options | {"head": folder})
    with pytest.raises(InputError, match="got labels or a similar transcript beside it"):
        explain_model("isoclr-small", [coding], "t", tmp_path, similar_to="t", **options)


def test_bad_input_is_named(folders, labels, planted, tokenizer, transcript, tmp_path):
    with pytest.raises(InputError, match="encoder: got IsoCLRModel, wanted a fine-tuned model"):
        explain_model(folders / "encoder", [transcript], "t", tmp_path)
    with pytest.raises(InputError, match="similar to 'u': got labels beside it"):
        explain_model(
            folders / "encoder", [transcript], "t", tmp_path, labels=labels, similar_to="u"
        )
    with pytest.raises(InputError, match="transcript 'u': got none among 1 transcripts"):
        explain_model(folders / "head", [transcript], "u", tmp_path)
    with pytest.raises(InputError, match="transcript 't': got nothing to find it in"):
        explain_model(folders / "head", None, "t", tmp_path)
    twins = [transcript, replace(transcript, species="other"), transcript]
    with pytest.raises(InputError, match="transcript 't': got 2 among 3 transcripts, wanted one"):
        explain_model(folders / "head", twins, "t", tmp_path)
    for window in ((5, 5), (-1, 3), (0, 10_000)):
        with pytest.raises(
            InputError, match=f"'t': window: got {window[0]} to {window[1]}, wanted"
        ):
            explain(planted, tokenizer, transcript, window=window)
    with pytest.raises(InputError, match="stride: got 0, wanted at least 1"):
        explain(planted, tokenizer, transcript, stride=0)
    with pytest.raises(InputError, match="position 2"):
        explain(planted, tokenizer, Transcript("x", "g", "s", "ACX"))


# --- A model that learned them


@pytest.mark.slow
def test_a_probe_of_simulated_half_lives_goes_by_their_causes(tokenizer, tmp_path):
    clade = simulate_clade(tmp_path, species=2, genes=300, seed=1)
    sources = map(GenomeSource, clade.genomes, clade.annotations, clade.species)
    build(list(sources), tmp_path / "groups", homology=clade.homology)
    labels = read_labels(
        clade.half_life, "half_life", join=Join(isoform_groups=read_groups(tmp_path / "groups"))
    )
    weights = json.loads(clade.truth.read_text())["codon_weights"]
    torch.manual_seed(0)
    shape = {"filters": [64, 32], "blocks": [1, 1], "dilations": [1, 1], "kernel_size": 3}
    config = IsoCLRConfig(**shape, stem_kernel_size=5, norm="layer", pooling="regions")
    score = probe_score(IsoCLRModel(config).eval(), tokenizer, labels, progress=False)
    assert score.quality["pearson"] > 0.45
    held_out = [t for t in labels.transcripts if t.sequence not in score.learned_from]
    junctions, optimality, changes = [], [], []
    in_motifs = {name: [] for name in MOTIFS}
    for transcript in held_out[:40]:
        (tokens,), _ = tokenize(tokenizer, [transcript])
        start, end, sequence = transcript.cds_start, transcript.cds_end, transcript.sequence
        inside = exon_end_contributions(score, tokens)[start : end - 1]
        junctions += inside[np.isfinite(inside)].tolist()
        copies = [
            (name, slice(m.start() + end, m.start() + end + len(motif)))
            for name, motif in MOTIFS.items()
            for m in re.finditer(f"(?={motif})", sequence[end:])
        ]
        third = range(start + 5, end - 3, 3)[:8]  # of codons
        of_motifs = {i for _, copy in copies for i in range(copy.start, copy.stop)}
        effects = mutate(score, tokens, [*third, *sorted(of_motifs)], progress=False)
        for name, copy in copies:
            in_motifs[name].append(base_contributions(effects)[copy].mean())
        for i, (column, base) in product(third, enumerate("ACGT")):
            codon = sequence[i - 2 : i + 1]
            optimality.append(weights[codon[:2] + base] - weights[codon])
            changes.append(effects[i, column])
    assert np.mean(junctions) > 0.05
    assert np.corrcoef(optimality, changes)[0, 1] > 0.25
    # Random filters see the composition of a 3'UTR rather than words in it: enough for the signs.
    for name, found in in_motifs.items():
        assert len(found) > 20
        assert np.mean(found) * np.sign(WEIGHTS[name]) > 5 * np.std(found) / len(found) ** 0.5
