"""Augmentation: each image is a mirrored or moved copy of itself, drawn anew, the same from equal seeds."""

from collections import Counter

import numpy as np
import pytest
import torch

from convergent.augmentation import Augmentation, augmented

SIDE, FRAME = 16, 2


def images(number: int) -> torch.Tensor:
    return torch.randint(1, 256, (number, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def draws(pixels: np.ndarray, found: np.ndarray, frame: int) -> list[tuple[bool, int, int]]:
    """Every way in which an image may have become the other: mirrored, moved down, moved right."""
    padded = np.pad(pixels, ((0, 0), (frame, frame), (frame, frame)))
    return [
        (mirrored, y, x)
        for mirrored in (False, True)
        for y in range(2 * frame + 1)
        for x in range(2 * frame + 1)
        if np.array_equal(found, padded[:, y : y + SIDE, x : x + SIDE][:, :, :: -1 if mirrored else 1])
    ]


@pytest.mark.parametrize(("how", "frame"), [("flip", 0), ("flip_crop", FRAME)])
def test_augmented__mirrors_and_moves_every_image_on_its_own(how: Augmentation, frame: int) -> None:
    pixels = images(1000)
    torch.manual_seed(0)
    found = augmented(pixels, how)
    assert found.dtype == torch.uint8
    drawn = [draws(a.numpy(), b.numpy(), frame) for a, b in zip(pixels, found, strict=True)]
    assert {len(ways) for ways in drawn} == {1}
    mirrored, down, right = (Counter(part) for part in zip(*(ways[0] for ways in drawn), strict=True))
    assert abs(mirrored[True] / 1000 - 0.5) < 0.05
    for moved in (down, right):
        assert set(moved) == set(range(2 * frame + 1))
        assert all(abs(count / 1000 - 1 / (2 * frame + 1)) < 0.05 for count in moved.values())


def test_augmented__leaves_images_as_they_are() -> None:
    pixels = images(3)
    before = torch.get_rng_state()
    assert augmented(pixels, "none") is pixels
    assert torch.equal(torch.get_rng_state(), before)  # nothing is drawn


@pytest.mark.parametrize("how", ["flip", "flip_crop"])
def test_augmented__is_drawn_from_the_seed(how: Augmentation) -> None:
    pixels, found = images(50), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(augmented(pixels, how))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
