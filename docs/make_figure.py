"""Draw docs/overview.png, the figure of README.md, from the results in model_cards/isoclr-small.

Run it after the results have changed: `python docs/make_figure.py`.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data_builders.figures import new_axes, write_figure  # noqa: E402

RESULTS = ROOT / "model_cards" / "isoclr-small" / "results"
TASKS = {
    "half_life_human": "half-life, human\n(Pearson r)",
    "half_life_mouse": "half-life, mouse\n(Pearson r)",
    "half_life_yeast": "half-life, yeast\n(Pearson r)",
    "go_mf": "molecular function\n(macro AUROC)",
    "ribosome_load_mpra": "ribosome load of\n5'UTR reporters (r)",
}
ROWS = {
    "isoclr-small": "#1f4e79",
    "random weights": "#6f9bc8",
    "boosting": "#c9a227",
    "codons + structure": "#c0562b",
    "k-mers": "#9a9a9a",
    "Saluki-like network": "#3d8b5f",
}


def scores(task: str) -> dict[str, tuple[float, float]]:
    """Return mean and half-width of the interval of each row, in the task's first metric."""
    found = json.loads((RESULTS / task / "probe.json").read_text())["summary"]
    rows = {}
    for name in ROWS:
        known = next((row for row in found if row == name or row.startswith(f"{name} ")), None)
        if known is not None:
            rows[name] = tuple(next(iter(found[known].values()))[:2])
    return rows


def main(output: Path = ROOT / "docs" / "overview.png") -> None:
    """Write the figure."""
    figure, axes = new_axes(11, 3.1)
    width = 0.8 / len(ROWS)
    for place, task in enumerate(TASKS):
        for i, (name, (mean, half)) in enumerate(scores(task).items()):
            x = place + (i - len(ROWS) / 2 + 0.5) * width
            label = name if place == 0 else None
            axes.bar(x, mean, width * 0.92, color=ROWS[name], label=label)
            axes.errorbar(x, mean, half, color="k", lw=0.8, capsize=1.5)
    axes.set_xticks(np.arange(len(TASKS)), list(TASKS.values()), fontsize=8)
    axes.set_ylim(0, 1)
    axes.tick_params(axis="y", labelsize=8)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    write_figure(figure, output, dpi=110)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
