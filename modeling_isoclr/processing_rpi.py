"""Sequences, or arrays, to the inputs of models of RNA–protein interaction."""

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin

from .embedders_rpi import make_embedder

MOLECULES = ("rna", "protein")


class RPIProcessor(FeatureExtractionMixin):
    """Make vectors of RNAs and proteins, cut and pad them.

    Args:
        rna_embedder: as `RPIConfig` has it.
        protein_embedder: the same of proteins.
        max_positions: positions beyond which a molecule is long.
        long: `cut` or `windows`; windows need nothing here.
        pad_to: positions that every molecule is padded to; None: those of the longest of a batch.
    """

    _near = None
    model_input_names = ["rna_embeds", "rna_mask", "protein_embeds", "protein_mask"]

    def __init__(
        self,
        rna_embedder=None,
        protein_embedder=None,
        max_positions=1024,
        long="cut",
        pad_to=None,
        **kwargs,
    ):
        kwargs.pop("feature_extractor_type", None)
        kwargs["auto_map"] = {"AutoProcessor": "processing_rpi.RPIProcessor"}
        super().__init__(**kwargs)
        self.rna_embedder = dict(rna_embedder or {"kind": "one_hot"})
        self.protein_embedder = dict(protein_embedder or {"kind": "one_hot"})
        self.max_positions, self.long, self.pad_to = max_positions, long, pad_to

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """Load a processor, and remember from where: encoders of bare names are beside it."""
        made = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        made._near = str(pretrained_model_name_or_path)
        return made

    @classmethod
    def of(cls, config):
        """The processor of a model's configuration."""
        made = cls(
            config.rna_embedder,
            config.protein_embedder,
            max_positions=config.max_positions,
            long=config.long,
            # Without masks a score depends on padding, so it must be the same in every batch.
            pad_to=config.max_positions if config.readout == "first" else None,
        )
        made._near = config.name_or_path
        return made

    def to_dict(self):
        """What is saved: the arguments, and no encoder that was loaded."""
        return {key: value for key, value in super().to_dict().items() if key[0] != "_"}

    def embedder(self, molecule):
        """What makes vectors of a molecule, loaded when it is first asked for; None: precomputed.

        Args:
            molecule: `rna` or `protein`.
        """
        name = f"_{molecule}_made"
        if not hasattr(self, name):
            spec = getattr(self, f"{molecule}_embedder")
            cut = self.long == "cut"
            made = make_embedder(
                molecule, spec, max_positions=self.max_positions, cut=cut, near=self._near
            )
            setattr(self, name, made)
        return getattr(self, name)

    def embed(self, molecule, items):
        """Return the vectors of molecules, cut where the processor says so.

        Args:
            molecule: `rna` or `protein`.
            items: sequences, or arrays of (positions, size).

        Returns:
            A list of float32 (positions, size).

        Raises:
            ValueError: a sequence without an embedder, an array of another width, or no positions.
        """
        sequences = [i for i, item in enumerate(items) if isinstance(item, str)]
        found = list(items)
        if sequences:
            embedder = self.embedder(molecule)
            if embedder is None:
                raise ValueError(f"{molecule}: got a sequence, wanted precomputed arrays")
            made = embedder([items[i] for i in sequences])
            for i, array in zip(sequences, made, strict=True):
                found[i] = array
        most = self.max_positions if self.long == "cut" else None
        return [self._checked(molecule, array)[:most] for array in found]

    def _checked(self, molecule, array):
        array = np.asarray(array, np.float32)
        size = getattr(self, f"{molecule}_embedder").get("size")
        if array.ndim != 2 or not len(array) or (size is not None and array.shape[1] != size):
            wanted = "width" if size is None else size
            raise ValueError(
                f"{molecule}: got an array of shape {array.shape}, wanted (positions, {wanted})"
            )
        return array

    def pad(self, molecule, arrays):
        """Return float32 (batch, length, size), zero where padded, and bool (batch, length).

        Args:
            molecule: `rna` or `protein`.
            arrays: of `embed`.
        """
        length = max(self.pad_to or 0, *map(len, arrays))
        embeds = np.zeros((len(arrays), length, arrays[0].shape[1]), np.float32)
        mask = np.zeros((len(arrays), length), bool)
        for row, array in enumerate(arrays):
            embeds[row, : len(array)], mask[row, : len(array)] = array, True
        return {f"{molecule}_embeds": embeds, f"{molecule}_mask": mask}

    def __call__(self, rna, protein, return_tensors=None):
        """Make the inputs of pairs.

        Args:
            rna: a sequence or an array for each pair, or one of these.
            protein: the same.
            return_tensors: as for every processor of transformers, such as "pt".

        Returns:
            A `BatchFeature` of `model_input_names`.

        Raises:
            ValueError: as `embed`, or unequal numbers of RNAs and proteins.
        """
        given = [[each] if isinstance(each, str) else list(each) for each in (rna, protein)]
        if len(given[0]) != len(given[1]) or not given[0]:
            raise ValueError(
                f"got {len(given[0])} RNAs and {len(given[1])} proteins, wanted pairs of them"
            )
        inputs = {}
        for molecule, items in zip(MOLECULES, given, strict=True):
            inputs |= self.pad(molecule, self.embed(molecule, items))
        return BatchFeature(inputs, tensor_type=return_tensors)
