from matplotlib.image import imread

from isoclr.evaluation.figures import plot_probe
from isoclr.evaluation.probe import ProbeResult


def result_of(names):
    values = (0.1, 0.2, 0.4)
    scores = {
        name: dict.fromkeys(("pearson", "spearman", "mse", "alpha"), values) for name in names
    }
    return ProbeResult("half_life", "homology", 30, 20, (1, 2, 3), (1.0,), scores)


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
