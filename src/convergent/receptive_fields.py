"""Receptive fields: the pixels that an activation depends on, found in the network itself.

A pixel that is NaN makes NaN all that depends on it, through every layer of torch.nn, and nothing else. So one image
for each row of pixels, and one for each column, tell the fields of all positions of all layers. What chooses by a
comparison, as torch.where(x > 0, x, 0) does, or leaves NaN out, as torch.fmax, loses it: the pixels that reach a
position through such a function alone are missing from its field, and where all are, that is an error.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from convergent import networks
from convergent.errors import InputError

BATCH = 4  # images at a time: all layers of these are held


@dataclass(frozen=True)
class Fields:
    """The smallest boxes that hold the receptive fields of a layer; ends are not in the box.

    Attributes
    ----------
    begin, end : [axis, y, x], the first pixel and the one after the last, of rows (axis 0) and columns (1); of layers
        without positions [axis, 1, 1]
    """

    begin: np.ndarray
    end: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the largest, in pixels."""
        height, width = (self.end - self.begin).max(axis=(1, 2))
        return int(height), int(width)


def receptive_fields(network: nn.Module, layers: Sequence[str], image_shape: Sequence[int]) -> dict[str, Fields]:
    """The fields of every position of some layers, of whichever unit sees most.

    Parameters
    ----------
    network : left as it is
    layers : nodes of its graph
    image_shape : channel, y, x of one image

    Raises
    ------
    InputError : for a layer that no pixel reaches
    """
    # Of float64 and on a CPU every convolution is a plain product; transforms of tiles would spread NaN beyond a field.
    extract = networks.extractor(copy.deepcopy(network).to("cpu", torch.float64), layers)
    reached = [_reached(extract, layers, image_shape, axis) for axis in (0, 1)]
    fields = {}
    for layer in layers:
        seen = [of_axis[layer] for of_axis in reached]  # [pixel, y, x] of each axis
        any_pixel = np.stack([of_axis.any(axis=0) for of_axis in seen])
        if not any_pixel.any():
            raise InputError(
                f"{layer}: no pixel is seen to reach it; what is before loses NaN, as torch.where(x > 0, x, 0) does; "
                "write it as a layer of torch.nn"
            )
        begin = np.stack([of_axis.argmax(axis=0) for of_axis in seen])
        end = np.stack([len(of_axis) - of_axis[::-1].argmax(axis=0) for of_axis in seen])
        fields[layer] = Fields(begin * any_pixel, end * any_pixel)
    return fields


def _reached(extract: nn.Module, layers: Sequence[str], image_shape: Sequence[int], axis: int) -> dict[str, np.ndarray]:
    """Whether a row (axis 0) or column (1) of pixels reaches the positions of each layer, [pixel, y, x]."""
    length = image_shape[1 + axis]
    found: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for pixels in torch.arange(length).split(BATCH):
        images = torch.zeros(len(pixels), *image_shape, dtype=torch.float64)
        images.movedim(2 + axis, 1)[torch.arange(len(pixels)), pixels] = torch.nan
        with torch.no_grad():
            outputs = extract(images)
        for layer in layers:
            reached = outputs[layer].isnan().any(dim=1)
            found[layer].append((reached if reached.ndim == 3 else reached[:, None, None]).numpy())
    return {layer: np.concatenate(parts) for layer, parts in found.items()}
