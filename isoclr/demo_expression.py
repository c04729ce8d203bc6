"""The path from simulated reads to the figure of phenotypes, by the commands that a user types."""

import json
from importlib.util import find_spec
from pathlib import Path

from isoclr.demo import fresh_process, steps
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
    if find_spec("anndata"):
        reads, more, embeddings = "reads.h5ad", "", "embeddings.h5ad"
    else:
        reads, more, embeddings = (
            "reads.tsv",
            "--obs {output}/reads.samples.tsv",
            "embeddings.parquet",
        )
    return steps(
        output,
        (
            "Reads of 600 genes in 240 samples, simulated",
            f"isoclr expression simulate --output {{output}}/{reads}",
        ),
        (
            "One matrix of log2 values",
            f"isoclr expression prepare {{output}}/{reads} {more} --output {{matrix}}",
        ),
        (
            "Self-supervised training by SCARF",
            "isoclr train expression/scarf-small --data {matrix} --group_column donor --steps 200 "
            "--output {model}",
        ),
        fresh_process(_LOAD),
        (
            "Embeddings of every sample, and a figure by tissue",
            "isoclr expression embed {model} {matrix} "
            f"--output {{output}}/{embeddings} --label tissue",
        ),
        (
            "Tissues from few labels, beside plain baselines",
            "isoclr phenotype {matrix} --label tissue --group donor --methods scarf --labels 0.1,1 "
            "--folds 2 --seeds 1 --steps 100 --no-controls --output {output}/phenotype",
        ),
        matrix=output / "expression.parquet",
    )


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
