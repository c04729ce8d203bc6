"""The Python of docs/DATASETS.md runs, in the order of the page."""

import re
import shutil
from pathlib import Path

import pytest

from data_builders.groups.parquet import read_groups
from loopback_hub import run_client

PAGE = Path(__file__).resolve().parents[1] / "docs" / "DATASETS.md"
ALONE = "import sys; sys.modules.update(isoclr=None, modeling_isoclr=None, data_builders=None)\n"


@pytest.mark.slow
def test_the_page_builds_shares_and_streams(hub, clade, tmp_path):
    for name, species, genome, annotation in zip(
        ("worm", "fly"), clade.species, clade.genomes, clade.annotations, strict=True
    ):
        shutil.copy(genome, tmp_path / f"{name}.fa.gz")
        shutil.copy(annotation, tmp_path / f"{name}.gtf.gz")
        homology = tmp_path / "homology.tsv"
        if not homology.exists():
            shutil.copy(clade.homology, homology)
        homology.write_text(homology.read_text().replace(f"\t{species}\t", f"\t{name}\t"))
    text = PAGE.read_text().replace("OWNER/NAME", "tester/page")
    snippets = re.findall("^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    build, share, stream, builder = snippets
    here = f"import os; os.chdir({str(tmp_path)!r})\n"
    ours = run_client(hub, here + build + share + builder).stdout.splitlines()
    groups = {
        name: list(read_groups(tmp_path / "groups" / name)) for name in ("worm", "fly", "both")
    }
    assert ours == [
        f"worm {len(groups['worm'])} {{}}",
        f"fly {len(groups['fly'])} {{}}",
        f"{hub.url}/datasets/tester/page",
        ours[3],
    ]
    rows, same = ours[3].split()
    assert same == "True"
    # Homology joined genes, across species more than within.
    separate = len(groups["worm"]) + len(groups["fly"])
    assert len(groups["both"]) < int(rows) < separate

    streamed = run_client(hub, ALONE + stream).stdout.splitlines()
    told = {
        f"{group.group_id} {[t.species for t in group.transcripts]} "
        f"{[len(t.sequence) for t in group.transcripts]}"
        for group in groups["both"]
    }
    assert len(set(streamed)) == 3 and set(streamed) <= told
