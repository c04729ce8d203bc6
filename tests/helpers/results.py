"""Results of comparisons with scores by hand."""

from collections.abc import Mapping, Sequence

from isoclr.evaluation.results import Results, Run


def results_of(
    task: str,
    scores: Mapping[str, Sequence[dict]],
    few: Mapping[int, Mapping[str, Sequence[dict]]] | None = None,
    classes: int = 0,
) -> Results:
    """Results of 1,234 transcripts, 800 of them train and 200 test rows.

    Args:
        task: of the label, "half_life" of whatever type.
        scores: predictor -> scores of each split, learned from all labels.
        few: number of labels -> the same, learned from so many.
        classes: number of classes.
    """
    counts = {**(few or {}), 1.0: scores}
    return Results(
        label="half_life",
        task=task,
        split="homology",
        rows=1234,
        groups=56,
        classes=classes,
        unit="transcripts",
        group_unit="homology groups",
        runs=tuple(
            Run(
                predictor=name,
                labels=count,
                seed=seed,
                fold=0,
                train=800 if count == 1.0 else count,
                validation=200,
                test=200,
                train_side=800,
                scores=of_split,
                choices={},
                classes_left_out=0,
                seconds=0.5,
            )
            for count, of_count in counts.items()
            for name, of_splits in of_count.items()
            for seed, of_split in enumerate(of_splits, 1)
        ),
    )
