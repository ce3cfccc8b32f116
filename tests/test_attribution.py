"""Guided back-propagation and deconvolution: against their formulas, in networks however their ReLUs are written."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from convergent import networks
from convergent.attribution import attribute, until


class Functional(nn.Module):
    """Two fully connected layers with ReLUs as functions, and one as a module that is used twice."""

    def __init__(self, relu: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(5, 4), nn.Linear(4, 3), relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.second(self.relu(self.first(x.flatten(1)))))


RELUS = {
    "module": nn.ReLU(),
    "torch": torch.relu,
    "functional": functional.relu,
    "in place": lambda x: functional.relu(x, inplace=True),
    "method": lambda x: x.relu(),
}


@pytest.fixture(params=RELUS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    return Functional(RELUS[request.param])


def last(network: nn.Module) -> str:
    """The node that is returned."""
    copied = Functional(network.relu)  # `nodes` moves it to the meta device
    return networks.nodes(copied, (1, 1, 5))[1][-1]


def test_until__is_the_network_with_a_module_for_every_relu(network: nn.Module) -> None:
    images = torch.randn(20, 1, 1, 5)
    model = until(network, last(network))
    torch.testing.assert_close(model(images), network(images))
    assert sum(isinstance(module, nn.ReLU) for module in model.modules()) == 2
    before = until(network, last(network), before_relu=True)
    torch.testing.assert_close(before(images), network.second(functional.relu(network.first(images.flatten(1)))))


def test_attribute__follows_the_formulas(network: nn.Module) -> None:
    """A ReLU hands back what is positive; of guided back-propagation where it was on, of deconvolution everywhere."""
    images = torch.randn(50, 1, 1, 5)
    units = [i % 3 for i in range(50)]
    found = attribute(until(network, last(network)), images, units, [(0, 0)] * 50)
    hidden = network.first(images.flatten(1))
    on = network(images)[range(50), units] > 0
    from_above = network.second.weight[units].clamp_min(0)
    guided = on[:, None] * (hidden > 0) * from_above @ network.first.weight
    assert 0 < int(on.sum()) < 50
    torch.testing.assert_close(found["guided_backpropagation"].flatten(1), guided)
    torch.testing.assert_close(found["deconvolution"].flatten(1), from_above @ network.first.weight)


def test_attribute__is_the_gradient_of_the_position_asked_for() -> None:
    """By hand: a convolution without a ReLU; the gradient is the kernel, where it lies."""
    convolution = nn.Conv2d(2, 3, 3, padding=1)
    network = nn.Sequential(convolution, nn.Identity())
    found = attribute(until(network, "0"), torch.randn(2, 2, 6, 6), [2, 0], [(3, 1), (0, 5)])
    for values in found.values():
        torch.testing.assert_close(values[0, :, 2:5, 0:3], convolution.weight[2])
        torch.testing.assert_close(values[1, :, 0:2, 4:6], convolution.weight[0, :, 1:, :2])
        assert int((values[0] != 0).sum()) == 18
