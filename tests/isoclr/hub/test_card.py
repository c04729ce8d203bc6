"""The card says what the files say, and nothing else."""

import json
import re
import shutil

import pytest
from huggingface_hub import ModelCard
from results import results_of

from data_builders.labels.base import MULTILABEL, REGRESSION
from data_builders.records import InputError
from isoclr.evaluation.scores import METRICS
from isoclr.hub.card import count_parameters, write_card
from isoclr.hub.measure import measure
from modeling_isoclr import (
    IsoCLRConfig,
    IsoCLRForPreTraining,
    IsoCLRModel,
    RPIConfig,
    RPIForSequenceClassification,
)


@pytest.fixture
def folder(model_folder, tmp_path):
    """A copy to write into."""
    return shutil.copytree(model_folder, tmp_path / "model")


@pytest.fixture
def bare(tmp_path):
    """A 4-track encoder alone, as Orthrus reads N."""
    folder = tmp_path / "bare"
    config = IsoCLRConfig(filters=[4], blocks=[1], dilations=[1], n_tracks=4, unknown_value=0)
    IsoCLRModel(config).save_pretrained(folder)
    return folder


def text_of(folder, **keywords):
    return write_card(folder, **keywords).read_text()


def n_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameters_are_those_of_the_model(folder, bare, tmp_path):
    model = IsoCLRForPreTraining.from_pretrained(folder)
    encoder, heads = n_parameters(model.isoclr), n_parameters(model.projector)
    counted = count_parameters(folder / "model.safetensors")
    assert counted == {"encoder": encoder, "heads": heads}
    alone = n_parameters(IsoCLRModel.from_pretrained(bare))
    assert count_parameters(bare / "model.safetensors") == {"encoder": alone, "heads": 0}
    config = IsoCLRConfig(
        filters=[4], blocks=[1], dilations=[1], pooling="regions", discriminants=2
    )
    regions = IsoCLRModel(config)
    regions.save_pretrained(tmp_path / "regions")
    counted = count_parameters(tmp_path / "regions" / "model.safetensors")
    assert counted["encoder"] == n_parameters(regions)
    assert f"{encoder:,} parameters ({heads:,} more" in text_of(folder)
    assert f"{alone:,} parameters" in text_of(bare)


def test_training_and_data_are_those_of_the_files(folder, groups_folder):
    text = text_of(folder)
    assert "The last batch, at step 2, had loss 3.125." in text
    assert re.search(
        r"Of 1,024 pairs .* at step 1: loss 2.345, with\nshuffled partners 6.789;.* for 12.5%", text
    )
    for row in ("steps | 2", "max_length | 5000", "filters | [4, 6]", "pooling | stages"):
        assert f"| {row} |" in text
    assert "over 5,000 nt were left out" in text
    assert "embedding of 10 numbers" in text
    assert "N is 0.25 in each" in text and "first base of each codon" in text
    report = json.loads((groups_folder / "report.json").read_text())
    assert f"{report['dataset']['transcripts']:,} transcripts" in text
    for species, n in report["dataset"]["species"].items():
        assert f"| {species} | {n:,} |" in text
    sources = [*report["sources"], report["homology"]]
    for file in (file for source in sources for file in source["files"].values()):
        assert f"| `{file['name']}` | `{file['sha256']}` |" in text


def test_what_no_file_says_is_left_out(bare, folder, tmp_path):
    text = text_of(bare)
    assert re.findall("^## (.*)", text, re.MULTILINE) == [
        "How to use it",
        "Input",
        "Intended use and limits",
        "Citation",
    ]
    assert "N is 0 in each" in text and "first base of each codon" not in text
    for trace in ("| None", "{{ ", "{%", "curves.png", "Transcripts over", "It has", "model-index"):
        assert trace not in text
    recipe = folder / "recipe.yaml"
    recipe.write_text(re.sub("path: .*", f"path: {tmp_path}/gone", recipe.read_text()))
    text = text_of(folder)
    assert "## Training\n" in text and "## Training data" not in text and "gone" not in text


