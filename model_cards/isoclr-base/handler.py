"""Answer requests of a Hugging Face Inference Endpoint with the model of this repository.

An endpoint makes one `EndpointHandler` and calls it with each request's JSON. Wrong input raises
ValueError, whose text the endpoint returns.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
    pipeline,
)

_MOST = 1000  # transcripts, pairs or samples of a request


class EndpointHandler:
    """Holds a model in memory and answers requests; what it answers follows from its family.

    Args:
        path: folder of the repository.
    """

    def __init__(self, path=""):
        self.path = Path(path)
        load = {"pretrained_model_name_or_path": str(path), "trust_remote_code": True}
        family = AutoConfig.from_pretrained(**load).model_type
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if family == "isoclr":
            task: Any = "isoform-embedding"  # of the repository: not in the types of transformers
            self.embed: Any = pipeline(
                task, model=str(path), trust_remote_code=True, device=self.device
            )
            self.heads = self._read_heads()
            self.answer = self._transcripts
            return
        auto_class = AutoModelForSequenceClassification if family == "rpi" else AutoModel
        self.model = auto_class.from_pretrained(**load).eval().to(self.device)
        self.processor = AutoProcessor.from_pretrained(**load)
        self.answer = self._pairs if family == "rpi" else self._profiles

    def __call__(self, data):
        """Answer a request.

        Args:
            data: `inputs`, and perhaps `parameters`. Of transcripts or proteins, `inputs` is a
                sequence, a record with `sequence`, `cds` and `exon_junctions` (0-based), or a list
                of these; the parameter `head` names a head to predict by, `embeddings` false
                leaves embeddings out. Of pairs it is a record with `rna` and `protein`, or a list.
                Of expression it is `genes`, and `values` in log2(x + 1), (samples, genes).

        Returns:
            A list of a record for each input, ready for JSON: `embedding` and, with a head,
            `prediction`, `lower` and `upper` of the interval for 90 % of transcripts, or of
            classes the values of the outputs; `probability` and `interacts` of pairs.

        Raises:
            ValueError: inputs or parameters of another form.
        """
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError("request: got no inputs, wanted a record with `inputs`")
        parameters = data.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise ValueError("parameters: got no record, wanted names and values")
        known = {"head", "embeddings"} if self.answer == self._transcripts else set()
        if unknown := sorted(set(map(str, parameters)) - known):
            raise ValueError(f"parameters: got {unknown[0]!r}, wanted {sorted(known) or 'none'}")
        return self.answer(data["inputs"], **parameters)

    def _transcripts(self, inputs, head=None, embeddings=True):
        if head is not None and head not in self.heads:
            raise ValueError(f"head: got {head!r}, wanted one of {sorted(self.heads)}")
        records = _listed(inputs)
        vectors = self.embed(records)
        answers = [{} for _ in records]
        if embeddings:
            answers = [{"embedding": vector.tolist()} for vector in vectors]
        if head is not None:
            for answer, more in zip(answers, _predict(*self.heads[head], vectors), strict=True):
                answer.update(more)
        return answers

    def _pairs(self, inputs):
        records = _listed(inputs)
        for record in records:
            if not isinstance(record, dict) or set(record) != {"rna", "protein"}:
                raise ValueError("inputs: got another form, wanted records of `rna` and `protein`")
            if not all(isinstance(value, str) and value for value in record.values()):
                raise ValueError("inputs: got an empty sequence or none, wanted letters")
        answers = []
        for record in records:  # one at a time, so that no answer depends on another pair
            batch = self.processor(record["rna"], record["protein"], return_tensors="pt")
            with torch.inference_mode():
                logits = self.model(**batch.to(self.device)).logits
            probability = float(self.model.probabilities(logits)[0, 0])
            interacts = probability >= self.model.config.threshold
            answers.append({"probability": probability, "interacts": interacts})
        return answers

    def _profiles(self, inputs):
        if not isinstance(inputs, dict) or set(inputs) != {"genes", "values"}:
            raise ValueError("inputs: got another form, wanted a record of `genes` and `values`")
        _listed(inputs["values"])
        batch = self.processor(inputs["values"], inputs["genes"], return_tensors="pt")
        with torch.inference_mode():
            vectors = self.model(batch["values"].to(self.device)).pooler_output
        return [{"embedding": vector} for vector in vectors.float().cpu().tolist()]

    def _read_heads(self):
        """Name of a head to its facts and its arrays."""
        return {
            path.parent.name: (
                json.loads(path.read_text("utf-8")),
                load_file(path.with_name("head.safetensors")),
            )
            for path in sorted(self.path.glob("heads/*/head.json"))
        }


def _predict(facts, arrays, vectors):
    """A record for each vector: what `isoclr predict` says of it, but for warnings."""
    values = np.asarray(vectors, np.float64) @ arrays["weights"] + arrays["intercept"]
    if facts["task"] == "regression":
        half = facts["half_widths"]["0.9"]
        return [{"prediction": v, "lower": v - half, "upper": v + half} for v in values[:, 0]]
    if facts["task"] == "multiclass":
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
    else:
        shares = 1 / (1 + np.exp(-values))
    names = facts["classes"] or [facts["label"]]
    return [{"prediction": dict(zip(names, row.tolist(), strict=True))} for row in shares]


def _listed(inputs):
    """Inputs as a list."""
    listed = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if not 1 <= len(listed) <= _MOST:
        raise ValueError(f"inputs: got {len(listed)}, wanted 1 to {_MOST}")
    return listed
