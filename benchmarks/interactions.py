"""Speed of training RPIembeddor at its paper's sizes: 1,024 × 640 a molecule, batches of 64.

Every configuration takes gradient steps of the same pairs, forward, backward and AdamW, in turn in
one process on one core; processor time counts, so that other processes disturb little. Lengths are
those of RPI2241 in `$ISOCLR_DATA`, else drawn from its deciles.
"""

import argparse
import os
from pathlib import Path
from time import process_time

import numpy as np
import torch
from measure import machine, peak_memory, print_machine

from isoclr.objectives.interactions.batches import PairBatches, Pairs
from isoclr.objectives.interactions.objective import InteractionLoss
from modeling_isoclr import RPIConfig, RPIForSequenceClassification, RPIProcessor

BATCH_SIZE, POSITIONS, WIDTH = 64, 1024, 640
PIECE = 16
_RNA_DECILES = (15, 27, 77, 78, 120, 1460, 2885, 2904, 2912, 2915, 2999)
_PROTEIN_DECILES = (26, 66, 87, 105, 118, 132, 144, 173, 205, 276, 1733)


def main() -> None:
    """Print a table of pairs a second of processor time, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2, help="of each; the fastest counts")
    parser.add_argument("--steps", type=int, default=4, help="of 64 pairs, in a turn")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine(machine())
    rna, protein, source = lengths_of_pairs(arguments.steps * BATCH_SIZE)
    valid = (rna.sum() + protein.sum()) / (2 * POSITIONS * len(rna))
    print(f"{len(rna)} pairs; lengths: {source}; of {POSITIONS} positions a molecule, ", end="")
    print(f"{valid:.2f} are valid")
    runs = [Run(name, rna, protein, *how) for name, how in CONFIGURATIONS.items()]
    for _ in range(arguments.turns):
        for step in range(arguments.steps):
            for run in runs:
                run.take(step)
        for run in runs:
            run.end_turn()
    plain = min(runs[0].seconds)
    print(f"{'':52}{'pairs/s':>9}{'ratio':>8}")
    for run in runs:
        print(f"{run.name:52}{len(rna) / min(run.seconds):9.2f}{plain / min(run.seconds):8.2f}")
    print(f"peak memory: {peak_memory() / 1e9:.1f} GB")


def lengths_of_pairs(count: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Positions of the RNA and of the protein of each pair, up to `POSITIONS`, and their source."""
    rng = np.random.default_rng(0)
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
    """Random vectors of molecules, one molecule a pair; `lengths` are the positions of each."""

    def __init__(self, lengths: np.ndarray):
        self.lengths = lengths
        self._rows = np.random.default_rng(0).standard_normal((POSITIONS, WIDTH), np.float32)

    def __getitem__(self, i: int) -> np.ndarray:
        """The vectors of a molecule, float32 (positions, width)."""
        return self._rows[: self.lengths[i]]


class Run:
    """A model that takes gradient steps of all pairs.

    Args:
        name: of the configuration.
        rna: positions of the RNA of each pair.
        protein: the same of proteins.
        sort: batches of like length, as train.py makes them; else random ones.
        pad_to: positions that every molecule is padded to; None: those of the longest of a batch.
        masked: padding is masked in the layers, as on a GPU, rather than left out before them.

    Attributes:
        seconds: of processor time, of each turn.
    """

    def __init__(
        self,
        name: str,
        rna: np.ndarray,
        protein: np.ndarray,
        sort: bool,
        pad_to: int | None,
        masked: bool,
    ):
        self.name, self.masked, self.seconds, self._turn = name, masked, [], 0.0
        precomputed = {"kind": "precomputed", "size": WIDTH}
        config = RPIConfig(rna_embedder=precomputed, protein_embedder=precomputed)
        torch.manual_seed(0)
        model = RPIForSequenceClassification(config).train()
        if masked:
            model.rpi._packs = lambda *_: False
        self.loss = InteractionLoss(model, 1)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        places = np.arange(len(rna))
        self.batches = PairBatches(
            Pairs(rna=places, protein=places, label=places % 2, weight=np.ones(len(places))),
            RandomVectors(rna),
            RandomVectors(protein),
            RPIProcessor(precomputed, precomputed, max_positions=POSITIONS, pad_to=pad_to),
            batch_size=BATCH_SIZE,
            seed=0,
        )
        random = np.random.default_rng(0).permutation(len(places)).reshape(-1, BATCH_SIZE)
        steps = range(len(random))
        self._rows = [self.batches.rows(step) if sort else random[step] for step in steps]

    def take(self, step: int) -> None:
        """Take a gradient step, its batch made anew."""
        start = process_time()
        self.optimizer.zero_grad()
        # Masked, a batch of 64 takes 13 GB: the gradient is added up over pieces, in every
        # configuration.
        for rows in self._rows[step].reshape(-1, PIECE):
            self.loss(self.batches.of(rows))[0].backward()
        self.optimizer.step()
        self._turn += process_time() - start

    def end_turn(self) -> None:
        """Keep the time of the turn."""
        self.seconds.append(self._turn)
        self._turn = 0.0


CONFIGURATIONS = {
    f"random batches, padded to {POSITIONS:,}, masked": (False, POSITIONS, True),
    "random batches, padded to the longest, masked": (False, None, True),
    "batches of like length, masked": (True, None, True),
    "random batches, padding left out": (False, None, False),
    "batches of like length, padding left out: train.py": (True, None, False),
}
"""Whether to sort, what molecules are padded to, and whether padding is masked, see `Run`."""

if __name__ == "__main__":
    main()
