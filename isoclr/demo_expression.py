"""The path from simulated reads to the figure of phenotypes, by the commands that a user types."""

import json
from importlib.util import find_spec
from pathlib import Path

from isoclr.training.curves import read_log

_LOAD = """
import numpy, torch
from transformers import AutoModel, AutoProcessor
folder = {model!r}
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
profile = numpy.ones((1, len(processor.genes)))
with torch.inference_mode():
    embedding = model(**processor(profile, processor.genes, return_tensors="pt")).pooler_output
print("embedding of one sample:", tuple(embedding.shape))
"""


def expression_demo_commands(output: Path) -> list[tuple[str, list[str]]]:
    """Each step's title and command, for `isoclr.demo.run_demo`.

    Without the package anndata the matrix is a TSV, and its samples are a table beside it.
    """
    matrix, model = output / "expression.parquet", output / "model"
    if find_spec("anndata"):
        reads, more, embeddings = output / "reads.h5ad", [], output / "embeddings.h5ad"
    else:
        reads, more = output / "reads.tsv", ["--obs", f"{output}/reads.samples.tsv"]
        embeddings = output / "embeddings.parquet"
    return [
        (
            "Reads of 600 genes in 240 samples, simulated",
            ["isoclr", "expression", "simulate", "--output", str(reads)],
        ),
        (
            "One matrix of log2 values",
            ["isoclr", "expression", "prepare", str(reads), *more, "--output", str(matrix)],
        ),
        (
            "Self-supervised training by SCARF",
            [
                *("isoclr", "train", "expression/scarf-small", "--data", str(matrix)),
                *("--group_column", "donor", "--steps", "200", "--output", str(model)),
            ],
        ),
        (
            "The model in a fresh process, by transformers alone",
            ["python", "-c", _LOAD.format(model=str(model))],
        ),
        (
            "Embeddings of every sample, and a figure by tissue",
            [
                *("isoclr", "expression", "embed", str(model), str(matrix)),
                *("--output", str(embeddings), "--label", "tissue"),
            ],
        ),
        (
            "Tissues from few labels, beside plain baselines",
            [
                *("isoclr", "phenotype", str(matrix), "--label", "tissue", "--group", "donor"),
                *("--methods", "scarf", "--labels", "0.1,1", "--folds", "2", "--seeds", "1"),
                *("--steps", "100", "--no-controls", "--output", f"{output}/phenotype"),
            ],
        ),
    ]


def expression_summary(output: Path, seconds: float) -> str:
    """What was made, where it lies, what the numbers say."""
    last = read_log(output / "model" / "log.jsonl")[-1]
    found = json.loads((output / "phenotype" / "phenotype.json").read_text())
    few = found["few_labels"][0]
    lines = "\n".join(
        f"    {name:<38} {few['summary'][name]['balanced_accuracy'][0]:.3f}  "
        f"{each['balanced_accuracy'][0]:.3f}"
        for name, each in found["summary"].items()
    )
    return f"""
== Done in {seconds:.0f} s
  {output}/expression.parquet  the matrix, with what is known of its samples
  {output}/model               the encoder, as a Hub folder; curves.png
  {output}/embeddings.*        an embedding of each sample; the figure
  {output}/phenotype           phenotype.json and .png, labels_saved.json, over_scratch.json

  Effective rank of the embeddings of held-out samples: {last["effective_rank"]:.1f}.
  Balanced accuracy of six tissues with {few["train_rows"]} labels, and with {found["train_rows"]}:
{lines}
  The tissues differ in planted programmes of genes: principal components find them.
"""
