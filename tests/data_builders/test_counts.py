import pytest

from data_builders.counts import counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("gene",), "0 genes"),
        (1, ("gene",), "1 gene"),
        (2, ("gene",), "2 genes"),
        (1, ("value is", "values are"), "1 value is"),
        (1000, ("value is", "values are"), "1,000 values are"),
    ],
)
def test_what_is_counted_agrees_with_its_number(number, words, said):
    assert counted(number, *words) == said
