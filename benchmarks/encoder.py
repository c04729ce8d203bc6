"""Speed of the encoder: forms of itself, batching of a length mix, and peers, on one CPU thread."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import (
    MAX_LENGTH,
    Workload,
    length_mix,
    machine,
    print_machine,
    race_sections,
    random_transcripts,
    read_arguments,
)
from torch import nn
from transformers import EsmConfig, EsmModel, MambaConfig, MambaModel

from data_builders.figures import new_axes, write_figure
from data_builders.records import Transcript
from isoclr.evaluation.embed import embed_transcripts
from modeling_isoclr import IsoCLRConfig, IsoCLRModel, IsoCLRTokenizer
from modeling_isoclr.configuration_isoclr import PAD_BASE
from modeling_isoclr.tokenization_isoclr import pad_tokens

BATCH_LENGTHS = range(964, 1025, 4)  # of 16 transcripts, for the forms of the encoder
MIX_SIZE = 128
TOKENS_PER_BATCH = 1 << 16
PEER_LENGTHS = [1024] * 4


def main() -> None:
    """Print a table; write encoder.json and encoder.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    torch.set_num_threads(1)
    with torch.inference_mode():
        arguments = read_arguments(parser, lambda section, name: SECTIONS[section][name]())
    facts = {**machine(), "torch": torch.__version__, "lengths": length_mix(MIX_SIZE)[1]}
    print_machine(facts)
    print(f"torch {facts['torch']}; lengths of the mix: {facts['lengths']}")
    report = arguments.output / "encoder.json"
    results = race_sections(__file__, SECTIONS, print_section, facts, report)
    draw(results, arguments.output / "encoder.png")


def print_section(section: str, results: Sequence[dict]) -> None:
    """One line a configuration: nucleotides a second, ratio to the first, and agreement."""
    print(f"\n{section:46}{'nt/s':>10}{'ratio':>9}")
    for result in results:
        line = f"{result['name']:46}{result['nt_per_second']:10,.0f}{result['ratio']:9.4f}"
        if "cosine" in result:
            line += f"   untrained, 1 - least centred cosine to float64: {1 - result['cosine']:.1e}"
        print(line, flush=True)


def draw(results: Sequence[dict], path: Path) -> None:
    """A panel a section, a bar a configuration."""
    sizes = [len(configurations) for configurations in SECTIONS.values()]
    height = 0.9 + 0.42 * len(results)
    figure, panels = new_axes(8, height, len(SECTIONS), height_ratios=sizes)
    for axes, section in zip(panels, SECTIONS, strict=True):
        rows = [result for result in results if result["section"] == section][::-1]
        rates = [row["nt_per_second"] for row in rows]
        bars = axes.barh([row["name"] for row in rows], rates, color="#1f4e79")
        axes.bar_label(bars, [f"×{row['ratio']:.2g}" for row in rows], padding=3)
        axes.set_title(section, loc="left", fontsize=10)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.margins(x=0.12)
    panels[-1].set_xlabel("useful nucleotides a second, one thread")
    write_figure(figure, path)


# --- The forms of the encoder


def encoder(preset: str) -> IsoCLRModel:
    """Random weights, and the running statistics of a batch, as training would leave them."""
    torch.manual_seed(0)
    model = IsoCLRModel(IsoCLRConfig.preset(preset, norm_momentum=1.0)).train()
    model(token_batch([1024] * 8))
    return model.eval()


def token_batch(lengths: Sequence[int]) -> torch.Tensor:
    """Random transcripts as tokens, (transcripts, longest length)."""
    tokenizer = IsoCLRTokenizer()
    rows = [
        tokenizer.tokenize_transcript(t.sequence, (t.cds_start, t.cds_end), t.exon_junctions)
        for t in random_transcripts(lengths)
    ]
    return torch.from_numpy(pad_tokens(rows))


