"""What a spreadsheet would run is text."""

import pytest

from data_builders.cells import safe_cell, safe_cells


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+A1", "-A1", "=1", "-", "+-1"])
def test_formulas_become_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+2.5", "-.5", "1e-5", "-3E+2", "ENST01", "a=b", "", "'=x"])
def test_numbers_and_names_stay(text):
    assert safe_cell(text) == text


def test_cells_stay_cells():
    assert safe_cell("a\tb\nc\rd\0e") == "a b c d e"
    assert safe_cell("\t=x") == "' =x"
    assert safe_cells(["=a", None, "b"]) == ["'=a", None, "b"]
