from pathlib import Path

import pytest

from data_builders.labels.base import MULTILABEL, TASK_TYPES
from data_builders.labels.label_set import Join
from data_builders.labels.tasks import TASKS, read_task
from data_builders.records import InputError, IsoformGroup, Transcript

ROOT = Path(__file__).resolve().parents[3]
GROUPS = [
    IsoformGroup("h1", (Transcript("a", "g1", "homo_sapiens", "ATGTAA", 0, 6),)),
    IsoformGroup("h2", (Transcript("b", "g2", "homo_sapiens", "ATGTAA", 0, 6),)),
]
HUMAN = Join(isoform_groups=GROUPS)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_every_entry_is_whole(task):
    for name in ("name", "predicts", "files", "label", "citation"):
        assert getattr(task, name).strip()
    assert task.task in TASK_TYPES
    assert task.split in ("homology", "random", "chromosome", "k-mer")
    # Imported here: data builders know no metrics.
    from isoclr.evaluation.scores import METRICS

    assert task.metric == METRICS[task.task][0]
    assert set(task.options) <= {"column", "obo", "min_genes"}


def test_the_docs_have_the_table():
    text = (ROOT / "docs" / "LABELS.md").read_text()
    for task in TASKS.values():
        row = f"| `{task.name}` | {task.predicts} | {task.files} | {task.task} | {task.citation} |"
        assert row in text


def test_half_lives_are_of_the_species_of_their_task(tmp_path):
    path = tmp_path / "saluki.tsv"
    path.write_text("ENSID\tHALFLIFE\t5UTR\tORF\t3UTR\nE1\t0.5\tAC\tATGTAA\tGG\n")
    for name, species in (
        ("half-life-human", "homo_sapiens"),
        ("half-life-mouse", "mus_musculus"),
        ("half-life-yeast", "saccharomyces_cerevisiae"),
    ):
        labels = read_task(name, path)
        assert [t.species for t in labels.transcripts] == [species]
        assert (labels.task, labels.label, labels.targets.tolist()) == (
            *(TASKS[name].task, "HALFLIFE", [0.5]),
        )
    assert read_task("half-life-human", path, Join(species="rat")).transcripts[0].species == "rat"


def test_ribosome_load_takes_a_column(tmp_path):
    path = tmp_path / "library.csv"
    path.write_text("utr,rl,other\nACGT,5,1.5\nAAGT,6,2.5\n")
    assert read_task("ribosome-load", path).targets.tolist() == [5, 6]
    assert read_task("ribosome-load", path, column="other").targets.tolist() == [1.5, 2.5]


def test_localisation_and_gene_sets(tmp_path):
    path = tmp_path / "places.tsv"
    path.write_text("gene_id\tnucleus\tcytosol\ng1\t1\t0\ng2\t0\t1\n")
    labels = read_task("localisation", path, Join(isoform_groups=GROUPS, species="human"))
    assert (labels.task, labels.classes) == (MULTILABEL, ("nucleus", "cytosol"))
    path = tmp_path / "sets.gmt"
    path.write_text("ONE\t-\tg1\tg2\nTWO\t-\tg1\n")
    for name in ("go-mf", "go-bp", "go-cc"):
        labels = read_task(name, path, HUMAN)
        assert (labels.task, labels.classes) == (MULTILABEL, ("ONE", "TWO"))
    assert read_task("go-mf", path, HUMAN, min_genes=2).classes == ("ONE",)


def test_annotations_are_those_of_the_aspect(tmp_path):
    obo, gaf = tmp_path / "go.obo", tmp_path / "a.gaf"
    obo.write_text(
        "[Term]\nid: GO:0000001\nname: one\nnamespace: molecular_function\n\n"
        "[Term]\nid: GO:0000002\nname: two\nnamespace: biological_process\n"
    )
    columns = "UniProtKB\tQ1\tg1\t\t{}\tref\tIDA\t\t{}\t\t\tprotein\ttaxon:9606\t20200101\tX\t\t\n"
    gaf.write_text(
        "!gaf-version: 2.2\n"
        + columns.format("GO:0000001", "F")
        + columns.format("GO:0000002", "P")
    )
    symbols = {("homo_sapiens", "g1"): "g1"}
    join = Join(isoform_groups=GROUPS, gene_symbols=symbols)
    assert read_task("go-mf", gaf, join, obo=obo).classes == ("GO:0000001",)
    assert read_task("go-bp", gaf, join, obo=obo).classes == ("GO:0000002",)
    with pytest.raises(InputError, match="species 'human': wanted none, a GAF names its own"):
        read_task("go-mf", gaf, Join(isoform_groups=GROUPS, species="human"), obo=obo)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("stability", {}, "task: got 'stability', wanted one of half-life-human, "),
        ("half-life-human", {"obo": "a"}, "got the option obo, wanted column"),
        ("localisation", {"column": "a"}, "got the option column, it has no options"),
        ("go-mf", {"obo": None}, "got no transcripts to label, wanted isoform groups or a source"),
    ],
)
def test_errors_name_what_was_wrong(tmp_path, name, options, message):
    path = tmp_path / "x.gmt"
    path.write_text("ONE\t-\tg1\n")
    with pytest.raises(InputError, match=message):
        read_task(name, path, **options)
