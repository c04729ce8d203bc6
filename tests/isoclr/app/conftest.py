import numpy as np
import pytest
import torch

from isoclr.app.transcripts import Engine
from isoclr.evaluation.heads import Head, Training, weights_digest
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer


@pytest.fixture(scope="session")
def engine():
    """A toy encoder, and a head of weights that nobody fitted."""
    torch.manual_seed(0)
    config = IsoCLRConfig(filters=[8, 8], blocks=[1, 1], dilations=[1, 2], pooling="stages")
    encoder = IsoCLRModel(config).eval()
    width = config.pooled_size
    training = Training(
        rows=100,
        groups=100,
        species=("homo_sapiens",),
        ranges=dict.fromkeys(("transcript", "5'UTR", "CDS", "3'UTR"), (0, 1000)),
        always=("CDS",),
        farthest=1e9,
    )
    head = Head(
        name="toy",
        predicts="a toy's number",
        label="number",
        task="regression",
        model="toy",
        encoder=weights_digest(encoder),
        alpha=1.0,
        training=training,
        half_widths={"0.9": 2.0},
        held_out={"pearson": (0.5, 0.1), "coverage 0.9": (0.9, 0.01)},
        weights=np.random.default_rng(0).normal(size=(width, 1)),
        intercept=np.zeros(1),
        centre=np.zeros(width),
        spread=np.ones(width),
    )
    return Engine(name="toy", encoder=encoder, tokenizer=IsoCLRTokenizer(), heads={"toy": head})
