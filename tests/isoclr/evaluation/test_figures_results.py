from matplotlib.image import imread
from results import results_of

from data_builders.labels.base import REGRESSION
from isoclr.evaluation.figures_results import plot_curve, plot_splits

LONG = "an encoder with a very long name, all stages, by region"


def scores(names):
    values = (0.1, 0.2, 0.4)
    return {name: [{"pearson": r, "spearman": r, "mse": r} for r in values] for name in names}


def assert_white_edges(image):
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    assert all((edge == 1).all() for edge in edges)  # nothing is cut off


def test_figure_grows_with_the_predictors_and_stays_within_its_edges(tmp_path):
    heights = []
    for names in (["a"], ["a", LONG, "b"]):
        path = tmp_path / f"{len(names)}.png"
        plot_splits(results_of(REGRESSION, scores(names)), path)
        image = imread(path)
        heights.append(image.shape[0])
        assert image.shape[1] == 1050  # 7 inches at 150 dpi
        assert_white_edges(image)
    assert heights[1] > heights[0]


def test_a_curve_with_many_names_stays_within_the_edges(tmp_path):
    every = scores([f"codons + structure + k-mers 1-4, version {i}" for i in range(12)])
    few = {85: every, 171: dict(list(every.items())[:3])}
    plot_curve(results_of(REGRESSION, every, few), tmp_path / "few.png")
    image = imread(tmp_path / "few.png")
    assert image.shape[:2] == (750, 1275)  # 5 and 8.5 inches at 150 dpi
    assert_white_edges(image)


def test_the_curve_has_a_line_a_predictor_and_says_which_interval(tmp_path):
    every = scores(["probe", "boosting"])
    results = results_of(REGRESSION, every, {85: {"probe": every["probe"]}})
    results.figure(tmp_path / "c.svg")
    drawn = (tmp_path / "c.svg").read_text()
    for text in ("probe", "boosting", "labels to learn from", "Pearson r on test rows", "85"):
        assert f"<!-- {text} -->" in drawn
    assert "corrected for overlapping splits" in drawn
