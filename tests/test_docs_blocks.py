"""What the guides have beside commands, which is Python, keys of recipes and loops, runs.

Each block does so in a folder that has the files that it names.
"""

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from data_builders.groups.build import build
from data_builders.interactions.dataset import Molecule
from data_builders.records import Transcript
from data_builders.sources import TableSource
from isoclr.evaluation.embed import embed_transcripts
from isoclr.evaluation.heads import find_head, read_head, with_head
from isoclr.model_folder import write_model_folder
from isoclr.objectives.isoforms.recipe import IsoformRecipe
from isoclr.pretrained import load_model
from isoclr.shipped import shipped_model
from isoclr.training.recipe import check_recipe
from modeling_isoclr import IsoCLRModel
from toys import tiny

ROOT = Path(__file__).resolve().parents[1]
HERE = "test_docs_blocks.py"
# Page -> where each of its blocks runs, in order.
BLOCKS = {
    "APP": [HERE, HERE],
    "BUILDING": [HERE, "test_datasets_page.py"],  # the second is the same on another dataset
    "DATASETS": ["test_datasets_page.py"] * 4,
    "EMBEDDING": ["test_docs.py"] * 3 + [HERE] + ["test_libraries.py"] * 2,
    # The fifth needs mRNABench, which is AGPL, and its downloads.
    "EVALUATION": ["test_evaluation_docs.py"] * 4 + ["", HERE, HERE],
    "HOMOLOGS": [HERE],
    "HOMOLOGY": [HERE],
    "INTERACTIONS": [HERE],
    "LABELS": ["test_evaluation_docs.py"],
    "PREDICT": [HERE, HERE, "test_docs.py", "test_docs.py"],
    "SPECIES": [""],  # it downloads whole genomes
}
CODING = "GGGAC" + "ATG" + "GCC" * 60 + "TAA" + "TTTATTTAT"
TRANSCRIPTS = [
    Transcript(f"t{n}", f"g{n}", "homo_sapiens", CODING[: 5 + 3 + 180 + 3 + n], 5, 191, (50,))
    for n in range(7)
]


