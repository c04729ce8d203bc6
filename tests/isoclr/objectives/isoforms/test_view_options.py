import numpy as np
import pytest
import torch
from global_draws import none_drawn

from data_builders.homology.alphabets import translate
from data_builders.records import InputError
from isoclr.objectives.isoforms import views
from isoclr.objectives.isoforms.objective import IsoformObjective
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.objectives.isoforms.views import ViewOptions
from modeling_isoclr import IsoCLRTokenizer

CODING = "GGGGG" + "ATGGCTCTTAGCTGGTAA" + "CCCC"
CDS = (5, 23)
PAD = 7


def tokens_of(sequence=CODING, cds=CDS, junctions=(8, 15)):
    return IsoCLRTokenizer().tokenize_transcript(sequence, cds, junctions)


def letters(tokens):
    return "".join("ACGTNM"[token & 7] for token in tokens)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_recoded_codons_are_synonyms_and_only_a_share_changes():
    plain = tokens_of()
    start, end = CDS
    seen = set()
    for seed in range(40):
        found = views.recoded(plain.copy(), 0.999, rng(seed))
        text = letters(found)
        assert translate(text[start:end]) == translate(CODING[start:end])
        assert text[:start] == CODING[:start] and text[end:] == CODING[end:]
        assert text[5:8] == "ATG" and text[17:20] == "TGG"  # the only codons of theirs
        assert text[8:11] != "GCT" and text[20:23] != "TAA"  # of others, another
        assert np.array_equal(found & 248, plain & 248)  # marks
        seen.add(text[8:11])
    assert seen == {"GCA", "GCC", "GCG"}
    long = tokens_of("GCT" * 4000, (0, 12000), ())
    changed = views.recoded(long.copy(), 0.3, rng()).reshape(-1, 3) != long.reshape(-1, 3)
    assert changed.any(axis=1).mean() == pytest.approx(0.3, abs=0.03)


def test_codons_with_unknown_bases_or_cut_off_stay():
    unknown = tokens_of("GGGGG" + "ATGGNTCTTAGCTGGTAA" + "CCCC")
    assert letters(views.recoded(unknown, 0.999, rng()))[8:11] == "GNT"
    cut = tokens_of()[:22]  # the stop codon without its last base
    assert letters(views.recoded(cut, 0.999, rng()))[20:] == "TA"


@pytest.mark.parametrize("span", [2, 10, 40])
def test_spans_hide_the_fraction_in_runs(span):
    hidden = views.hidden_spans(200_000, 0.2, span, rng())
    assert hidden.mean() == pytest.approx(0.2, abs=0.01)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
    runs = np.diff(edges)[::2]
    assert runs[:-1].min() >= span  # the end of the transcript may cut the last
    assert np.median(runs) < 2 * span
    assert views.hidden_spans(3, 0.999, span, rng()).shape == (3,)


def test_transitions_are_half_of_the_substitutions():
    plain = tokens_of("ACGTN" * 4000, (0, 19998), (600,))
    found = views.substituted(plain.copy(), 0.2, rng())
    assert np.array_equal(found & 248, plain & 248)  # marks
    changed = found != plain
    assert changed.mean() == pytest.approx(0.2 * 0.8, abs=0.01)  # unknown bases stay
    before, after = letters(plain[changed]), letters(found[changed])
    pairs = [a + b for a, b in zip(before, after, strict=True)]
    kinds = [sum(pair in kind for pair in pairs) for kind in ("AG GA CT TC", "AC CA GT TG")]
    assert np.array(kinds) / len(pairs) == pytest.approx([0.5, 0.25], abs=0.03)


def test_codons_are_hidden_whole():
    plain = tokens_of("GG" + "GCT" * 4000 + "G", (2, 12002), ())
    hidden = views.hidden_codons(plain, 0.3, rng())
    assert not hidden[:2].any() and not hidden[-1]
    codons = hidden[2:-1].reshape(-1, 3)
    assert np.array_equal(codons.any(axis=1), codons.all(axis=1))
    assert codons.all(axis=1).mean() == pytest.approx(0.3, abs=0.03)
    assert views.hidden_codons(plain[:4], 0.999, rng()).tolist() == [False, False, True, True]


