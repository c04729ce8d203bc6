"""The notebook of interactions runs from the first cell to the last."""

import re

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra `notebooks` is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra `notebooks` is not installed")


@pytest.mark.slow
def test_the_notebook_runs_to_its_end(request, tmp_path):
    root = request.config.rootpath
    notebook = nbformat.read(root / "examples" / "interactions.ipynb", as_version=4)
    nbformat.validate(notebook)
    first = nbformat.v4.new_code_cell(f"import sys\nsys.path.insert(0, {str(root)!r})")
    notebook.cells.insert(0, first)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    printed = "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    found = re.search(r"AUROC of the model (\S+), of a table of the training pairs (\S+)", printed)
    assert found and float(found[1]) >= 0.85 and float(found[2]) == 0.5
