"""Changes of training images that keep their label, drawn anew for every image and epoch, where the images are."""

from typing import Literal

import torch

Augmentation = Literal["none", "flip", "flip_crop"]
PADDING = 1 / 8  # of the side, black, on each side before the crop: 4 pixels of 32


def augmented(pixels: torch.Tensor, how: Augmentation) -> torch.Tensor:
    """Mirror images left to right with a probability of one half, and crop them from a black frame.

    Parameters
    ----------
    pixels : uint8[image, channel, y, x]
    how : ``none``; ``flip``; ``flip_crop``: moved as well, by up to 1/8 of the side in y and x

    Returns
    -------
    uint8[image, channel, y, x], on the same device; what is drawn comes from the global generator of the CPU, so it is
    the same on every device
    """
    if how == "none":
        return pixels
    images, _, y, x = pixels.shape
    columns = torch.arange(x).repeat(images, 1)
    mirrored = torch.rand(images) < 0.5
    columns[mirrored] = columns[mirrored].flip(1)
    if how == "flip":
        return _picked(pixels, torch.arange(y).repeat(images, 1), columns)
    frame = round(PADDING * max(y, x))
    padded = torch.nn.functional.pad(pixels, (frame,) * 4)
    down, right = torch.randint(0, 2 * frame + 1, (2, images, 1))
    return _picked(padded, torch.arange(y) + down, columns + right)


def _picked(pixels: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Some rows [image, y] and columns [image, x] of every image."""
    device = pixels.device
    image = torch.arange(len(pixels), device=device)[:, None, None]
    picked = pixels.permute(0, 2, 3, 1)[image, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    return picked.permute(0, 3, 1, 2)
