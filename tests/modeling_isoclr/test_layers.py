"""What tools that look into a network find there: activations as modules, twins of convolutions."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from modeling_isoclr import (
    IsoCLRForMaskedLM,
    IsoCLRForPreTraining,
    IsoCLRForSequenceClassification,
    IsoCLRModel,
)
from modeling_isoclr.layers_isoclr import IsoCLRConv
from toys import padded, random_tokens, tiny

aten = torch.ops.aten
NONLINEAR = {
    aten.relu: nn.ReLU,
    aten.tanh: nn.Tanh,
    aten.gelu: nn.GELU,
    aten.max_pool2d_with_indices: nn.MaxPool2d,
}


class CountCalls(TorchDispatchMode):
    """Counts calls of the operations in `NONLINEAR`, from a module or not."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in NONLINEAR:
            self.calls[NONLINEAR[function.overloadpacket]] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("head", "arguments"),
    [
        (IsoCLRModel, {"pooling": "regions", "discriminants": 2}),
        (IsoCLRForPreTraining, {}),
        (IsoCLRForSequenceClassification, {"classifier_hidden_size": 4}),
        (IsoCLRForMaskedLM, {}),
    ],
)
def test_every_nonlinearity_is_a_module_and_runs_once(head, arguments):
    model = head(tiny(**arguments)).eval()
    runs = Counter()
    for name, module in model.named_modules():
        if isinstance(module, tuple(NONLINEAR.values())):
            module.register_forward_hook(lambda *_, name=name: runs.update([name]))
    with CountCalls() as counter, torch.no_grad():
        model(padded(random_tokens(64, 40, 64, 9), 64))
    assert set(runs.values()) == {1}
    by_kind = Counter(type(model.get_submodule(name)) for name in runs)
    assert by_kind == counter.calls
    assert by_kind[nn.ReLU] >= 4 * 6 and by_kind[nn.MaxPool2d] == 5


@pytest.mark.parametrize(("width", "dilation"), [(1, 1), (2, 1), (2, 8), (3, 4), (4, 2)])
def test_a_twin_made_from_kernel_stride_and_padding_reaches_as_far(width, dilation):
    conv = IsoCLRConv(5, 7, width, dilation=dilation)
    twin = type(conv)(5, 7, conv.kernel_size, conv.stride, conv.padding, bias=False)
    assert (twin.dilation, twin.padding) == (conv.dilation, conv.padding)
    twin.weight.data.copy_(conv.weight)
    x = torch.randn(2, 5, 1, 40)
    torch.testing.assert_close(conv(x) - twin(x), conv.bias.view(1, 7, 1, 1).expand(2, 7, 1, 40))
    spread = torch.zeros(1, 5, 1, 64)
    spread[..., 32] = 1
    reached = conv(spread).sub(conv.bias.view(1, 7, 1, 1)).abs().sum((0, 1, 2)).nonzero().flatten()
    assert (reached[-1] - reached[0]).item() == dilation * (width - 1) == conv.padding[0]


def test_strides_and_groups_are_refused():
    with pytest.raises(ValueError, match="got stride 2 and 1 groups"):
        IsoCLRConv(4, 4, 3, 2)
    with pytest.raises(ValueError, match="got stride 1 and 4 groups"):
        IsoCLRConv(4, 4, 3, groups=4)
