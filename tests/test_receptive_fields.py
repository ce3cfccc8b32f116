"""Receptive fields: against arithmetic by hand, what is published, and pixels changed one by one."""

import numpy as np
import pytest
import torch
import torchvision.models
from torch import nn
from torch.nn import functional

from convergent.errors import InputError
from convergent.receptive_fields import receptive_fields

POOL = (3, 2, 0)
# Kernel, stride and padding of the convolutions and poolings of the field.
ALEXNET = [(11, 4, 2), POOL, (5, 1, 2), POOL, (3, 1, 1), (3, 1, 1), (3, 1, 1)]
VGG = [step for n in (2, 2, 3, 3, 3) for step in (*[(3, 1, 1)] * n, (2, 2, 0))][:-1]


def chain(steps: list[tuple[int, int, int]]) -> nn.Sequential:
    """One channel; every step with padding a convolution, the others poolings, and a ReLU after each."""
    made: list[nn.Module] = []
    for kernel, stride, padding in steps:
        made += [nn.Conv2d(1, 1, kernel, stride, padding) if padding else nn.MaxPool2d(kernel, stride), nn.ReLU()]
    return nn.Sequential(*made)


def test_receptive_fields__of_a_chain_by_hand() -> None:
    """3×3 with padding, pooling by 2, 3×3 with stride 2: sizes 3, 4, 8, steps 1, 2, 4, the first from pixel −1."""
    network = chain([(3, 1, 1), (2, 2, 0), (3, 2, 1)])
    fields = receptive_fields(network, ["1", "3", "5"], (1, 16, 12))
    assert [fields[layer].size for layer in ("1", "3", "5")] == [(3, 3), (4, 4), (8, 8)]
    np.testing.assert_array_equal(fields["1"].begin[0, :, 5], [0, *range(15)])
    np.testing.assert_array_equal(fields["1"].end[0, :, 5], [*range(2, 17), 16])
    np.testing.assert_array_equal(fields["5"].begin[:, :, 0], [[0, 1, 5, 9], [0, 0, 0, 0]])
    np.testing.assert_array_equal(fields["5"].end[0, :, 2], [5, 9, 13, 16])
    np.testing.assert_array_equal(fields["5"].end[1, 3], [5, 9, 12])


@pytest.mark.parametrize(
    ("steps", "sizes"), [(ALEXNET, {1: 11, 5: 51, 9: 99, 11: 131, 13: 163}), (VGG, {3: 5, 33: 196})]
)
def test_receptive_fields__are_those_published(steps: list[tuple[int, int, int]], sizes: dict[int, int]) -> None:
    """AlexNet's convolutions and VGG-16's conv1_2 and conv5_3, on images that are high enough."""
    fields = receptive_fields(chain(steps), [str(layer) for layer in sizes], (1, 224, 64))
    assert {layer: fields[str(layer)].size[0] for layer in sizes} == sizes


def test_receptive_fields__of_a_residual_network() -> None:
    """By hand: 7 after the first convolution, 11 after the pooling; four of 3×3 at every fourth pixel add 8 each."""
    network = torchvision.models.resnet18()
    fields = receptive_fields(network, ["relu", "layer1.1.relu_1"], (3, 48, 48))
    assert fields["relu"].size == (7, 7)
    assert fields["layer1.1.relu_1"].size == (43, 43)
    assert network.training
    assert next(network.parameters()).dtype == torch.float32


class Mixed(nn.Module):
    """Functions instead of modules, branches of different fields, normalisations, a pooling of uneven windows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wide = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 5, padding=4, dilation=2)
        self.norm, self.fc = nn.BatchNorm2d(3), nn.Linear(27, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.first(x)), 2, stride=1)
        x = x + functional.gelu(self.norm(self.wide(x)))
        x = functional.relu(functional.local_response_norm(x, 3))
        x = functional.adaptive_avg_pool2d(x, 3)
        return functional.relu(self.fc(x.flatten(1)))


def test_receptive_fields__are_the_pixels_that_matter() -> None:
    """Brute force: every pixel of random images is changed; a change that reaches a position is of its field."""
    torch.manual_seed(0)
    network = Mixed().eval().double()
    extract = torch.fx.symbolic_trace(network)
    layers = ["relu", "relu_1", "adaptive_avg_pool2d", "relu_2"]
    found = receptive_fields(network, layers, (2, 11, 9))
    recorded: dict[str, torch.Tensor] = {}
    interpreter = torch.fx.Interpreter(extract)
    run_node = interpreter.run_node

    def remembered(node: torch.fx.Node) -> object:
        recorded[node.name] = run_node(node)
        return recorded[node.name]

    interpreter.run_node = remembered  # type: ignore[method-assign]
    images = 3 * torch.randn(60, 2, 11, 9, dtype=torch.float64)
    interpreter.run(images)
    before = {layer: recorded[layer] for layer in layers}
    reached = {layer: np.zeros((11, 9, *recorded[layer].shape[2:]), dtype=bool) for layer in layers}
    for y, x in np.ndindex(11, 9):
        changed = images.clone()
        changed[:, :, y, x] += 5 * torch.randn(60, 2, dtype=torch.float64)
        interpreter.run(changed)
        for layer in layers:
            reached[layer][y, x] = (recorded[layer] != before[layer]).any(dim=0).any(dim=0).numpy()
    for layer in layers:
        fields = found[layer]
        for place in np.ndindex(fields.begin.shape[1:]):
            where = reached[layer][:, :, *place] if recorded[layer].ndim == 4 else reached[layer]
            rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
            box = [rows[0], columns[0]], [rows[-1] + 1, columns[-1] + 1]
            np.testing.assert_array_equal((fields.begin[:, *place], fields.end[:, *place]), box)


class Chosen(nn.Module):
    """A ReLU by comparison, which makes 0 of NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.second = nn.Conv2d(2, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.second(torch.where(x > 0, x, 0.0))


def test_receptive_fields__refuses_a_layer_behind_what_loses_nan() -> None:
    assert receptive_fields(Chosen(), ["first"], (1, 8, 8))["first"].size == (3, 3)
    with pytest.raises(InputError, match=r"\Asecond: no pixel is seen to reach it; .+ torch\.nn\Z"):
        receptive_fields(Chosen(), ["first", "second"], (1, 8, 8))
