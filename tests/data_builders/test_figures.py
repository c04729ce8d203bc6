"""A name in a figure is text, whatever it looks like."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from data_builders.figures import plain, save_figure, write_figure
from data_builders.homology.report import KINDS, draw_homology

HOSTILE = ["$\\frac{$", "$x^2$", "$$", "a$b", "\\$5", "_hidden", "x" * 5000, "\x00\x1b[31m"]
HOSTILE += ["\ud800", "染色体", "{}%s", "\\n", "a\nb\tc", "", " "]


def figure_of(name):
    figure = Figure(figsize=(3, 2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([1, 10], [1, 2], label=plain(name))
    axes.set_yticks([1, 2], [plain(name), "b"])
    axes.set_xscale("log")
    axes.set(title=name, xlabel=name)
    axes.text(1, 1, name)
    axes.annotate(name, (1, 1))
    legend = axes.legend(title=name)
    figure.suptitle(name)
    return figure, legend


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_any_name_can_be_drawn_and_keeps_its_place_in_the_legend(tmp_path, name, recwarn):
    figure, legend = figure_of(name)
    write_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").size > 1000
    assert len(legend.get_texts()) == 1
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_titles_are_text_too(tmp_path):
    figure, _ = figure_of("a")
    save_figure(figure, "$\\frac{$\nsecond line", tmp_path / "a.png")
    assert figure.get_suptitle() == "\\$\\frac{\\$\nsecond line"


def test_a_formula_looks_like_its_letters(tmp_path):
    """Else `$x$` would be drawn in italics, without the dollars."""
    sizes = {}
    for name in ("$x$", "\\$x\\$", "xxx"):
        figure = Figure()
        FigureCanvasAgg(figure)
        text = figure.text(0.5, 0.5, plain(name))
        write_figure(figure, tmp_path / "a.png")
        sizes[name] = text.get_window_extent().width
    assert sizes["$x$"] == sizes["\\$x\\$"] != sizes["xxx"]


def test_logarithmic_axes_keep_their_powers(tmp_path):
    figure, _ = figure_of("$a$")
    write_figure(figure, tmp_path / "a.png")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert any("10^{1}" in label for label in labels)


def test_names_are_cut_and_control_characters_shown():
    assert plain("abc") == "abc" and plain("_a") == " _a"
    assert plain("x" * 99, 10) == "x" * 9 + "…"
    assert plain("a\x00b\x1b[31mc\u202ed") == "a?b?[31mc?d"
    assert plain("$") == plain(plain("$")) == "\\$"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_species_of_any_name_are_in_the_figure_of_homology(tmp_path, name):
    counts = {"genes": 9, "matched": 4, "in_table": 5}
    matches = [
        {"table": "h.tsv", "species": species, "taxon": taxon, **counts}
        for species, taxon in ((name, "1"), ("b", "2"))
    ]
    pairs = {"1-2": dict.fromkeys(KINDS, 1)}
    partition = {"genes": 4, "groups": 2, "species_pairs": pairs}
    draw_homology({"matches": matches, "partition": partition}, tmp_path / "homology.png")
    assert (tmp_path / "homology.png").stat().st_size > 1000
