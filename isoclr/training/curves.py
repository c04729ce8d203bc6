"""What a run logs, and the figure of it."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


class RunLog:
    """One JSON line a record, cut back to where a resumed run starts.

    Args:
        path: the log file.
        steps_done: later records are dropped: the resumed run writes them again.
    """

    def __init__(self, path: Path, steps_done: int):
        self.path = path
        self.records = [r for r in read_log(path) if r["step"] <= steps_done]
        beside = path.with_name(f".{path.name}")
        beside.write_text("".join(json.dumps(record) + "\n" for record in self.records))
        beside.replace(path)

    def write(self, **record) -> None:
        """Append a record; it must have a `step`."""
        self.records.append(record)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def read_log(path: Path) -> list[dict]:
    """Records of a log; none where there is no file. A last line cut short does not count."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def plot_curves(records: list[dict], path: Path) -> None:
    """Loss and pair accuracy over steps, in training and on held-out pairs.

    Args:
        records: of a `RunLog`.
        path: the PNG to write.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    held_out = [r for r in records if "held_out_loss" in r]
    train = [r for r in records if "loss" in r]
    series = (
        (left, train, "loss", "training batches", {"color": "tab:blue", "alpha": 0.5}),
        (left, held_out, "held_out_loss", "held-out pairs", {"color": "tab:green", "marker": "o"}),
        (left, held_out, "shuffled_loss", "the same, shuffled", {"color": "grey", "ls": "--"}),
        (right, train, "accuracy", "training batches", {"color": "tab:blue", "alpha": 0.5}),
        (
            right,
            held_out,
            "held_out_accuracy",
            "held-out pairs",
            {"color": "tab:green", "marker": "o"},
        ),
    )
    for axis, rows, key, label, style in series:
        axis.plot([r["step"] for r in rows], [r[key] for r in rows], label=label, ms=3, **style)
    left.set_ylabel("contrastive loss")
    right.set_ylabel("partner ranked first (fraction)")
    right.set_ylim(0, 1)
    for axis in (left, right):
        axis.set_xlabel("step")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
