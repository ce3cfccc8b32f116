"""Preferred images: the weights of a linear unit, and for others an image that excites more than noise."""

import torch
from torch import nn

from convergent.preferred import preferred


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    return pixels / 255 - 0.5


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_preferred__is_the_weights_of_a_linear_unit() -> None:
    """Without shifts, of images of 7 × 7: grey and half the weights, the largest of them black or white."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(49, 3))
    found = preferred(network, scaled, (1, 7, 7), [2, 0], (0, 0), (7, 7), 200, seeded())
    assert found.dtype == torch.uint8
    weights = network[1].weight.detach()[[2, 0]]
    expected = 255 * (0.5 + 0.5 * weights / weights.abs().amax(dim=1, keepdim=True))
    torch.testing.assert_close(found.flatten(1).float(), expected, atol=1.01, rtol=0)


def test_preferred__excites_its_unit_more_than_noise_does() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3, padding=1)
    ).eval()
    units = list(range(6))
    made = preferred(network, scaled, (3, 20, 20), units, (4, 4), (12, 12), 40, seeded())
    with torch.no_grad():
        excited = network(scaled(made.float()))[units, units, 4, 4]
        noise = network(scaled(255 * torch.rand(300, 3, 20, 20)))[:, :, 4, 4]
    assert bool((excited > noise.quantile(0.95, dim=0)).all())


def test_preferred__is_the_same_from_the_same_seed() -> None:
    network = nn.Conv2d(1, 2, 5)
    first, again = (preferred(network, scaled, (1, 16, 16), [0, 1], (3, 3), (16, 16), 5, seeded()) for _ in range(2))
    assert torch.equal(first, again)
