"""The path of RNA–protein pairs with planted motifs, by the commands that a user types."""

from pathlib import Path

from isoclr.demo import fresh_process, score_table, steps
from isoclr.training.curves import read_log

_RNAS, _PROTEINS, _MOTIFS = 120, 80, 4
_NAME, _KIND, _NEGATIVES = "simulated", "both-new", "given"
_LOAD = """
import torch
from transformers import AutoModelForSequenceClassification, AutoProcessor
folder = {model!r}
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
inputs = processor(["ACGUACGUACGU"], ["MKVLAAGIVGLC"], return_tensors="pt")
with torch.inference_mode():
    probability = model.probabilities(model(**inputs).logits).item()
print(f"probability of one pair: {{probability:.3f}}")
"""


def interaction_commands(output: Path) -> list[tuple[str, list[str]]]:
    """Return each step's title and command."""
    return steps(
        output,
        (
            f"{_RNAS} RNAs and {_PROTEINS} proteins; those whose motifs belong together interact",
            f"isoclr interactions simulate --rnas {_RNAS} --proteins {_PROTEINS} "
            f"--motifs {_MOTIFS} --output {{pairs}}",
        ),
        (
            "What memory, one molecule alone and k-mers say of pairs of two new molecules",
            f"isoclr interactions evaluate {{pairs}} --splits {_KIND} --negatives {_NEGATIVES} "
            "--folds 3 --output {output}/controls",
        ),
        (
            "A model that looks for motifs; its test part is left alone",
            f"isoclr train interactions/motifs --data {{pairs}} --negatives {_NEGATIVES} "
            "--negative_draws 1 --folds 3 --steps 150 --evaluate_every 50 --tracker null "
            "--output {model}",
        ),
        fresh_process(_LOAD),
        (
            "The probability of every pair, and how far its molecules are from training",
            "isoclr interact {model} --rna {pairs}/rnas.parquet "
            "--protein {pairs}/proteins.parquet --output {output}/scores.tsv "
            "--heat-map {output}/scores.png",
        ),
        pairs=output / _NAME,
    )


def interaction_summary(output: Path, seconds: float) -> str:
    """Return what was made, where it lies, and what the numbers say."""
    path = output / "controls" / f"{_NAME}_{_KIND}_{_NEGATIVES}.json"
    table = score_table(path, "auroc", 22)
    log = read_log(output / "model" / "log.jsonl")
    best = max(line["held_out_auroc"] for line in log if "held_out_auroc" in line)
    return f"""
== Done in {seconds:.0f} s
  {output}/{_NAME}   pairs with sequences of both molecules
  {output}/controls    tables and figures of what needs no model
  {output}/model       the model, as a Hub folder; curves.png
  {output}/scores.tsv  the probability of every pair; scores.png

  AUROC on pairs of which both molecules are new (mean ± 95 %; chance is 0.5):
{table}
  The model that looks for motifs has {best:.3f} on its validation pairs, which chose its weights.
  Motifs decide here, and nothing else does. In pairs from structures far less is known:
  docs/INTERACTIONS.md has the same table of them.

  With data of your own:
    isoclr build-interactions --pairs PAIRS --rnas RNAS.fa --proteins PROTEINS.fa --output pairs
    isoclr train interactions/kernel --data pairs --output model
    isoclr interact model --rna NEW_RNAS.fa --protein NEW_PROTEINS.fa --output scores.tsv
"""