def blocks(page: Path, kind: str = "python") -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., dict]:
    """Run a block of a guide in an empty folder; returns the names that it leaves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run_block(page: str, number: int, **names) -> dict:
        assert BLOCKS[page][number] == HERE
        code = blocks(ROOT / "docs" / f"{page}.md")[number]
        exec(compile(code, f"{page}.md", "exec"), names)
        return names

    return run_block


@pytest.fixture(scope="module")
def small():
    return load_model("isoclr-small")


def test_every_block_has_a_place_where_it_runs():
    found = {page.stem: len(blocks(page)) for page in (ROOT / "docs").rglob("*.md")}
    assert {page: n for page, n in found.items() if n} == {p: len(b) for p, b in BLOCKS.items()}
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert {place for places in BLOCKS.values() for place in places} - {""} <= there
    assert sum(place == "" for places in BLOCKS.values() for place in places) == 2


def test_the_keys_of_recipes_are_some():
    found = [
        (page, code) for page in (ROOT / "docs").rglob("*.md") for code in blocks(page, "yaml")
    ]
    assert found
    for page, code in found:
        keys = yaml.safe_load(code)
        least = {"data": "groups", "output": "model", "steps": 1}
        recipe = check_recipe(least | keys, IsoformRecipe, page)
        assert keys.keys() <= recipe.model_fields_set


def test_loops_over_a_list_of_species_make_the_options(tmp_path):
    (tmp_path / "species.txt").write_text("a.fa a.gtf worm\nb.fa b.gff3 fly\n")
    loops = [
        code for code in blocks(ROOT / "docs" / "BUILDING.md", "bash") if "species.txt" in code
    ]
    wanted = "build --genome a.fa --annotation a.gtf --species worm"
    wanted += " --genome b.fa --annotation b.gff3 --species fly --output groups"
    printed = []
    for loop in loops:
        code = 'isoclr() { echo "$@"; }\n' + loop
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": "7"}
        done = subprocess.run(
            ["bash", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert not done.stderr
        printed.append(done.stdout.strip())
    assert printed == [wanted, f"{wanted} --shard 7/100"]


def test_the_handler_of_an_endpoint_answers(run, tmp_path, monkeypatch):
    (tmp_path / "model_cards").symlink_to(ROOT / "model_cards")
    monkeypatch.delitem(sys.modules, "handler", raising=False)
    answer = run("APP", 0)["answer"]
    monkeypatch.delitem(sys.modules, "handler")
    (record,) = answer({"inputs": "ATGGCCTAA", "parameters": {"head": "half-life-human"}})
    assert record["lower"] < record["prediction"] < record["upper"]


def test_the_page_without_a_browser(run, tmp_path, capsys):
    (tmp_path / "isoforms.fa").write_text(f">a\n{CODING}\n>b\n{CODING[:150]}\n")
    names = run("APP", 1)
    assert [row[0] for row in names["rows"]] == ["a", "b"]
    assert "position 120: " in capsys.readouterr().out


def test_a_model_that_reads_before_the_start_codon_is_saved(run, small, tmp_path):
    (tmp_path / "model").symlink_to(shipped_model("isoclr-small"))
    run("EMBEDDING", 3)
    encoder, _ = load_model(tmp_path / "model-start")
    assert encoder.config.start_window == 96
    assert encoder.config.pooled_size == small[0].config.pooled_size + 1280


def test_reports_of_shards_are_merged(run, tmp_path, capsys):
    for species in ("a", "b"):
        rows = [f"t{n}\tg{n}\t{CODING[n:]}" for n in range(3)]
        lines = ["transcript_id\tgene_id\tsequence", *rows]
        (tmp_path / f"{species}.tsv").write_text("\n".join(lines) + "\n")
    sources = [TableSource(tmp_path / f"{species}.tsv", species) for species in ("a", "b")]
    for shard in range(2):
        build(sources, tmp_path / "groups", shard=(shard, 2))
    run("BUILDING", 0)
    assert capsys.readouterr().out == "6\n"


def test_neighbours_of_ones_own_transcripts(run):
    names = run("EVALUATION", 5, transcripts=TRANSCRIPTS)
    assert names["vectors"].shape == (7, 656)
    np.testing.assert_allclose(np.linalg.norm(names["vectors"], axis=1), 1, rtol=1e-5)
    assert names["table"].height == 7 * 5


def test_deeplift_adds_up(run):
    pytest.importorskip("captum", reason="captum is not installed")
    torch.manual_seed(0)
    encoder = IsoCLRModel(tiny(pooling="stages", norm="layer")).eval().double()

    class Summed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, tracks):
            return self.encoder(inputs_embeds=tracks).pooler_output.sum(1)

    model, tracks = Summed(), torch.rand(1, 64, 6, dtype=torch.double)
    reference = torch.full_like(tracks, 0.25)
    found = run("EVALUATION", 6, model=model, tracks=tracks, reference=reference)["found"]
    change = model(tracks) - model(reference)
    torch.testing.assert_close(found.sum(), change.sum(), rtol=1e-8, atol=1e-8)


def test_proteins_are_embedded(run):
    names = run("HOMOLOGS", 0)
    assert names["pooled"].shape == (2, names["encoder"].config.pooled_size)


def test_tables_of_homology_are_joined(run, tmp_path, capsys):
    (tmp_path / "toga").mkdir()
    header = "t_gene\tt_transcript\tq_gene\tq_transcript\torthology_class\n"
    row = "ENSG00000139618\tENST1\treg_7\tENST1.7\tone2one\n"
    (tmp_path / "toga" / "cow.tsv").write_text(header + row)
    orthodb = {
        "odb_OG2genes.tab.gz": "5at40674\t9606_0:00a\n5at40674\t10090_0:00b\n",
        "odb_genes.tab.gz": "9606_0:00a\t9606_0\tP\tBRCA2\tP1\tENSG00000139618\t675\tx\t1-2\n",
    }
    for name, text in orthodb.items():
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    homology = run("HOMOLOGY", 0)["homology"]
    group = homology.group("human", "ENSG00000139618")
    assert group is not None and group == homology.group("cow", "reg_7")


def test_pairs_are_scored(run, tmp_path, monkeypatch):
    (tmp_path / "model").symlink_to(shipped_model("rpiembeddor-small"))
    rnas, proteins = [Molecule("r", "ACGUACGU".replace("U", "T"))], [Molecule("p", "MKVLAAGIVG")]
    names = run("INTERACTIONS", 0, rnas=rnas, proteins=proteins)
    assert names["scores"].pairs == 1 and (tmp_path / "scores.parquet").exists()


def test_a_head_with_its_encoder_is_loaded(run, small, tmp_path):
    encoder, tokenizer = small
    network = with_head(encoder, read_head(find_head("half-life-human")))
    write_model_folder(network, tokenizer, tmp_path / "my-head")
    model = run("PREDICT", 0)["model"]
    assert model.config.id2label == {0: "half_life_pc1"}


def test_predictions_in_python(run, small):
    encoder, tokenizer = small
    embeddings = embed_transcripts(encoder, tokenizer, TRANSCRIPTS, progress=False)
    found = {"transcripts": TRANSCRIPTS, "embeddings": embeddings, "encoder": encoder}
    names = run("PREDICT", 1, **found)
    assert names["table"].height == 7 and names["model"].config.num_labels == 1