def plain_embeddings(model: IsoCLRModel, tokens: torch.Tensor) -> torch.Tensor:
    """`model(tokens).pooler_output` as one first writes it: conv1d over (batch, channels, length).

    `model` has `norm="batch"` and `pooling="last"`, in evaluation mode.
    """

    def conv(layer, x):
        reach = layer.dilation[0] * (layer.kernel_size[0] - 1)
        x = nn.functional.pad(x, (reach // 2, reach - reach // 2))
        return nn.functional.conv1d(x, layer.weight, layer.bias, dilation=layer.dilation)

    def norm(layer, x):
        statistics = layer.running_mean, layer.running_var
        return nn.functional.batch_norm(x, *statistics, layer.weight, layer.bias, eps=layer.eps)

    def halve(x, mask):
        x = nn.functional.max_pool1d(x.masked_fill(~mask, -torch.inf), 2, ceil_mode=True)
        return x.masked_fill(~mask[..., ::2], 0), mask[..., ::2]

    def block(layers, x, mask):
        residual = x
        if layers.shortcut is not None:
            residual = norm(layers.shortcut_norm, conv(layers.shortcut, x))
        x = norm(layers.norm1, conv(layers.conv1, x).relu()).relu() * mask
        x = norm(layers.norm2, conv(layers.conv2, x).relu())
        return (x + residual).relu() * mask

    mask = (tokens != PAD_BASE)[:, None]  # (batch, 1, length)
    x = model.embeddings.table[tokens.long()].transpose(1, 2) * mask  # (batch, tracks, length)
    x = norm(model.encoder.stem_norm, conv(model.encoder.stem, x.contiguous()))
    x, mask = halve(x, mask)
    for first, *rest in model.encoder.stages:
        x, mask = halve(block(first, x, mask), mask)
        for layers in rest:
            x = block(layers, x, mask)
    return x.sum(2) / mask.sum(2)


def plain_float32() -> Workload:
    """The comparison."""
    model, tokens = encoder("medium"), token_batch(BATCH_LENGTHS)
    return Workload(lambda: plain_embeddings(model, tokens), sum(BATCH_LENGTHS))


def channels_last(*, bfloat16: bool, compiled: bool) -> Workload:
    """`IsoCLRModel` itself, checked against the plain form in float64."""
    model, tokens = encoder("medium"), token_batch(BATCH_LENGTHS)
    expected = plain_embeddings(model.double(), tokens)
    model.float()
    forward = torch.compile(model, dynamic=True) if compiled else model

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return forward(tokens).pooler_output

    embeddings = run().double()
    if not bfloat16:
        torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-4)
    centre = expected.mean(0)
    cosine = nn.functional.cosine_similarity(embeddings - centre, expected - centre).min()
    return Workload(run, sum(BATCH_LENGTHS), {"cosine": cosine.item()})


# --- Batching of a length mix


def padded_batches(transcripts: Sequence[Transcript]) -> tuple[torch.Tensor, ...]:
    """Tokens, each (transcripts, MAX_LENGTH)."""
    tokenizer = IsoCLRTokenizer()
    tokens = np.full((len(transcripts), MAX_LENGTH), PAD_BASE, np.uint8)
    for row, t in zip(tokens, transcripts, strict=True):
        row[: len(t.sequence)] = tokenizer.tokenize_transcript(
            t.sequence, (t.cds_start, t.cds_end), t.exon_junctions
        )
    return torch.from_numpy(tokens).split(TOKENS_PER_BATCH // MAX_LENGTH)


def on_mix(embed: Callable[[list[Transcript]], object]) -> Workload:
    """Embed the transcripts of the length mix."""
    lengths, _ = length_mix(MIX_SIZE)
    transcripts = random_transcripts(lengths)
    return Workload(lambda: embed(transcripts), sum(lengths))


def padded_to_longest() -> Workload:
    """Every transcript padded to the longest allowed, in batches of as many tokens as ours."""
    model = encoder("small")

    def embed(transcripts):
        return torch.cat([model(batch).pooler_output for batch in padded_batches(transcripts)])

    transcripts = random_transcripts(length_mix(MIX_SIZE)[0])
    ours = embed_transcripts(model, IsoCLRTokenizer(), transcripts, progress=False)
    np.testing.assert_allclose(ours, embed(transcripts).numpy(), rtol=1e-5, atol=1e-5)
    return on_mix(embed)


def sorted_by_length() -> Workload:
    """`embed_transcripts`."""
    options = {"tokens_per_batch": TOKENS_PER_BATCH, "progress": False}
    return on_mix(partial(embed_transcripts, encoder("small"), IsoCLRTokenizer(), **options))


def saluki_like_padded() -> Workload:
    """A supervised half-life model's encoder as its authors run it: on inputs of one length."""
    model = SalukiLike().eval()
    return on_mix(lambda ts: torch.cat([model(batch) for batch in padded_batches(ts)]))


# --- Peers, with random weights


def isoclr(preset: str) -> Workload:
    """Ours, as a user calls it."""
    return _on_tokens(encoder(preset))


def mamba() -> Workload:
    """A state-space model of the size of Orthrus' larger one, transformers' PyTorch path."""
    config = MambaConfig(vocab_size=32, hidden_size=512, num_hidden_layers=6, use_cache=False)
    return _on_tokens(MambaModel(config).eval())


def esm() -> Workload:
    """A transformer of 12 layers of 640, the size of RNA-FM."""
    config = EsmConfig(
        vocab_size=32,
        hidden_size=640,
        num_hidden_layers=12,
        num_attention_heads=20,
        intermediate_size=2560,
        position_embedding_type="rotary",
        pad_token_id=PAD_BASE,
    )
    return _on_tokens(EsmModel(config, add_pooling_layer=False).eval())


class SalukiLike(nn.Module):
    """Six convolutions that halve the length, then a GRU (as in doi 10.1186/s13059-022-02811-x)."""

    def __init__(self, filters: int = 64, blocks: int = 6, width: int = 5):
        super().__init__()
        self.tracks = encoder("small").embeddings
        self.stem = nn.Conv1d(6, filters, width, bias=False)
        self.norms = nn.ModuleList(nn.LayerNorm(filters) for _ in range(blocks + 1))
        self.convs = nn.ModuleList(nn.Conv1d(filters, filters, width) for _ in range(blocks))
        self.gru = nn.GRU(filters, filters, batch_first=True)

    def forward(self, tokens):
        """(batch, length) to (batch, filters)."""
        x = self.stem(self.tracks(tokens).transpose(1, 2))
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = conv(norm(x.transpose(1, 2)).relu().transpose(1, 2))
            x = nn.functional.max_pool1d(x, 2)
        _, last = self.gru(self.norms[-1](x.transpose(1, 2)).relu())
        return last[0]


def saluki_like() -> Workload:
    """A supervised half-life model's encoder."""
    return _on_tokens(SalukiLike().eval())


def _on_tokens(model: Callable[[torch.Tensor], object]) -> Workload:
    tokens = token_batch(PEER_LENGTHS).long()
    return Workload(lambda: model(tokens), tokens.numel())


SECTIONS = {
    "medium, forms of the encoder": {
        "conv1d, float32": plain_float32,
        "channels_last, float32": lambda: channels_last(bfloat16=False, compiled=False),
        "channels_last, float32, compiled": lambda: channels_last(bfloat16=False, compiled=True),
        "channels_last, bfloat16": lambda: channels_last(bfloat16=True, compiled=False),
        "channels_last, bfloat16, compiled": lambda: channels_last(bfloat16=True, compiled=True),
    },
    "small, embedding a length mix": {
        f"padded to {MAX_LENGTH:,} nt": padded_to_longest,
        "sorted by length, token budget": sorted_by_length,
        f"Saluki-like, padded to {MAX_LENGTH:,} nt": saluki_like_padded,
    },
    "encoders on 4 x 1,024 nt": {
        "IsoCLR small": lambda: isoclr("small"),
        "IsoCLR medium": lambda: isoclr("medium"),
        "Saluki-like, conv + GRU": saluki_like,
        "Mamba 6 x 512": mamba,
        "ESM 12 x 640": esm,
    },
}

if __name__ == "__main__":
    main()
