"""What curves over label counts say: labels saved, and what pre-training gains over none."""

from collections.abc import Sequence

from isoclr.evaluation.results import Results
from isoclr.evaluation.scores import METRIC_NAMES
from isoclr.statistics import aligned, plus_minus

FROM_SCRATCH = "from scratch"
"""Name of the network that learns from the labels alone."""


def gains_over_scratch(results: Results) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return what encoders gain over the same network from scratch, split by split.

    Args:
        results: whose encoders are called "..., frozen + ..." or "..., fine-tuned".

    Returns:
        Method -> labels learned from, a rounded number as text -> "gain" of the first metric, half
        the "width" of its corrected 95 % interval, the two-sided "p" of the paired, corrected
        test, and the number of "splits" that both were run on. Empty without a network from
        scratch.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for name in results.predictors:
        if "frozen" not in name and "fine-tuned" not in name:
            continue
        for count in results.label_counts:
            scratch, mine = (results.of(each, count) for each in (FROM_SCRATCH, name))
            splits = len(set(scratch) & set(mine))
            if not splits:
                continue
            gain, width, p = results.gain(name, labels=count, reference=FROM_SCRATCH)
            labels = str(round(results.train_rows(count)))
            each = {"gain": gain, "width": width, "p": p, "splits": splits}
            found.setdefault(name, {})[labels] = each
    return found


def gains_over_scratch_lines(results: Results) -> list[str]:
    """Return what `gains_over_scratch` found, as lines for reading; none where it found nothing."""
    found = gains_over_scratch(results)
    if not found:
        return []
    labels = sorted({count for each in found.values() for count in each}, key=int)
    rows = [["over the network from scratch", *(f"{int(count):,} labels" for count in labels)]]
    for name, counts in found.items():
        rows.append([name, *(_gain_text(counts.get(count)) for count in labels)])
    metric = METRIC_NAMES[results.metrics[0]]
    return [f"{metric} less that of the network from scratch, paired, by labels", aligned(rows)]


def _gain_text(found: dict[str, float | None] | None) -> str:
    if found is None:
        return ""
    text = plus_minus(found["gain"], found["width"], sign="+")
    return text if found["p"] is None else f"{text} (p {found['p']:.1g})"


def labels_saved(results: Results) -> dict[str, dict[str, float | None]]:
    """Return how many labels each method needs to be as good as the network from scratch with all.

    The mean curve of a method is followed from few labels to many; between two label counts it is
    interpolated over the logarithm of the labels.

    Returns:
        Method -> "labels" that it needs and the share "saved" of all; None where it never gets
        there. Empty without a network from scratch.
    """
    counts, sizes = results.label_counts, [results.train_rows(c) for c in results.label_counts]
    if FROM_SCRATCH not in results.predictors:
        return {}
    goal = results.mean(FROM_SCRATCH)[0]
    if goal is None:
        return {}
    found: dict[str, dict[str, float | None]] = {}
    for name in results.predictors:
        means = [results.mean(name, labels=count)[0] for count in counts]
        known = [(size, mean) for size, mean in zip(sizes, means, strict=True) if mean is not None]
        needed = _first_reach(known, goal)
        saved = None if needed is None else 1 - needed / sizes[-1]
        found[name] = {"labels": needed, "saved": saved}
    return found


def _first_reach(curve: Sequence[tuple[float, float]], goal: float) -> float | None:
    """Labels at which a curve first is at its goal."""
    before = None
    for size, mean in curve:
        if mean >= goal:
            if before is None:
                return size
            part = (goal - before[1]) / (mean - before[1])
            return float(before[0] ** (1 - part) * size**part)
        before = size, mean
    return None


def labels_saved_lines(results: Results) -> list[str]:
    """Return what `labels_saved` found, as lines for reading; none where it found nothing."""
    found = labels_saved(results)
    if not found:
        return []
    most = results.train_rows(results.label_counts[-1])
    lines = [f"labels for what the network from scratch has with all {most:,.0f}"]
    for name, each in found.items():
        labels, saved = each["labels"], each["saved"]
        text = "never" if labels is None else f"{labels:,.0f} ({saved:.0%} fewer)"
        lines.append(f"  {name}: {text}")
    return lines