def test_exons_are_hidden_whole_and_never_all():
    plain = tokens_of()
    bounds = [0, 8, 15, len(plain)]
    counts = np.zeros(3)
    for seed in range(300):
        hidden = views.hidden_exons(plain, 0.5, rng(seed))
        of_exons = [hidden[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
        assert all(part.all() or not part.any() for part in of_exons)
        counts += [part.all() for part in of_exons]
        assert not hidden.all()
    assert np.abs(counts / 300 - (0.5 - 0.125)).max() < 0.1  # all three are drawn once in eight
    assert not views.hidden_exons(tokens_of(junctions=()), 0.9, rng()).any()


def test_one_region_is_left_with_marks_in_place():
    plain = tokens_of()
    found = {letters(views.one_region(plain.copy(), rng(seed))) for seed in range(40)}
    start, end = CDS
    assert found == {
        "GGGGG" + "M" * 22,
        "M" * 5 + CODING[start:end] + "M" * 4,
        "M" * 23 + "CCCC",
    }
    assert np.array_equal(views.one_region(plain.copy(), rng()) & 248, plain & 248)
    noncoding = tokens_of(cds=None)
    assert np.array_equal(views.one_region(noncoding.copy(), rng()), noncoding)


def test_a_crop_keeps_one_end():
    plain = tokens_of()
    assert np.array_equal(views.cropped(plain, 0.5, at_end=False), plain[:14])
    assert np.array_equal(views.cropped(plain, 0.5, at_end=True), plain[-14:])
    assert len(views.cropped(plain, 1e-9, at_end=True)) == 1
    assert views.cropped_lengths(np.array([27, 1]), 0.5).tolist() == [14, 1]


def objective(groups_folder, **keys):
    shape = {"filters": [4, 6], "blocks": [1, 1], "dilations": [1, 2], "projector_sizes": [8, 8, 4]}
    recipe = IsoformRecipe(
        data=str(groups_folder),
        output="unused",
        steps=2,
        batch_size=6,
        held_out_groups=4,
        model={**shape, **keys.pop("model", {})},
        **keys,
    )
    return IsoformObjective(recipe, 0, 1)


def test_an_evaluation_draws_nothing(groups_folder):
    found = objective(groups_folder, model={"dropout": 0.5})
    model = found.build_model()
    with none_drawn():
        scores = found.evaluate(model.train())
    assert scores["held_out_pairs"] == 4 and model.training
    assert found.evaluates_in_thread
    keys = {"compile": True, "cuda_graphs": True, "gradient_cache": False}
    assert not objective(groups_folder, **keys).evaluates_in_thread


def rows_of(batch):
    """Tokens of each view, in the order of the pairs."""
    found = []
    for part, ids in zip(batch.tokens, batch.segment_ids, strict=True):
        for row, segments in zip(part, ids, strict=True):
            found += [row[segments == n].tolist() for n in range(1, int(segments.max()) + 1)]
    per_row = batch.n_segments
    places = [divmod(slot, per_row) for slot in batch.slots.tolist()]
    by_place, number = {}, 0
    for row, segments in enumerate(batch.segment_ids.flatten(0, 1)):
        for n in range(int(segments.max())):
            by_place[row, n] = found[number]
            number += 1
    return [by_place[places[i]] for i in batch.order.tolist()]


def test_cropped_views_of_a_pair_are_opposite_ends_of_its_transcripts(groups_folder):
    whole = rows_of(objective(groups_folder, mask_fraction=0.0).batches[0])
    half = rows_of(objective(groups_folder, mask_fraction=0.0, views={"crop": 0.5}).batches[0])
    n = len(whole) // 2
    ends = set()
    for first, second in zip(range(n), range(n, 2 * n), strict=True):
        kept = ["start" if half[i] == whole[i][: len(half[i])] else "end" for i in (first, second)]
        for i, end in zip((first, second), kept, strict=True):
            length = -(-len(whole[i]) // 2)
            assert half[i] == (whole[i][:length] if end == "start" else whole[i][-length:])
        assert set(kept) == {"start", "end"}
        ends.add(kept[0])
    assert ends == {"start", "end"}


def test_options_off_are_as_if_they_were_not_there(groups_folder):
    plain = objective(groups_folder).batches[1]
    off = objective(groups_folder, views=ViewOptions().model_dump()).batches[1]
    assert torch.equal(plain.tokens, off.tokens)
    hidden = {"span": 5, "codons": 0.2, "exons": 0.2, "region": 0.5}
    everything = {"crop": 0.7, "synonyms": 0.5, "substitutions": 0.1} | hidden
    made = [objective(groups_folder, views=everything).batches for _ in range(2)]
    used = made[0][0]  # a step before changes nothing
    assert torch.equal(made[0][1].tokens, made[1][1].tokens)
    assert not torch.equal(used.tokens, plain.tokens)


def test_small_groups_are_left_out_and_counted(groups_folder):
    every = objective(groups_folder).batches.source
    trained = every.eligible.counts[every.train[0]]
    fewest = int(np.median(trained)) + 1
    large = objective(groups_folder, fewest_transcripts=fewest).batches.source
    assert large.eligible.counts[large.train[0]].min() >= fewest
    small = int((trained < fewest).sum())
    assert len(large.train[0]) == len(trained) - small
    # Those held out need no more than two.
    assert large.left_out[f"groups of fewer than {fewest} transcripts"] >= small > 0
    assert np.array_equal(large.held_out_rows, every.held_out_rows)


def test_a_cosine_critic_learns_the_temperature(groups_folder):
    made = objective(groups_folder, model={"critic": "cosine", "loss_temperature": 0.2})
    torch.manual_seed(0)
    model = made.build_model()
    fixed = objective(groups_folder, model={"loss_temperature": 0.2})
    torch.manual_seed(0)
    other = fixed.build_model()
    other.load_state_dict(model.state_dict(), strict=False)
    losses = [
        each.loss_module(net.train())(each.batches[0].to("cpu"))[0]
        for each, net in ((made, model), (fixed, other))
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    losses[0].backward()
    slope = model.critic.log_scale.grad.item()
    with torch.no_grad():  # against a difference of losses
        values = []
        for step in (1e-2, -1e-2):
            model.critic.log_scale += step
            values.append(made.loss_module(model)(made.batches[0].to("cpu"))[0].item())
            model.critic.log_scale -= step
    assert slope == pytest.approx((values[0] - values[1]) / 2e-2, rel=0.02)
    assert slope != 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"views": {"crop": 0}}, "crop"),
        ({"views": {"spans": 3}}, "span"),
        ({"views": {"exons": 1.0}}, "exons"),
        ({"fewest_transcripts": 0}, "fewest_transcripts"),
        ({"model": {"critic": "bilinear"}}, "critic: got 'bilinear'"),
    ],
)
def test_wrong_values_are_refused(groups_folder, keys, message):
    with pytest.raises((InputError, ValueError), match=message):
        objective(groups_folder, **keys)
