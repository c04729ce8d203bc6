"""The pipeline `isoform-embedding`: records in, embeddings out, fast whatever their lengths."""

import numpy as np
import torch
from transformers import Pipeline

from .checks_isoclr import as_integer, listed, shown
from .packing_isoclr import PackedShape, pack
from .tokenization_isoclr import IsoCLRTokenizer, cut_by_tokens, pad_tokens

_KEYS = {"sequence", "cds", "exon_junctions"}


@torch.inference_mode()
def embed_tokens(
    model, rows, tokens_per_batch=1 << 16, report=None, packed=None, rows_per_batch=None
):
    """Embed token rows in batches of like length, or packed into batches of one shape.

    Args:
        model: an `IsoCLRModel` in evaluation mode; its device is used.
        rows: n uint8 arrays of tokens.
        tokens_per_batch: nucleotides that go through the encoder at once, padding included.
        report: called with the nucleotides of each batch when it is done.
        packed: one shape for all batches, see packing_isoclr.py; both ways agree to rounding. None:
            wherever the model is not on a CPU, which gains nothing from it.
        rows_per_batch: most rows that go through the encoder at once, which are not packed then;
            None: as many as fit.

    Returns:
        float32 (n, pooled), in the order given.
    """
    if packed is None:
        packed = model.device.type != "cpu" and rows_per_batch is None
    if packed:
        return _embed_packed(model, rows, tokens_per_batch, report)
    out = np.empty((len(rows), model.config.pooled_size), dtype=np.float32)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    step = rows_per_batch or max(len(rows), 1)
    parts = cut_by_tokens(lengths, tokens_per_batch)
    for part in (like[i : i + step] for like in parts for i in range(0, len(like), step)):
        batch = torch.from_numpy(pad_tokens([rows[i] for i in part])).to(model.device)
        out[part] = model(batch).pooler_output.float().cpu().numpy()
        if report is not None:
            report(int(lengths[part].sum()))
    return out


def _embed_packed(model, rows, tokens_per_batch, report):
    out = np.empty((len(rows), model.config.pooled_size), dtype=np.float32)
    if not len(rows):
        return out
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    shape = PackedShape.of(model.config, tokens_per_batch, lengths.max())
    packing, begun = pack(lengths, shape), []

    def finish(members, embeddings):
        out[members] = embeddings.float().cpu().numpy()
        if report is not None:
            report(int(lengths[members].sum()))

    for batch in range(packing.batches):
        members = packing.members(batch)
        arrays = packing.tokens(members, [rows[i] for i in members]), packing.segment_ids(members)
        tokens, ids = (torch.from_numpy(values).to(model.device) for values in arrays)
        output = model(tokens, segment_ids=ids, n_segments=shape.segments).pooler_output
        slots = torch.from_numpy(packing.slots(members)).to(model.device)
        begun.append((members, output.flatten(0, 1)[slots]))
        if batch:  # while a GPU computes this one
            finish(*begun.pop(0))
    finish(*begun.pop())
    return out


class IsoformEmbeddingPipeline(Pipeline):
    """Embeds transcripts: sequences, or records with `sequence`, `cds` and `exon_junctions`.

    Called with one of them it returns an embedding, (pooled,); with a list, (n, pooled) in the
    caller's order. Inside, transcripts are sorted by length and batched by a token budget.
    """

    tokenizer: IsoCLRTokenizer
    _load_tokenizer = None  # of a model that is given as an object there is none to load
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False

    def __init__(self, model, tokenizer=None, **options):
        family = model.config.model_type
        if family != "isoclr":
            raise ValueError(f"model: got one of type {family!r}, wanted 'isoclr'")
        if tokenizer is None and model.name_or_path:
            tokenizer = IsoCLRTokenizer.from_pretrained(model.name_or_path)
        elif tokenizer is None:
            tokenizer = IsoCLRTokenizer(alphabet=model.config.alphabet)
        super().__init__(model=model, tokenizer=tokenizer, **options)
        if self._batch_size is not None:
            as_integer("batch_size", self._batch_size)

    def _sanitize_parameters(self, tokens_per_batch=None):
        forward = {}
        if tokens_per_batch is not None:
            forward["tokens_per_batch"] = as_integer("tokens_per_batch", tokens_per_batch)
        return {}, forward, {}

    def __call__(self, inputs, tokens_per_batch=None, batch_size=None, num_workers=None):
        """Embed one transcript or a list of them.

        Args:
            inputs: a sequence or a record, or a list of them.
            tokens_per_batch: nucleotides that go through the encoder at once, padding included.
            batch_size: most transcripts that go through it at once; None: as many as fit.
            num_workers: changes nothing; there is nothing to wait for.

        Raises:
            ValueError: naming the record and the value.
        """
        single = isinstance(inputs, (str, dict))
        records = [inputs] if single else listed("inputs", inputs, "records or sequences")
        rows = [self.preprocess(record, index) for index, record in enumerate(records)]
        parameters = self._forward_params | self._sanitize_parameters(tokens_per_batch)[1]
        if batch_size is None:
            batch_size = self._batch_size
        if batch_size is not None:
            parameters["rows_per_batch"] = as_integer("batch_size", batch_size)
        embeddings = self._forward(rows, **parameters)
        return embeddings[0] if single else embeddings

    def preprocess(self, record, index=0):
        """One record to its tokens."""
        if isinstance(record, str):
            record = {"sequence": record}
        if not isinstance(record, dict):
            raise ValueError(f"record {index}: got {shown(record)}, wanted a sequence or a record")
        if set(record) - _KEYS or "sequence" not in record:
            raise ValueError(
                f"record {index}: got {sorted(map(str, record))}, wanted sequence and perhaps cds "
                "and exon_junctions"
            )
        return self.tokenizer.tokenize_transcript(**record, record=f"record {index}")

    def _forward(self, rows, **parameters):
        return embed_tokens(self.model.base_model.eval(), rows, **parameters)

    def postprocess(self, outputs):
        """Embeddings as they are."""
        return outputs
