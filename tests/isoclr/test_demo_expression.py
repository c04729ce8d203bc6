"""The demo of expression: its commands are those of the command line, its words those of files."""

import json
from pathlib import Path

import pytest

from isoclr import demo_expression
from isoclr.cli import main
from isoclr.demo import run_demo
from isoclr.demo_expression import expression_demo_commands, expression_summary


@pytest.mark.parametrize("with_anndata", [True, False])
def test_commands_with_and_without_anndata(tmp_path, monkeypatch, capsys, with_anndata):
    monkeypatch.setattr(demo_expression, "find_spec", lambda name: with_anndata or None)
    steps = expression_demo_commands(tmp_path)
    assert [command[0] for _, command in steps] == ["isoclr"] * 3 + ["python"] + ["isoclr"] * 2
    typed = " ".join(" ".join(command) for _, command in steps)
    assert ("reads.h5ad" in typed) == with_anndata == ("embeddings.h5ad" in typed)
    assert ("--obs" in typed) != with_anndata
    for _, command in steps:
        if command[0] == "isoclr":
            path = [command[1], *(command[2:3] if command[1] == "expression" else [])]
            assert main([*path, "--help"]) == 0
            known = capsys.readouterr().out
            for word in command:
                assert not word.startswith("--") or word in known or command[1] == "train", word


def test_it_simulates_and_prepares(tmp_path, capfd):
    def first_steps(output: Path):
        steps = expression_demo_commands(output)[:2]
        steps[0][1].extend(["--samples", "24", "--genes", "30", "--tissues", "3"])
        return steps

    run_demo(tmp_path / "demo", first_steps, lambda output, seconds: f"{output} is there")
    assert "24 samples × 30 genes, written as log2(x + 1)" in capfd.readouterr().out
    assert (tmp_path / "demo" / "expression.parquet").exists()


def test_the_last_words_are_those_of_the_files(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "phenotype").mkdir()
    (tmp_path / "model" / "log.jsonl").write_text('{"step": 1, "loss": 2, "effective_rank": 7.3}\n')
    scores = {"PCA": {"balanced_accuracy": [0.75, 0.1]}}
    found = {"train_rows": 90, "summary": scores}
    few = {"train_rows": 9, "summary": {"PCA": {"balanced_accuracy": [0.5, 0.1]}}}
    text = json.dumps(found | {"few_labels": [few]})
    (tmp_path / "phenotype" / "phenotype.json").write_text(text)
    said = expression_summary(tmp_path, 12.4)
    assert "Done in 12 s" in said and "held-out samples: 7.3" in said
    assert "with 9 labels, and with 90" in said and "0.500  0.750" in said
