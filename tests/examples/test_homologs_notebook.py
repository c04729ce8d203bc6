"""The notebook of homologs runs from the first cell to the last."""

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra `notebooks` is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra `notebooks` is not installed")


@pytest.mark.slow
def test_the_notebook_runs_to_its_end(request, tmp_path):
    root = request.config.rootpath
    notebook = nbformat.read(root / "examples" / "homologs.ipynb", as_version=4)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells]
    small = [s.replace("families, steps = 160, 40", "families, steps = 60, 4") for s in sources]
    assert small != sources
    first = nbformat.v4.new_code_cell(f"import sys\nsys.path.insert(0, {str(root)!r})")
    for cell, source in zip(notebook.cells, small, strict=True):
        cell.source = source
    notebook.cells.insert(0, first)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    (shape,) = [
        output.data["text/plain"]
        for output in notebook.cells[-1].outputs
        if output.output_type == "execute_result"
    ]
    assert shape == "torch.Size([2, 96])"
    printed = "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    assert "60 families, 480 proteins, 8 species" in printed
    assert "as in training" in printed and "random weights" in printed
