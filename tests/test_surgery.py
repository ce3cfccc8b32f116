"""Networks cut at a layer: what follows it is the network itself, and what it is given takes the layer's place."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from convergent import networks, surgery

LAYERS = ["conv1.relu", "conv2.relu", "fc1.relu"]


def convnet(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return networks.convnet(3, 1, (4, 5), (6,)).eval()


class Skipping(nn.Module):
    """A network with a connection past its layer ``relu``."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.relu, self.two, self.out = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        before = self.one(images.flatten(1))
        return self.out(self.two(self.relu(before)) + before)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batches(images: torch.Tensor) -> list[surgery.Batch]:
    """Folds of 6 images; the first in two batches."""
    labels = torch.arange(12) % 3
    return [(images[:4], labels[:4], 0), (images[4:6], labels[4:6], 0), (images[6:], labels[6:], 1)]


@pytest.mark.parametrize("layer", LAYERS)
def test_after__goes_on_as_the_network_does(images: torch.Tensor, layer: str) -> None:
    network = convnet(0)
    given = networks.extractor(network, [layer])(images)[layer]
    rest = surgery.after(network, layer)
    torch.testing.assert_close(rest(images, given), network(images), rtol=0, atol=0)
    torch.testing.assert_close(rest(torch.zeros_like(images), given), network(images), rtol=0, atol=0)
    assert not torch.allclose(rest(images, 2 * given), network(images))
    assert not surgery.bypassed(rest)


def test_after__leaves_what_bypasses_a_layer_to_the_images() -> None:
    network, images = Skipping().eval(), torch.randn(5, 1, 2, 2)
    rest = surgery.after(network, "relu")
    assert surgery.bypassed(rest)
    before = network.one(images.flatten(1))
    torch.testing.assert_close(rest(images, torch.zeros(5, 4)), network.out(network.two(torch.zeros(5, 4)) + before))
    assert not surgery.bypassed(surgery.after(network, "add"))


def test_after__cuts_a_resnet_at_every_relu() -> None:
    network = torchvision.models.resnet18(num_classes=3).eval()
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    images = torch.randn(2, 3, 32, 32)
    layers = ["relu", "layer1.0.relu", "layer1.0.relu_1", "layer4.1.relu_1"]
    given = networks.extractor(network, layers)(images)
    rest = {layer: surgery.after(network, layer) for layer in layers}
    for layer in layers:
        torch.testing.assert_close(rest[layer](images, given[layer]), network(images))
    assert [surgery.bypassed(rest[layer]) for layer in layers] == [False, True, False, False]


def test_accuracies__of_a_layer_given_back_are_those_of_the_network(batches: list[surgery.Batch]) -> None:
    network = convnet(1)

    def altered(layer: str, fold: int, activation: torch.Tensor) -> Iterator[torch.Tensor]:
        yield from (activation, torch.zeros_like(activation))

    found = surgery.accuracies(network, network, LAYERS, altered, batches)
    expected = [
        np.mean(
            [float(a == b) for x, y, of in batches if of == fold for a, b in zip(network(x).argmax(1), y, strict=True)]
        )
        for fold in (0, 1)
    ]
    for layer in LAYERS:
        assert found[layer].shape == (2, 2)
        np.testing.assert_allclose(found[layer][0], expected)
        # Told nothing, it answers all images alike; there are as many of every class.
        np.testing.assert_allclose(found[layer][1].mean(), 1 / 3)
    np.testing.assert_allclose(surgery.intact(network, batches), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_removed__is_what_a_hook_that_sets_units_to_their_mean_does(images: torch.Tensor, layer: str) -> None:
    network = convnet(2)
    activation = networks.extractor(network, [layer])(images)[layer]
    mean = activation.mean([0, *range(2, activation.ndim)])
    mask = torch.zeros(2, activation.shape[1], dtype=torch.bool)
    mask[1, [0, 2]] = True
    none, some = (surgery.after(network, layer)(images, given) for given in surgery.removed(activation, mask, mean))
    torch.testing.assert_close(none, network(images), rtol=0, atol=0)

    def hook(module: nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        for unit in (0, 2):
            output[:, unit] = mean[unit]
        return output

    handle = network.get_submodule(layer).register_forward_hook(hook)
    torch.testing.assert_close(some, network(images))
    handle.remove()


def test_mapped__is_the_product_at_every_position() -> None:
    generator = np.random.default_rng(0)
    conv, weight = generator.standard_normal((3, 4, 2, 5)), generator.standard_normal((2, 6, 4))
    intercept = generator.standard_normal((2, 6))
    of = [torch.from_numpy(values) for values in (conv, weight, intercept)]
    expected = np.einsum("iuyx,mvu->mivyx", conv, weight) + intercept[:, None, :, None, None]
    np.testing.assert_allclose(torch.stack(list(surgery.mapped(*of))).numpy(), expected)
    flat = torch.stack(list(surgery.mapped(of[0][:, :, 0, 0], *of[1:]))).numpy()
    np.testing.assert_allclose(flat, expected[..., 0, 0])


def test_logits__are_the_answers_in_order(batches: list[surgery.Batch], images: torch.Tensor) -> None:
    network = convnet(3)
    found = surgery.logits(network, [batch for batch, _, _ in batches])
    np.testing.assert_allclose(found, network(images).detach().numpy(), rtol=1e-5, atol=1e-6)
