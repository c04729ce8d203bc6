"""Speed of training RPIembeddor at its paper's sizes: 1,024 × 640 a molecule, batches of 64.

Every configuration takes steps of pairs of the same set, forward and backward, on one core. Lengths
are those of RPI2241 in `$ISOCLR_DATA`, else drawn from its deciles. Only valid positions count.
"""

import argparse
import os
import resource
from pathlib import Path

import numpy as np
import torch
from measure import Workload, machine, print_machine, race, serve

from isoclr.objectives.interactions.batches import PairBatches, Pairs
from isoclr.objectives.interactions.objective import InteractionLoss
from modeling_isoclr import RPIConfig, RPIForSequenceClassification, RPIProcessor

STEPS, BATCH_SIZE, POSITIONS, WIDTH = 4, 64, 1024, 640
PIECE = 16
SECTION = "interactions"
_RNA_DECILES = (15, 27, 77, 78, 120, 1460, 2885, 2904, 2912, 2915, 2999)
_PROTEIN_DECILES = (26, 66, 87, 105, 118, 132, 144, 173, 205, 276, 1733)


def main() -> None:
    """Print a table of pairs and valid positions a second, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2, help="of each; the fastest counts")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(workload(arguments.serve[1]))
        return
    print_machine(machine())
    rna, protein, source = lengths_of_pairs()
    print(f"{len(rna)} pairs; lengths: {source}; of {POSITIONS} positions a molecule, ", end="")
    print(f"{(rna.sum() + protein.sum()) / (2 * POSITIONS * len(rna)):.2f} are valid")
    print(f"{'':44}{'pairs/s':>9}{'positions/s':>13}{'padded':>9}{'ratio':>8}")
    for result in race(__file__, SECTION, list(CONFIGURATIONS), arguments.turns):
        pairs = result["pairs"] / min(result["seconds"])
        print(f"{result['name']:44}{pairs:9.2f}{result['nt_per_second']:13,.0f}", end="")
        print(f"{result['positions'] / result['nucleotides']:9.2f}{result['ratio']:8.2f}")
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"peak memory of the largest process: {children:.1f} GB")


def lengths_of_pairs() -> tuple[np.ndarray, np.ndarray, str]:
    """Positions of the RNA and of the protein of each pair, up to `POSITIONS`, and their source."""
    rng = np.random.default_rng(0)
    count = STEPS * BATCH_SIZE
    folder = Path(os.environ.get("ISOCLR_DATA", "")) / "rna_protein"
    if (folder / "RPI2241_pairs.txt.gz").is_file():
        from data_builders.interactions.build import read_set
        from data_builders.interactions.splits import positives_of
        from isoclr.evaluation.interactions_sources import published_sets

        pairs = positives_of(read_set(published_sets(folder)["RPI2241"])[0])
        rows = rng.choice(len(pairs), count, replace=False)
        rna = np.array([len(pairs.rnas[i].sequence) for i in pairs.rna[rows]])
        protein = np.array([len(pairs.proteins[i].sequence) for i in pairs.protein[rows]])
        source = "RPI2241"
    else:
        rna, protein = (
            np.interp(rng.random(count), np.linspace(0, 1, 11), deciles).astype(int)
            for deciles in (_RNA_DECILES, _PROTEIN_DECILES)
        )
        source = "by the deciles of RPI2241"
    return np.minimum(rna, POSITIONS), np.minimum(protein, POSITIONS), source


class RandomVectors:
    """Random vectors of molecules, one molecule a pair.

    Args:
        lengths: positions of each.
    """

    def __init__(self, lengths: np.ndarray):
        self.lengths = lengths
        self._rows = np.random.default_rng(0).standard_normal((POSITIONS, WIDTH), np.float32)

    def __getitem__(self, i: int) -> np.ndarray:
        """The vectors of a molecule, float32 (positions, width)."""
        return self._rows[: self.lengths[i]]


def workload(name: str) -> Workload:
    """Take the steps of a configuration once."""
    torch.manual_seed(0)
    rna, protein, _ = lengths_of_pairs()
    precomputed = {"kind": "precomputed", "size": WIDTH}
    config = RPIConfig(rna_embedder=precomputed, protein_embedder=precomputed)
    model = InteractionLoss(RPIForSequenceClassification(config).train(), 1)
    places = np.arange(len(rna))
    batches = PairBatches(
        Pairs(rna=places, protein=places, label=places % 2, weight=np.ones(len(places))),
        RandomVectors(rna),
        RandomVectors(protein),
        RPIProcessor(precomputed, precomputed, max_positions=POSITIONS),
        batch_size=BATCH_SIZE,
        seed=0,
    )
    steps = CONFIGURATIONS[name](batches)

    def run():
        for pieces in steps:
            model.zero_grad()
            for piece in pieces:
                model(piece())[0].backward()

    made = [piece() for pieces in steps for piece in pieces]
    valid = sum(batch.sizes["positions"] for batch in made)
    masks = [batch.inputs[f"{side}_mask"] for batch in made for side in ("rna", "protein")]
    facts = {"pairs": sum(map(len, (batch.labels for batch in made)))}
    return Workload(run, valid, facts | {"positions": sum(mask.numel() for mask in masks)})


def padded_to_the_limit(batches: PairBatches):
    """A step of a random batch, each molecule padded to `POSITIONS`, as the paper does."""
    embedders = batches.processor.rna_embedder, batches.processor.protein_embedder
    batches.processor = RPIProcessor(*embedders, pad_to=POSITIONS)
    return padded_to_the_longest(batches)


def padded_to_the_longest(batches: PairBatches):
    """A step of a random batch, padded to its longest molecules."""
    rows = np.random.default_rng(0).permutation(len(batches.pairs))[:BATCH_SIZE]
    # One batch of 64 takes 13 GB: its gradient is added up over pieces.
    return [[lambda part=part: batches.of(part) for part in rows.reshape(-1, PIECE)]]


def of_like_length(batches: PairBatches):
    """An epoch of batches as train.py makes them."""
    return [[lambda step=step: batches[step]] for step in range(STEPS)]


CONFIGURATIONS = {
    f"random batch, padded to {POSITIONS:,}": padded_to_the_limit,
    "random batch, padded to the longest": padded_to_the_longest,
    "as train.py makes them: of like length": of_like_length,
}

if __name__ == "__main__":
    main()
