"""The path of homologs on simulated families, by the commands that a user types."""

import json
from pathlib import Path

from isoclr.demo import fresh_process, score_table, steps
from isoclr.training.curves import read_log

_FAMILIES = 600
_LOAD = """
import torch
from transformers import AutoModel, AutoTokenizer
folder = {model!r}
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
batch = tokenizer(["MKVLAAGIVGLC"], return_tensors="pt")
with torch.inference_mode():
    print("embedding of one protein:", tuple(model(**batch).pooler_output.shape))
"""


def homolog_commands(output: Path) -> list[tuple[str, list[str]]]:
    """Return each step's title and command."""
    return steps(
        output,
        (
            f"{_FAMILIES} families of coding sequences, simulated along a tree",
            f"isoclr simulate --homologs {_FAMILIES} --output {{output}}/simulated",
        ),
        (
            "Families of proteins, with the distances of the tree",
            "isoclr build-homologs --families {output}/simulated/families.tsv --translate "
            "--distances {output}/simulated/tree.nwk --output {output}/families",
        ),
        (
            "Contrastive training: homologs are views of one function",
            "isoclr train homologs/demo --data {output}/families --output {model}",
        ),
        fresh_process(_LOAD),
        (
            "How much two homologs of unseen families say about each other",
            "isoclr information --model {model} --batches 10 --bands 0.3-0.7,0.7-1.5 "
            "--output {output}/information",
        ),
        (
            "The kind of each family as a label",
            "isoclr labels table {output}/simulated/labels.tsv --label kind --kind multiclass "
            "--output {output}/kinds.parquet",
        ),
        (
            "What frozen embeddings know of it",
            "isoclr probe-coding --model {model} --labels {output}/kinds.parquet --kmers 2 "
            "--seeds 5 --output {output}/probe",
        ),
    )


def homolog_summary(output: Path, seconds: float) -> str:
    """Return what was made, where it lies, and what the numbers say."""
    report = json.loads((output / "families" / "report.json").read_text())
    last = read_log(output / "model" / "log.jsonl")[-1]
    table = score_table(output / "probe" / "probe.json", "accuracy", 36)
    return f"""
== Done in {seconds:.0f} s
  {output}/simulated    families, the tree of their species, the kind of each
  {output}/families     {report["sequences"]} proteins in {report["families"]} families; report.png
  {output}/model        the encoder, as a Hub folder; curves.png
  {output}/information  bounds by band of distances; families.png
  {output}/probe        probe.json, probe.png

  After {last["step"]} steps the bound on held-out families is {last["held_out_bound"]:.2f} nats, of at most {last["held_out_log_n"]:.2f};
  with permuted partners it is {last["held_out_permuted"]:.2f}. The partner ranks first for {last["held_out_accuracy"]:.0%}.

  The kind of a family from frozen features, accuracy (mean ± 95 %; chance is 0.25):
{table}
  A kind is a stretch of sites that evolution keeps; no label entered the training.

  With data of your own:
    isoclr build-homologs --families ALIGNMENTS --output families
    isoclr train homologs/protein --data families --output model
"""  # noqa: E501  a screen of text
