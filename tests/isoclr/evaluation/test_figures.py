from matplotlib.image import imread

from isoclr.evaluation.figures import plot_few_labels, plot_probe
from isoclr.evaluation.probe import ProbeResult


def result_of(names, train_rows=20):
    values = (0.1, 0.2, 0.4)
    scores = {
        name: dict.fromkeys(("pearson", "spearman", "mse", "alpha"), values) for name in names
    }
    rows = (train_rows,) * 3
    return ProbeResult("half_life", "homology", 30, 20, (1, 2, 3), (1.0,), scores, train_rows=rows)


def test_figure_grows_with_the_feature_sets_and_stays_within_its_edges(tmp_path):
    heights = []
    for names in (["a"], ["a", "an encoder with a very long name, all stages, by region", "b"]):
        path = tmp_path / f"{len(names)}.png"
        plot_probe(result_of(names), path)
        image = imread(path)
        heights.append(image.shape[0])
        assert image.shape[1] == 1050  # 7 inches at 150 dpi
        edges = [image[0], image[-1], image[:, 0], image[:, -1]]
        assert all((edge == 1).all() for edge in edges)  # white: nothing is cut off
    assert heights[1] > heights[0]


def test_few_labels_with_many_names_stay_within_the_edges(tmp_path):
    names = [f"codons + structure + k-mers 1-4, version {i}" for i in range(12)]
    path = tmp_path / "few.png"
    plot_few_labels([result_of(names, train_rows=rows) for rows in (85, 171, 2257)], path)
    image = imread(path)
    assert image.shape[:2] == (675, 1200)  # 4.5 and 8 inches at 150 dpi
    assert all((edge == 1).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))