def test_results_are_in_the_table_and_in_the_metadata(folder, probe_file):
    path = write_card(folder, results=[probe_file], datasets=["someone/groups"])
    text = path.read_text()
    assert "**half_life**: 1,234 transcripts, 56 homology groups, homology split, 2 seeds." in text
    # Two splits of 200 test and 800 train rows: 12.706 * (1/2 + 200/800) ** 0.5 * s.
    scores = "0.450 ± 0.778 | 0.500 ± 0.000 | 1.500 ± 0.000"
    assert f"| IsoCLR | {scores} |  |" in text
    assert "| k-mers | 0.560 ± 0.934 | 0.500 ± 0.000 | 1.500 ± 0.000 | +0.110 ± 0.156 |" in text
    assert "half of\na 95 % corrected resampled t interval (Nadeau & Bengio 2003)" in text
    data = ModelCard.load(path).data
    assert (data.license, data.library_name, data.datasets, data.model_name) == (
        "apache-2.0",
        "transformers",
        ["someone/groups"],
        folder.name,
    )
    assert f"\n# {folder.name}\n" in text and "OWNER" not in text
    assert [(r.metric_type, r.metric_value, r.dataset_name) for r in data.eval_results] == [
        ("pearsonr", pytest.approx(0.45), "half_life"),
        ("spearmanr", 0.5, "half_life"),
        ("mse", 1.5, "half_life"),
    ]


def test_results_and_notes_in_the_folder_are_taken_in(folder, probe_file):
    results = folder / "results" / "mouse"
    results.mkdir(parents=True)
    shutil.copy(probe_file, results)
    (results / "probe.png").touch()
    probe = json.loads(probe_file.read_text())
    few = {"train_rows": 85, "summary": {"IsoCLR": probe["summary"]["IsoCLR"]}}  # fewer controls
    (results / "probe.json").write_text(json.dumps(probe | {"few_labels": [few]}))
    (results / "few_labels.png").touch()
    scores = [{"pearson": 0.5 + x, "spearman": 0.5, "mse": 1.5} for x in (-0.1, 0.1)]
    curve = results_of(
        REGRESSION,
        {"scratch": scores, "fine-tuned": scores},
        {85: {"scratch": scores}, 11: {"scratch": scores, "fine-tuned": scores[:1]}},
    )
    curve.to_json(results / "low_data.json")
    (results / "low_data.png").touch()
    (folder / "NOTES.md").write_text("## How it was made\n\nBy hand.\n")
    text = text_of(folder)
    assert "## How it was made\n\nBy hand.\n\n## How to use it" in text
    assert "![mouse](results/mouse/probe.png)" in text
    assert "**mouse**: 1,234 transcripts" in text
    cell = "0.450 ± 0.778"
    assert f"| features | 85 labels |\n|---|---|\n| IsoCLR | {cell} |\n\n" in text
    cell = "0.500 ± 1.556"
    assert "\n| method | 11 labels | 85 labels | 800 labels |\n|---|---|---|---|\n" in text
    assert f"| scratch | {cell} | {cell} | {cell} |" in text
    assert f"| fine-tuned | | | {cell} |" in text
    assert "![mouse](results/mouse/few_labels.png)" in text
    assert "![mouse](results/mouse/low_data.png)" in text


def test_a_card_says_by_what_its_results_are_made(folder):
    assert "make results" not in text_of(folder)
    (folder / "results").mkdir()
    how = "mouse: {fast: [probe], not_made: [control], cpu_minutes: 1.4}\nhuman: "
    (folder / "results" / "commands.yaml").write_text(how + "[probe]")
    assert "anew, and says which numbers differ." in text_of(folder)
    how += "{fast: [probe], cpu_minutes: 1}"
    (folder / "results" / "commands.yaml").write_text(how)
    text = text_of(folder)
    assert f"`make results MODEL={folder.name}` in the repository of isoclr makes these" in text
    assert "anew, in about 2 minutes of a CPU core, and says which numbers differ." in text
    assert "models that are not shipped are not made again: control.\n" in text


def test_classes_have_their_own_metrics(folder, tmp_path):
    scores = {"IsoCLR": [dict.fromkeys(METRICS[MULTILABEL], value) for value in (0.5, 0.75)]}
    path = tmp_path / "probe.json"
    results_of(MULTILABEL, scores, classes=2).to_json(path)
    card = write_card(folder, results=[path])
    heads = "| features | macro AUROC | micro AUROC | macro AUPRC | micro AUPRC | Δ |"
    assert heads in card.read_text()
    results = ModelCard.load(card).data.eval_results
    assert {(r.task_type, r.metric_value) for r in results} == {("tabular-classification", 0.625)}
    assert len(results) == 4


