"""Files of pairs to a set: every layout, every rule, every pair counted."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from data_builders.interactions.build import (
    RNAINTERACT,
    BuildOptions,
    InteractionFiles,
    build_interactions,
    read_set,
)
from data_builders.interactions.dataset import read_interactions
from data_builders.records import InputError

RNAS = ">r1 x\nACGUACGUAC\n>r2\nGGGGAACCUU\nAA\n>r3\nACGTACGTAC\n"
PROTEINS = ">p1\nMKLVWWHER\n>p2\nMMMKYYRRF*\n"
RNAINTER = (
    "RNAInterID\tInteractor1.Symbol\tCategory1\tSpecies1\tInteractor2.Symbol\tCategory2\tSpecies2"
    "\tRaw_ID1\tRaw_ID2\tscore\tstrong\tweak\tpredict\n"
)


def written(tmp_path, pairs, rnas=RNAS, proteins=PROTEINS):
    for name, content in (("pairs.txt", pairs), ("rnas.fa", rnas), ("proteins.fa", proteins)):
        (tmp_path / name).write_text(content)
    return InteractionFiles(
        pairs=[tmp_path / "pairs.txt"],
        rnas=[tmp_path / "rnas.fa"],
        proteins=[tmp_path / "proteins.fa"],
    )


def rows(interactions):
    return [
        (interactions.rnas[r].id, interactions.proteins[p].id, int(label))
        for r, p, label in zip(
            interactions.rna, interactions.protein, interactions.label, strict=True
        )
    ]


def left_out(report):
    return {step["step"]: step["left_out"] for step in report.steps if step["left_out"]}


LAYOUTS = {
    "RPI": "p1 r1 1\np2\tr2\t0\n",
    "table": "rna_id\tprotein_id\tlabel\nr1\tp1\t1\nr2\tp2\t0\n",
    "table of positives": "protein_id,rna_id\np1,r1\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    interactions, report = read_set(written(tmp_path, LAYOUTS[layout]))
    wanted = [("r1", "p1", 1), ("r2", "p2", 0)]
    assert rows(interactions) == wanted[: len(interactions)]
    assert interactions.rnas[0].sequence == "ACGTACGTAC"
    assert not left_out(report)
    if layout != "table of positives":
        assert interactions.proteins[1].sequence == "MMMKYYRRF"


def test_parquet_layout(tmp_path):
    """As RPI7317 and RPI1847 are."""
    files = written(tmp_path, "")
    pl.DataFrame(
        {"protein_id": ["p1", "p2"], "rna_id": ["r1", "r2"], "label": [1, 0], "kind": ["a", "b"]}
    ).write_parquet(tmp_path / "pairs.txt")
    for name, column, sequences in (
        ("rnas", "rna_id", {"r1": "ACG", "r2": "CC"}),
        ("proteins", "protein_id", {"p1": "MK", "p2": "ML"}),
    ):
        frame = {column: list(sequences), "sequence": list(sequences.values())}
        pl.DataFrame(frame).write_parquet(tmp_path / f"{name}.fa")
    interactions, _ = read_set(files)
    assert rows(interactions) == [("r1", "p1", 1), ("r2", "p2", 0)]
    assert interactions.source == ("a", "b")


def test_each_sequence_once(tmp_path):
    """r3 is r1 by its sequence; a pair with both labels is left out and named."""
    pairs = "p1 r1 1\np1 r3 1\np2 r1 1\np2 r3 0\np2 r2 1\n"
    interactions, report = read_set(written(tmp_path, pairs))
    assert rows(interactions) == [("r1", "p1", 1), ("r2", "p2", 1)]
    assert [rna.id for rna in interactions.rnas] == ["r1", "r2"]
    assert report.contradictory == ["r1 p2"]
    assert left_out(report) == {
        "both labels for a pair of sequences": 2,
        "pair of sequences seen before": 1,
    }


def test_pairs_without_a_sequence_are_counted(tmp_path):
    files = written(tmp_path, "p1 r1 1\np1 r9 1\np9 r2 1\n")
    interactions, report = read_set(files)
    assert rows(interactions) == [("r1", "p1", 1)]
    assert left_out(report) == {"RNA without a sequence": 1, "protein without a sequence": 1}
    with pytest.raises(InputError, match=r"pairs.txt:2: RNA without a sequence"):
        read_set(files, BuildOptions(strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_pairs": 0}, "max_pairs: got 0, wanted at least 1"),
        ({"max_length": -1}, "max_length: got -1, wanted at least 1"),
        ({"min_score": float("nan")}, "min_score: got nan, wanted a finite number"),
        ({"exclude": ("mRNA", "")}, "exclude: got 'mRNA,', wanted names of categories"),
        ({"negatives": "swap"}, "negatives: got 'swap', wanted one of"),
    ],
)
def test_options_out_of_bounds_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        read_set(written(tmp_path, "p1 r1 1\n"), BuildOptions(**options))


def test_clans_without_families_are_refused(tmp_path):
    files = replace(written(tmp_path, "p1 r1 1\n"), clans=tmp_path / "clans.tsv")
    with pytest.raises(InputError, match=r"clans.tsv: got clans without protein families"):
        read_set(files)


def rnainter(tmp_path):
    lines = [
        "1\tR1\tlncRNA\tH\tP1\tprotein\tH\tEnsembl:r1.2\tUniProt:p1\t0.9\t\t\t",
        "2\tP1\tRBP\tH\tR2\tmiRNA\tH\tUniProt:p1\tmiRBase:r2\t0.5\t\t\t",
        "3\tR2\tmiRNA\tH\tP2\tTF\tH\t-\tp2\t0.1\t\t\t",
        "4\tR1\tmRNA\tH\tP2\tTF\tH\tr1\tp2\t0.7\t\t\t",
        "5\tR1\tlncRNA\tH\tR2\tmiRNA\tH\tr1\tr2\t0.7\t\t\t",
        "6\tR1\tlncRNA\tH\tD\tDNA\tH\tr1\td\t0.7\t\t\t",
    ]
    rnas = ">r1\nACGUACGUAC\n>r2\nGGGGAACCUU\n"
    return written(tmp_path, RNAINTER + "\n".join(lines) + "\n", rnas)


def test_rnainter(tmp_path):
    """The RNA may come second; ids lose their database and version; the third has none."""
    interactions, report = read_set(
        rnainter(tmp_path), BuildOptions(exclude=("mrna",), min_score=0.3)
    )
    assert rows(interactions) == [("r1", "p1", 1), ("r2", "p1", 1)]
    assert [rna.category for rna in interactions.rnas] == ["lncRNA", "miRNA"]
    assert left_out(report) == {
        "not an RNA with a protein": 2,
        "RNA is mrna": 1,
        "score below 0.3": 1,
    }
    assert report.categories == {("lncRNA", "protein"): 1, ("miRNA", "protein"): 1}
    assert report.not_there == []


def test_a_category_that_is_not_there_is_told(tmp_path):
    options = BuildOptions(exclude=("mRNA", "lincRNA"))
    _, report = read_set(rnainter(tmp_path), options)
    assert report.not_there == ["lincRNA"]
    assert "  left out 0: RNA is lincRNA, of which there is none" in report.lines()


def many(tmp_path, families=True):
    """12 RNAs of 3 families, 9 proteins of 3 clans; a family meets the clan of its number alone."""
    rng = np.random.default_rng(0)
    rnas = [f">r{i}\n{''.join(rng.choice(list('ACGU'), 40))}\n" for i in range(12)]
    proteins = [f">p{i}\n{''.join(rng.choice(list('ACDEFGHIKL'), 40))}\n" for i in range(9)]
    pairs = [f"p{p} r{r} 1\n" for r in range(12) for p in range(9) if r % 3 == p % 3]
    files = written(tmp_path, "".join(pairs), "".join(rnas), "".join(proteins))
    for name, count in (("r", 12), ("p", 9)):
        lines = ["id\tfamily\n", *(f"{name}{i}\tF{i % 3}\n" for i in range(count))]
        (tmp_path / f"{name}.tsv").write_text("".join(lines))
    return InteractionFiles(
        **{
            **vars(files),
            "rna_families": tmp_path / "r.tsv",
            "protein_families": tmp_path / "p.tsv",
        }
    )


def test_negatives_of_family_and_clan(tmp_path):
    interactions, report = read_set(many(tmp_path), RNAINTERACT)
    negatives = [row for row in rows(interactions) if not row[2]]
    assert len(negatives) + report.more["negatives"]["missing"] == 2 * 36
    assert len(negatives) >= 40
    for rna, protein, _ in negatives:
        assert int(rna[1:]) % 3 != int(protein[1:]) % 3
    again, _ = read_set(many(tmp_path), RNAINTERACT)
    assert rows(again) == rows(interactions)


def test_negatives_by_swaps(tmp_path):
    interactions, _ = read_set(many(tmp_path), BuildOptions(negatives="swaps"))
    for places in (interactions.rna, interactions.protein):
        one, other = (np.bincount(places[interactions.label == label]) for label in (0, 1))
        np.testing.assert_array_equal(one, other)


def test_molecules_of_many_pairs_are_left_out(tmp_path):
    """RNAs first: r0 with three pairs goes, after which p0 has one pair alone."""
    pairs = "p0 r0 1\np1 r0 1\np2 r0 1\np0 r1 1\n"
    rnas = ">r0\nACGT\n>r1\nGGGG\n"
    proteins = ">p0\nMK\n>p1\nML\n>p2\nMM\n"
    interactions, report = read_set(
        written(tmp_path, pairs, rnas, proteins), BuildOptions(max_pairs=2)
    )
    assert rows(interactions) == [("r1", "p0", 1)]
    assert left_out(report) == {"RNA of 2 pairs or more": 3}


def test_writes_set_report_and_figure(tmp_path):
    output = tmp_path / "set"
    report = build_interactions(many(tmp_path), output, RNAINTERACT)
    interactions = read_interactions(output)
    content = json.loads((output / "report.json").read_text())
    assert content["pairs"] == len(interactions)
    assert content["steps"] == report.steps
    assert content["steps"][-1]["pairs"] == 36 == len(interactions.positives)
    assert all(rna.family and rna.cluster for rna in interactions.rnas)
    assert (output / "report.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="wanted none, or --overwrite"):
        build_interactions(many(tmp_path), output)


REFUSED = {
    "no pair has a sequence": (
        {"pairs": "p1 x 1\n"},
        "RNA without a sequence: so it is with all that were left, 1 pair",
    ),
    "label of 2": ({"pairs": "p1 r1 1\np1 r1 2\n"}, "pairs.txt:2: got 'p1 r1 2', wanted a protein"),
    "no pair": ({"pairs": "rna_id,protein_id\n"}, "pairs.txt: got no pair"),
    "other columns": ({"pairs": "a,b\n1,2\n"}, "pairs.txt: columns: got a, b, wanted rna_id and"),
    "empty sequence": ({"rnas": ">r1\n>r2\nACGT\n"}, "rnas.fa:1: sequence of 'r1': got none"),
    "an id twice": (
        {"rnas": ">r1\nACGT\n>r1\nGGGG\n"},
        "rnas.fa:3: name: got 'r1' again, wanted unique",
    ),
    "a protein among RNAs": (
        {"rnas": ">r1\n" + "MKLVWWHERPFYCDEQISNT" * 2 + "\n"},
        "rnas.fa:1: sequence of 'r1': got a protein, wanted nucleotides",
    ),
    "a peptide among RNAs": (
        {"rnas": ">r1\nMKLVA\n"},
        "rnas.fa:1: sequence of 'r1': got a protein, wanted nucleotides",
    ),
    "an RNA among proteins": (
        {"proteins": ">p1\n" + "ACGU" * 10 + "\n"},
        "proteins.fa:1: sequence of 'p1': got nucleotides, wanted a protein",
    ),
    "a digit in a protein": ({"proteins": ">p1\nMK1\n"}, "sequence of 'p1': got '1', wanted amino"),
    "a digit in an RNA": ({"rnas": ">r1\nAC1\n"}, "sequence of 'r1': got '1', wanted nucleotides"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(tmp_path, name):
    changed, message = REFUSED[name]
    files = written(tmp_path, **{"pairs": "p1 r1 1\n", **changed})
    with pytest.raises(InputError) as error:
        read_set(files)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_modified_nucleotides_are_read_as_n(tmp_path):
    """The I, F and X of structures."""
    rnas = ">r1\nACGUFACGUIX\n"
    interactions, report = read_set(written(tmp_path, "p1 r1 1\n", rnas))
    assert interactions.rnas[0].sequence == "ACGTNACGTNN"
    assert report.sequences["rnas"].adjusted == {"letter that is no nucleotide read as N": 3}


def test_codes_of_several_nucleotides_make_no_protein(tmp_path):
    rnas = ">r1\n" + "ACGTR" * 8 + "\n"
    interactions, report = read_set(written(tmp_path, "p1 r1 1\n", rnas))
    assert interactions.rnas[0].sequence == "ACGTN" * 8
    assert report.sequences["rnas"].adjusted == {"letter that is no nucleotide read as N": 8}


@pytest.mark.parametrize(
    ("name", "unique", "positives", "contradictory"),
    [("RPI369", 668, 299, 0), ("RPI1807", 1010, 629, 22), ("RPI2241", 4268, 2027, 0)],
)
def test_real_sets(real_data, name, unique, positives, contradictory):
    folder = real_data / "rna_protein"
    interactions, report = read_set(
        InteractionFiles(
            pairs=[folder / f"{name}_pairs.txt.gz"],
            rnas=[folder / f"{name}_rna_seq.fa.gz"],
            proteins=[folder / f"{name}_protein_seq.fa.gz"],
        )
    )
    assert (len(interactions), len(interactions.positives)) == (unique, positives)
    # Of the 22, 20 are shown.
    assert len(report.contradictory) == min(contradictory, 20)
    for kind, found in (("rnas", "rna_clusters"), ("proteins", "protein_clusters")):
        # 78 of the RNAs of RPI2241 are one ribosomal RNA; nothing larger comes about.
        assert report.more[found]["largest"] < 0.2 * len(getattr(interactions, kind))
