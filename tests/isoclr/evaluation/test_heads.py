import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification

from data_builders.labels.files import write_label_set
from data_builders.labels.label_set import LabelSet
from data_builders.labels.source import LabelSource
from data_builders.records import InputError, Transcript
from isoclr.cli import main
from isoclr.evaluation import heads
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.fit_head import fit_head, make_head
from isoclr.evaluation.predict import predict, predict_embedded
from isoclr.evaluation.readings import encoder_of, read_also
from isoclr.hub.push import shared_files
from isoclr.model_folder import HEAD_FILES
from isoclr.pretrained import load_model
from isoclr.shipped import shipped_folder
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer

LENGTHS = (120, 240)


def made_transcripts(n, seed=0):
    """Human transcripts of one exon, a third of each coding."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        length = int(rng.integers(*LENGTHS))
        sequence = "".join(rng.choice(list("ACGT"), length, p=rng.dirichlet([4] * 4)))
        third = length // 9 * 3
        names = (f"t{number}", f"g{number}", "homo_sapiens")
        found.append(Transcript(*names, sequence, third, 2 * third, ()))
    return tuple(found)


def labels_of(transcripts, **more):
    """The share of G and C in each transcript, with noise; two transcripts a homology group."""
    rng = np.random.default_rng(1)
    share = [(t.sequence.count("G") + t.sequence.count("C")) / len(t.sequence) for t in transcripts]
    values = np.array(share) + rng.normal(0, 0.05, len(share))
    groups = tuple(str(number // 2) for number in range(len(transcripts)))
    given = {"label": "gc", "task": "regression", "targets": values} | more
    return LabelSet(transcripts=transcripts, groups=groups, **given)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = IsoCLRConfig(filters=[8, 8], blocks=[1, 1], dilations=[1, 2], pooling="stages")
    IsoCLRModel(config).save_pretrained(folder)
    IsoCLRTokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """A head of 300 labels with its encoder, as the command makes it."""
    folder = tmp_path_factory.mktemp("heads")
    write_label_set(labels_of(made_transcripts(300)), folder / "gc.parquet")
    words = ["--labels", folder / "gc.parquet", "--output", folder / "gc", "--with-encoder"]
    assert main(["head", "--model", *map(str, [model, *words])]) == 0
    return folder / "gc"


@pytest.fixture(scope="module")
def new_transcripts():
    return made_transcripts(400, seed=5)


def test_intervals_cover_transcripts_that_nobody_has_seen(made, model, new_transcripts):
    observed = labels_of(new_transcripts).targets
    for level in heads.LEVELS:
        table = predict(new_transcripts, [made], model=model, level=level, progress=False)
        covered = table["lower"].is_between(float("-inf"), pl.Series(observed)) & (
            table["upper"] >= pl.Series(observed)
        )
        # Two standard errors of 400 transcripts, and as much for the 300 labels behind the width.
        assert abs(covered.mean() - level) < 4 * (level * (1 - level) / 400) ** 0.5
    assert np.corrcoef(table["prediction"], observed)[0, 1] > 0.7
    held_out = heads.read_head(made).held_out
    assert abs(held_out["coverage 0.9"][0] - 0.9) < 0.05
    assert held_out["pearson"][0] > 0.7


def test_auto_model_gives_the_predictions_of_the_head(made, model, new_transcripts):
    classifier = AutoModelForSequenceClassification.from_pretrained(made)
    tokenizer = IsoCLRTokenizer()
    few = new_transcripts[:5]
    batch = tokenizer(
        [t.sequence for t in few],
        cds=[(t.cds_start, t.cds_end) for t in few],
        exon_junctions=[t.exon_junctions for t in few],
        padding=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        logits = classifier(**batch).logits[:, 0].numpy()
    table = predict(few, [made], model=model, progress=False)
    np.testing.assert_allclose(logits, table["prediction"], rtol=1e-4, atol=1e-5)
    assert classifier.config.id2label == {0: "gc"}
    assert classifier.config.problem_type == "regression"


def test_a_folder_with_its_encoder_is_a_model_too(made, new_transcripts):
    alone = predict(new_transcripts[:3], [made], model=made, progress=False)
    assert alone["head"].to_list() == ["gc"] * 3


def test_a_push_takes_the_heads_of_a_model_along(made, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    shutil.copytree(made, folder / "heads" / "gc")
    found = {name for name in shared_files(folder) if name.startswith("heads/")}
    assert found == {f"heads/gc/{name}" for name in HEAD_FILES}
    assert list(heads.heads_of(folder)) == ["gc"]


def test_warnings_say_in_what_a_transcript_is_unlike(made, model):
    usual = made_transcripts(1, seed=9)[0]
    fields = (usual.transcript_id, usual.gene_id)
    unusual = {
        "": usual,
        "of mus_musculus, fitted to homo_sapiens": Transcript(
            *fields, "mouse", usual.sequence, usual.cds_start, usual.cds_end, ()
        ),
        "no CDS, all of training have one": Transcript(
            *fields, "unknown", usual.sequence, -1, -1, ()
        ),
        "exons unknown": Transcript(
            *fields, "unknown", usual.sequence, usual.cds_start, usual.cds_end, None
        ),
        "CDS of 3 nt, 99 % of training have": Transcript(
            *fields, "unknown", usual.sequence, 60, 63, ()
        ),
        "embedding at a distance of": Transcript(*fields, "unknown", "A" * 180, 60, 120, ()),
    }
    found = predict(list(unusual.values()), [made], model=model, progress=False)["warning"]
    assert found[0] is None
    for wanted, warning in list(zip(unusual, found, strict=True))[1:]:
        assert wanted.replace("mus_musculus", "mouse") in warning


def test_predictions_are_a_table_of_either_form(made, model, new_transcripts, tmp_path, capsys):
    pl.DataFrame(
        {
            "transcript_id": ["=a", "b"],
            "gene_id": ["g", "h"],
            "species": ["human", "human"],
            "sequence": [t.sequence for t in new_transcripts[:2]],
            "cds_start": [t.cds_start for t in new_transcripts[:2]],
            "cds_end": [t.cds_end for t in new_transcripts[:2]],
            "exon_junctions": ["[]", "[]"],
        }
    ).write_csv(tmp_path / "t.tsv", separator="\t")
    words = ["predict", "--model", model, "--head", made, "--table", tmp_path / "t.tsv", "--output"]
    for ending in ("parquet", "tsv"):
        assert main([*map(str, words), str(tmp_path / f"p.{ending}")]) == 0
    assert "2 predictions, 0 with a warning" in capsys.readouterr().out
    parquet = pl.read_parquet(tmp_path / "p.parquet")
    text = pl.read_csv(tmp_path / "p.tsv", separator="\t")
    assert parquet["transcript_id"].to_list() == ["=a", "b"]
    assert text["transcript_id"].to_list() == ["'=a", "b"]
    assert parquet.columns == text.columns
    np.testing.assert_array_equal(parquet["prediction"], text["prediction"])
    assert main([*map(str, words), str(tmp_path / "p.xlsx")]) == 2
    assert "p.xlsx: got the ending '.xlsx', wanted .parquet or .tsv" in capsys.readouterr().err
    assert main([*map(str, words), str(tmp_path / "p.tsv"), "--level", "0.7"]) == 2
    assert "level: got 0.7, wanted one of 0.5, 0.8, 0.9, 0.95" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_heads_of_classes_give_probabilities(task, model, new_transcripts):
    encoder, tokenizer = load_model(model)
    values = labels_of(new_transcripts).targets
    high = values > np.median(values)
    targets = {"binary": high, "multiclass": high.astype(int)}
    targets["multilabel"] = np.stack([high, ~high], axis=1)
    classes = () if task == "binary" else ("low", "high")
    labels = labels_of(new_transcripts, task=task, targets=targets[task], classes=classes)
    embeddings = embed_transcripts(encoder, tokenizer, new_transcripts, progress=False)
    head, results = fit_head(embeddings, labels, name="h")
    table = predict_embedded(head, embeddings, new_transcripts)
    assert table.height == 400 * max(len(classes), 1)
    assert table["prediction"].is_between(0, 1).all()
    assert table["lower"].is_null().all()
    assert head.held_out[results.metrics[0]][0] > 0.7
    if task == "multiclass":
        of_each = table.group_by("transcript_id", maintain_order=True).agg(pl.sum("prediction"))
        np.testing.assert_allclose(of_each["prediction"], 1)


def test_a_head_of_many_classes_may_have_the_most_frequent_alone(model, tmp_path):
    transcripts = made_transcripts(400)
    rng = np.random.default_rng(0)
    targets = rng.random((400, 4)) < [0.02, 0.09, 0.06, 0.5]  # the last is of too many genes
    labels = labels_of(
        transcripts, task="multilabel", targets=targets, classes=("a", "b", "c", "d"), label="go"
    )
    write_label_set(labels, tmp_path / "go.parquet")
    words = ["--labels", tmp_path / "go.parquet", "--task", "go-mf", "--terms", 2]
    words += ["--model", model, "--output", tmp_path / "terms"]
    assert main(["head", *map(str, words)]) == 0
    made = heads.read_head(tmp_path / "terms")
    assert made.classes == ("b", "c") and made.predicts.startswith("molecular functions")


def test_a_head_of_another_encoder_is_refused(made, new_transcripts, tmp_path):
    torch.manual_seed(1)
    config = IsoCLRConfig(filters=[8, 8], blocks=[1, 1], dilations=[1, 2], pooling="stages")
    IsoCLRModel(config).save_pretrained(tmp_path)
    IsoCLRTokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="head 'gc': got weights of"):
        predict(new_transcripts[:1], [made], model=tmp_path, progress=False)


@pytest.mark.parametrize("by_itself", [0, 72])
def test_heads_may_read_more_than_their_encoder(by_itself, new_transcripts, tmp_path):
    """Whether or not it has a start window by itself."""
    shape = {"filters": [8], "blocks": [1], "dilations": [1], "pooling": "regions"}
    shape["start_window"] = by_itself
    shape |= {"stem_filters": 4, "layout_size": 8, "content_size": 4}
    torch.manual_seed(0)
    model = tmp_path / "model"
    IsoCLRModel(IsoCLRConfig(**shape)).save_pretrained(model)
    IsoCLRTokenizer().save_pretrained(model)
    write_label_set(labels_of(made_transcripts(300)), tmp_path / "gc.parquet")
    options = {"plain": [], "start": ["--start-window", 24], "far": ["--start-window", 48]}
    readings = {"plain": {}, "start": {"start_window": 24}, "far": {"start_window": 48}}
    options["pairs"], readings["pairs"] = ["--residue-pairs"], {"residue_pairs": True}
    few, (encoder, tokenizer) = new_transcripts[:5], load_model(model)
    alone = {}
    for name, reading in readings.items():
        words = ["--labels", tmp_path / "gc.parquet", "--output", model / "heads" / name]
        assert main(["head", "--model", *map(str, [model, *words, *options[name]])]) == 0
        head, reader = heads.read_head(model / "heads" / name), read_also(encoder, **reading)
        assert head.readings == reading and head.encoder == heads.weights_digest(reader)
        alone[name] = predict(few, [name], model=model, progress=False)
        embeddings = embed_transcripts(reader, tokenizer, few, progress=False)
        np.testing.assert_array_equal(alone[name]["prediction"], head.values(embeddings)[:, 0])
    together = predict(few, list(alone), model=model, progress=False)
    assert together.equals(pl.concat(alone.values()))
    # What has the embeddings of the model alone can't ask heads that read more.
    assert list(heads.number_heads(model)) == ["plain"]
    width = {0: 88, 72: 88 + 384 + 7 * 4}[by_itself]
    with pytest.raises(InputError, match=rf"embeddings: got shape \(5, {width}\), wanted"):
        plain = embed_transcripts(encoder, tokenizer, few, progress=False)
        predict_embedded(head, plain, few)


def test_damaged_heads_are_refused(made, model, tmp_path):
    facts = json.loads((made / "head.json").read_text())
    arrays = load_file(made / "head.safetensors")

    def refused(facts, arrays, match):
        (tmp_path / "head.json").write_text(json.dumps(facts))
        save_file(arrays, tmp_path / "head.safetensors")
        with pytest.raises(InputError, match=match):
            heads.read_head(tmp_path)

    refused({**facts, "task": "guess"}, arrays, "task: got 'guess'")
    refused({**facts, "training": {}}, arrays, "wanted a head that isoclr head wrote")
    refused({**facts, "more": 1}, arrays, "wanted a head that isoclr head wrote")
    refused({k: v for k, v in facts.items() if k != "alpha"}, arrays, "no alpha in it")
    refused(facts, {**arrays, "weights": arrays["weights"][1:].copy()}, "weights: got float64")
    refused(facts, {**arrays, "centre": arrays["centre"] * np.nan}, "centre: got float64")
    refused(facts, {"weights": arrays["weights"]}, "wanted a head that isoclr head wrote")
    (tmp_path / "head.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="wanted a head"):
        heads.read_head(tmp_path)
    with pytest.raises(InputError, match="head 'nothing': no such folder, and .* has no heads"):
        heads.find_head("nothing", model)


def test_too_few_labels_for_intervals_are_refused(model):
    transcripts = made_transcripts(24)
    encoder, tokenizer = load_model(model)
    embeddings = embed_transcripts(encoder, tokenizer, transcripts, progress=False)
    with pytest.raises(InputError, match="labels to fit a head to: got 18, wanted at least 19"):
        fit_head(embeddings, labels_of(transcripts), name="h")


def test_a_source_is_read_with_the_facts_of_its_task(model, tmp_path):
    transcripts = made_transcripts(80)
    pl.DataFrame(
        {
            "gene_id": [t.gene_id for t in transcripts],
            "transcript_id": [t.transcript_id for t in transcripts],
            "sequence": [t.sequence for t in transcripts],
            "half_life": labels_of(transcripts).targets,
        }
    ).write_csv(tmp_path / "t.csv")
    source = LabelSource(path=tmp_path / "t.csv", task="half-life-mouse")
    made = make_head(source, tmp_path / "fast", model=model)
    assert made.predicts.startswith("half-life of mouse mRNAs")
    assert made.citation.startswith("Agarwal & Kelley 2022")
    assert made.training.species == ("mus_musculus",)
    assert (made.name, made.label) == ("fast", "half_life")
    read = heads.read_head(tmp_path / "fast")
    assert read.training == made.training and read.held_out == made.held_out
    np.testing.assert_array_equal(read.weights, made.weights)


SHIPPED = sorted(shipped_folder("model_cards").glob("*/heads/*"))


@pytest.mark.parametrize("head", SHIPPED, ids=[head.name for head in SHIPPED])
def test_every_shipped_head_fits_its_encoder(head):
    found = heads.read_head(head)
    encoder, _ = load_model(head.parents[1])
    assert found.encoder == heads.weights_digest(encoder_of(found, encoder))
    assert found.name == head.name
    if found.task == "regression":
        assert abs(found.held_out["coverage 0.9"][0] - 0.9) < 0.03
    else:
        assert found.held_out["auroc_macro"][0] > 0.7


def test_a_model_lists_its_heads(capsys, tmp_path):
    assert main(["predict", "--table", "none.tsv", "--output", str(tmp_path / "p.tsv")]) == 2
    assert "half-life-human" in capsys.readouterr().err
