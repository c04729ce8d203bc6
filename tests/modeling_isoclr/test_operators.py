"""A micro-batch costs a GPU as many kernel launches as it calls operators; a CPU counts them.

What is counted is one micro-batch as `PairEncoder` computes it: forward, then the gradients of all
parameters from that of the embeddings. Adding them to those of other micro-batches is one call for
all of them, and is not counted.
"""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from modeling_isoclr import IsoCLRConfig, IsoCLRModel

ISOCLR_SMALL = {
    "filters": [64, 64, 128, 256],
    "blocks": [1, 1, 1, 1],
    "kernel_size": 3,
    "stem_kernel_size": 7,
    "stem_filters": 128,
    "norm": "layer",
    "pooling": "regions",
    "layout_size": 256,
    "content_size": 128,
    "dropout": 0.0,
}
# They change how a tensor is read, or make room for one; nothing is launched.
NOT_LAUNCHED = """
    _reshape_alias _unsafe_view alias as_strided as_strided_ contiguous detach dropout empty
    empty_like empty_strided expand flatten narrow new_empty_strided permute promote_types reshape
    resize_ resolve_conj result_type select slice split split_with_sizes squeeze t to transpose
    unflatten unsqueeze view
""".split()
# One call each, whatever the kernels of a processor call inside. `_convolution_pointwise` is what
# oneDNN calls a convolution with its ReLU.
WHOLE = """
    _convolution_pointwise addmm baddbmm_ bmm convolution convolution_backward
    max_pool2d_with_indices max_pool2d_with_indices_backward mm native_layer_norm
    native_layer_norm_backward
""".split()


def operators(step) -> int:
    """How many operators that compute something are called."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()

    def name(event):
        library, _, name = event.name.rpartition("::")
        return name if library in ("aten", "mkldnn") else None

    def computes(event):
        return name(event) not in (None, *NOT_LAUNCHED)

    def counts(event):
        above = event.cpu_parent
        while above is not None:
            if name(above) in WHOLE:
                return False
            above = above.cpu_parent
        return name(event) in WHOLE or not any(map(computes, event.cpu_children))

    return sum(map(counts, filter(computes, seen.events())))


@pytest.mark.parametrize(
    ("autocast", "most", "most_to_lay_out"), [(False, 115, 72), (True, 119, 75)]
)
def test_a_micro_batch_calls_few_operators(autocast, most, most_to_lay_out):
    """120 are wanted. By modules, each micro-batch laid out alone, it is about twice as many."""
    if autocast and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        most += 8  # this processor has no convolution with its ReLU in that precision
    torch.manual_seed(0)
    model = IsoCLRModel(IsoCLRConfig(**ISOCLR_SMALL)).train()
    tokens = torch.randint(0, 4, (2, 2048), dtype=torch.uint8)
    segment_ids = torch.zeros(2, 2048, dtype=torch.uint8)
    segment_ids[:, :800], segment_ids[:, 1024:] = 1, 2
    tokens[segment_ids == 0] = 7
    precision = {"device_type": "cpu", "dtype": torch.bfloat16, "enabled": autocast}
    layouts = []

    def lay_out():
        with torch.autocast(**precision):
            layouts.append(model.layout(tokens, segment_ids, 8))

    parameters, gradient = list(model.parameters()), []

    def step():
        with torch.autocast(**precision):
            output = model(tokens, segment_ids=segment_ids, layout=layouts[-1], learned_only=True)
        gradient.append(gradient[-1] if gradient else torch.ones_like(output.pooler_output))
        torch.autograd.grad(output.pooler_output, parameters, gradient[-1])

    lay_out()
    step()
    assert operators(lay_out) <= most_to_lay_out  # once for four micro-batches
    assert operators(step) <= most
