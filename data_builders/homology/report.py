"""How large homology groups are, and how genes of two species pair up in them."""

import os
from collections import Counter

import numpy as np

from data_builders.figures import new_axes, plain, write_figure
from data_builders.homology.homologous_genes import Homology

KINDS = ("one_to_one", "one_to_many", "many_to_one", "many_to_many")
_PAIRS_SHOWN = 15
_UNMATCHED = "#dfe5eb"
_COLOURS = ("#1f4e79", "#6fa8dc", "#9fc5e8", "#d9a441")


def report_homology(homology: Homology) -> dict:
    """Count genes and groups, for report.json.

    Returns:
        "genes", "groups"; "species": taxon -> genes; "genes_per_group": size -> groups;
        "species_pairs": "a-b", a before b by text -> groups with both by `KINDS`: "one_to_many" is
        one gene of a and several of b. Other names of genes are not counted.
    """
    taxa = sorted({taxon for taxon, _ in homology.groups})
    groups = {group: i for i, group in enumerate(dict.fromkeys(homology.groups.values()))}
    column = {taxon: i for i, taxon in enumerate(taxa)}
    genes = np.zeros((len(groups), len(taxa)), np.int64)
    for (taxon, _), group in homology.groups.items():
        genes[groups[group], column[taxon]] += 1
    sizes = Counter(genes.sum(axis=1).tolist())
    # Products of float64 run through BLAS; these counts stay far below 2^53.
    one, many = (genes == 1).astype(np.float64), (genes > 1).astype(np.float64)
    counts = {
        "one_to_one": one.T @ one,
        "one_to_many": one.T @ many,
        "many_to_one": many.T @ one,
        "many_to_many": many.T @ many,
    }
    return {
        "genes": len(homology.groups),
        "groups": len(groups),
        "species": dict(zip(taxa, genes.sum(axis=0).tolist(), strict=True)),
        "genes_per_group": {str(size): sizes[size] for size in sorted(sizes)},
        "species_pairs": {
            f"{a}-{b}": {kind: int(counts[kind][i, j]) for kind in KINDS}
            for i, a in enumerate(taxa)
            for j, b in enumerate(taxa[i + 1 :], i + 1)
        },
    }


def draw_homology(report: dict, path: str | os.PathLike) -> None:
    """Draw how many genes of each species matched, and how these species pair up in the tables.

    The report has "matches", as `matches.described` has them, and "partition" of `report_homology`.
    """
    matches, partition = report["matches"], report["partition"]
    names = {match["taxon"]: match["species"] for match in matches if match["matched"]}
    pairs = [
        (f"{names[a]} – {names[b]}", partition["species_pairs"].get(f"{a}-{b}"))
        for i, a in enumerate(sorted(names))
        for b in sorted(names)[i + 1 :]
    ]
    found = [(name, counts) for name, counts in pairs if counts is not None]
    found.sort(key=lambda pair: -sum(pair[1].values()))
    pairs = found[:_PAIRS_SHOWN][::-1]
    tables = {match["table"] for match in matches}
    shown = sorted(matches, key=lambda match: -match["genes"])[:_PAIRS_SHOWN][::-1]
    figure, (genes, kinds) = new_axes(11, 2.5 + 0.24 * max(len(pairs), len(shown)), 1, 2)
    rows = np.arange(len(shown))
    genes.barh(rows, [match["genes"] for match in shown], color=_UNMATCHED)
    genes.barh(rows, [match["matched"] for match in shown], color=_COLOURS[0])
    labels = [match["species"] + f", {match['table']}" * (len(tables) > 1) for match in shown]
    genes.set_yticks(rows, [plain(label) for label in labels])
    genes.set(xlabel="genes: all of the data, and those that matched (dark)")
    left = np.zeros(len(pairs))
    for kind, colour in zip(KINDS, _COLOURS, strict=True):
        widths = np.array([counts[kind] for _, counts in pairs])
        kinds.barh(range(len(pairs)), widths, left=left, color=colour, label=kind.replace("_", " "))
        left += widths
    kinds.set_yticks(range(len(pairs)), [plain(name) for name, _ in pairs])
    kinds.set(xlabel="groups of the tables with both species")
    figure.legend(loc="outside lower right", ncols=len(KINDS), frameon=False, fontsize=8)
    left_out = max(0, len(found) - len(pairs))
    figure.suptitle(
        f"{sum(match['matched'] for match in matches):,} genes matched; the tables have "
        f"{partition['genes']:,} in {partition['groups']:,} homology groups"
        + f"; {left_out} pairs of species not drawn"
        * bool(left_out)
    )
    write_figure(figure, path, dpi=120)
