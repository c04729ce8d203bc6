"""Speed of training RPIembeddor at its paper's sizes: 1,024 × 640 a molecule, batches of 64.

Every configuration takes steps of the same pairs, forward and backward, on one core. Lengths are
those of RPI2241 in `$ISOCLR_DATA`, else drawn from its deciles. Only valid positions count.
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
SECTION = "interactions"
_RNA_DECILES = (15, 27, 77, 78, 120, 1460, 2885, 2904, 2912, 2915, 2999)
_PROTEIN_DECILES = (26, 66, 87, 105, 118, 132, 144, 173, 205, 276, 1733)


def main() -> None:
    """Print a table of pairs and valid positions a second, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="of each; the fastest counts")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(workload(arguments.serve[1]))
        return
    print_machine(machine())
    rna, protein, source = lengths_of_pairs()
    print(f"{len(rna)} pairs; lengths: {source}; of {POSITIONS} positions a molecule, ", end="")
    print(f"{(rna.sum() + protein.sum()) / (2 * POSITIONS * len(rna)):.2f} are valid")
    print(f"{'':52}{'pairs/s':>9}{'positions/s':>13}{'padded':>9}{'ratio':>8}")
    for result in race(__file__, SECTION, list(CONFIGURATIONS), arguments.turns):
        pairs = len(rna) / min(result["seconds"])
        print(f"{result['name']:52}{pairs:9.2f}{result['nt_per_second']:13,.0f}", end="")
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
    """Train over all pairs once."""
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
    step_of = CONFIGURATIONS[name](batches)

    def run():
        for step in range(STEPS):
            model.zero_grad()
            model(step_of(step))[0].backward()

    counts = [step_of(step).inputs for step in range(STEPS)]
    masks = [inputs[f"{side}_mask"] for inputs in counts for side in ("rna", "protein")]
    positions = sum(mask.numel() for mask in masks)
    return Workload(run, int(rna.sum() + protein.sum()), {"positions": positions})


def padded_to_the_limit(batches: PairBatches):
    """Random batches, each molecule padded to `POSITIONS`, as the paper does."""
    batches.processor = RPIProcessor(
        batches.processor.rna_embedder, batches.processor.protein_embedder, pad_to=POSITIONS
    )
    return padded_to_the_longest(batches)


def padded_to_the_longest(batches: PairBatches):
    """Random batches, padded to the longest molecule of each."""
    order = np.random.default_rng(0).permutation(STEPS * BATCH_SIZE).reshape(STEPS, BATCH_SIZE)
    return lambda step: batches.of(order[step])


def of_like_length(batches: PairBatches):
    """Batches as train.py makes them."""
    return batches.__getitem__


CONFIGURATIONS = {
    f"random batches, padded to {POSITIONS:,}": padded_to_the_limit,
    "random batches, padded to the longest": padded_to_the_longest,
    "as train.py makes them: of like length": of_like_length,
}

if __name__ == "__main__":
    main()