def test_two_splits_of_one_label_stay_apart(folder, probe_file, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(probe_file.read_text().replace('"homology"', '"random"'))
    data = ModelCard.load(write_card(folder, results=[probe_file, other])).data
    configs = [result.dataset_config for result in data.eval_results]
    assert configs == ["homology split"] * 3 + ["random split"] * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "no config.json in it, wanted a model"),
        ("config.json", "{", "config.json: not JSON, wanted a model"),
        ("config.json", '{"model_type": "bert"}', "got 'bert', wanted 'isoclr'"),
        ("model.safetensors", None, "no model.safetensors in it"),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1", "wanted weights in"),
        ("recipe.yaml", "a: [", "recipe.yaml: not YAML"),
        ("recipe.yaml", "a", "recipe.yaml: got str, wanted keys and values"),
        ("probe.json", None, "probe.json: no such file"),
        ("probe.json", "[]", "probe.json: no label in it, wanted the probe.json of isoclr probe"),
    ],
)
def test_bad_files_are_one_line(folder, probe_file, name, content, message):
    shutil.copy(probe_file, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        write_card(folder, results=[folder / "probe.json"])
    assert "\n" not in str(error.value)
    assert not (folder / "README.md").exists()


def test_heads_in_the_folder_are_in_the_card(folder, tmp_path):
    assert "Ready-made heads" not in text_of(folder)
    head = folder / "heads" / "fast"
    head.mkdir(parents=True)
    facts = {"name": "fast", "predicts": "speed", "citation": "Author 2020"}
    facts["training"] = {"rows": 1234}
    facts["held_out"] = {"pearson": [0.5, 0.1], "coverage 0.9": [0.875, 0.0625]}
    (head / "head.json").write_text(json.dumps(facts))
    text = text_of(folder)
    assert "| fast | speed (Author 2020) | 1,234 transcripts | Pearson r 0.500 ± 0.100 |" in text
    assert "| 0.875 ± 0.062 |" in text
    (head / "head.json").write_text("{}")
    with pytest.raises(InputError, match="head.json: no name in it, wanted the head.json of"):
        write_card(folder)


def test_what_a_person_says_is_in_the_card(folder):
    (folder / "card.yaml").write_text(
        "developer: A. Person\nsource: https://example.org\ndatasets: [someone/groups]\n"
        "siblings: {other: of another size}\n"
    )
    path = write_card(folder, datasets=["another/groups"])
    text = path.read_text()
    for row in ("developed by | A. Person", "sibling | `other`: of another size"):
        assert f"| {row} |" in text
    assert ModelCard.load(path).data.datasets == ["another/groups", "someone/groups"]
    assert ModelCard.load(path).data.language == "rna"
    assert "author = {{A. Person}}" in text and "Splicing Up Your Predictions" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("developr: me", "card.yaml: developr: unknown key; did you mean developer?"),
        ("[a]", "card.yaml: got list, wanted keys and values"),
        ("datasets: 7", "card.yaml: datasets: Input should be a valid list"),
        ("a: &x b", "card.yaml: "),
    ],
)
def test_bad_details_are_one_line(folder, content, message):
    (folder / "card.yaml").write_text(content)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        write_card(folder)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_speed_and_memory_are_measured_and_shown(folder):
    found = measure(folder, lengths=(64,))
    (row,) = found["rows"]
    assert found["unit"] == "letters" and row["length"] == 64 and row["batch"] == 750
    # A process with torch in it takes more than this; a laptop has less than that.
    assert row["per_second"] > 1000 and 5e7 < row["peak_bytes"] < 2**36
    text = text_of(folder)
    assert (
        f"| 64 | 750 | {round(row['per_second']):,} | {round(row['peak_bytes'] / 2**20):,} MiB"
        in text
    )
    (folder / "measured.json").write_text('{"device": "x"}')
    with pytest.raises(
        InputError, match="no threads|no torch in it, wanted the file of isoclr card"
    ):
        write_card(folder)


@pytest.mark.slow
def test_pairs_are_measured_by_the_length_of_their_rna(tmp_path):
    spec = {"kind": "kmers", "size": 21}
    config = RPIConfig(design="bilinear", hidden_size=4, protein_embedder=spec)
    RPIForSequenceClassification(config).save_pretrained(tmp_path)
    found = measure(tmp_path, lengths=(4000, 8000))
    assert found["unit"] == "pairs" and found["other_length"] == 400
    assert [(row["length"], row["batch"]) for row in found["rows"]] == [(4000, 12), (8000, 6)]
    assert all(row["per_second"] > 1 and row["peak_bytes"] > 5e7 for row in found["rows"])
    assert 0 <= found["busy"] <= 1
    assert json.loads((tmp_path / "measured.json").read_text()) == found


def test_what_cannot_be_measured_is_one_line(folder):
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        InputError, match="model_type: got 'bert', wanted one of isoclr, isoclr_expression, rpi"
    ):
        measure(folder)
