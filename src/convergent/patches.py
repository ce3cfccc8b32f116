"""What the units of a layer look at: patches of images, what in them excites a unit, and the image that it prefers.

    patch[unit, rank, patch_y, patch_x, channel]

A patch is the receptive field of a position, of one size in all of a layer; where the field ends at the border of the
image, what is beyond is zero and not `inside`. Source: Zeiler and Fergus 2014 (arXiv 1311.2901); Li et al. 2016
(arXiv 1511.07543), figure 2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from convergent.attribution import METHODS, attribute, until
from convergent.data import Images
from convergent.preferred import preferred
from convergent.receptive_fields import Fields
from convergent.schema import PIXELS

BATCH = 16  # images at a time
MEANINGS = {
    "guided_backpropagation": "guided back-propagation of the activation, scaled to a largest of 1",
    "deconvolution": "deconvolution of the activation, scaled to a largest of 1",
}


@dataclass(frozen=True)
class Window:
    """Where a patch lies in its image: its first row and column, which may lie outside, its height and width."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: torch.Tensor) -> np.ndarray:
        """The patch [patch_y, patch_x, channel] of an image [channel, y, x]; zero outside."""
        rows, columns = self.top + np.arange(self.height), self.left + np.arange(self.width)
        height, width = image.shape[1:]
        found = image[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)].movedim(0, -1).numpy()
        return np.where(self.inside(height, width)[:, :, None], found, 0).astype(found.dtype)

    def inside(self, height: int, width: int) -> np.ndarray:
        """Which pixels of the patch [patch_y, patch_x] lie in an image."""
        rows, columns = self.top + np.arange(self.height), self.left + np.arange(self.width)
        return np.asarray(((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width)))


def window(fields: Fields, y: int, x: int) -> Window:
    """The patch of a position: its field, at the far side of the patch where the field begins at the border."""
    size = fields.size
    begin, end = fields.begin[:, y, x], fields.end[:, y, x]
    top, left = (
        int(last - length if first == 0 else first) for first, last, length in zip(begin, end, size, strict=True)
    )
    return Window(top, left, *size)


def of_layer(
    network: nn.Module,
    layer: str,
    fields: Fields,
    images: Images,
    exemplars: xr.Dataset,
    index: dict[str, int],
    steps: int,
) -> xr.Dataset:
    """The patches of some units of one layer.

    Parameters
    ----------
    network : in evaluation mode from now on
    layer : node of its graph
    fields : of the layer
    images : held out, on which the activations were recorded
    exemplars : ``activation[unit, rank]``, ``image_id``, ``label``, ``y``, ``x`` of the units
    index : of an image by its id
    steps : of activation maximisation; 0: none

    Returns
    -------
    ``patch[unit, rank, patch_y, patch_x, channel]`` uint8, ``inside[unit, rank, patch_y, patch_x]`` (0 or 1),
    ``guided_backpropagation`` and ``deconvolution`` as ``patch``, float16 in −1…1, ``top[unit, rank]`` and ``left``,
    the first row and column in the image, ``preferred[unit, patch_y, patch_x, channel]`` uint8 where there are steps;
    and the exemplars. Ranks without an image are nowhere inside
    """
    image_shape, size = images.shape, (*fields.size, images.shape[0])
    found = _empty((exemplars.sizes["unit"], exemplars.sizes["rank"]), size)
    model = until(network, layer)
    device = next(iter(network.parameters())).device
    there = np.argwhere(exemplars["image_id"].values != "")
    for rows in np.split(there, range(BATCH, len(there), BATCH)) if len(there) else ():
        of_rows = {name: exemplars[name].values[tuple(rows.T)] for name in ("image_id", "y", "x")}
        pixels = images.read(torch.tensor([index[i] for i in of_rows["image_id"]]))
        places = list(zip(of_rows["y"].tolist(), of_rows["x"].tolist(), strict=True))
        units = exemplars["unit"].values[rows[:, 0]].tolist()
        attributed = attribute(model, images.scaled(pixels.to(device)), units, places)
        for i, (unit, rank) in enumerate(rows):
            place = window(fields, *places[i])
            found["patch"][unit, rank] = place.cut(pixels[i])
            found["inside"][unit, rank] = place.inside(*image_shape[1:])
            found["top"][unit, rank], found["left"][unit, rank] = place.top, place.left
            for name, values in attributed.items():
                found[name][unit, rank] = _unit(place.cut(values[i].cpu()))
    labelled = {
        "patch": (("unit", "rank", *PIXELS), found["patch"], {"long_name": "receptive field in the image"}),
        "inside": (("unit", "rank", *PIXELS[:2]), found["inside"], {"long_name": "1: the pixel lies in the image"}),
        "top": (("unit", "rank"), found["top"], {"long_name": "first row of the patch in the image"}),
        "left": (("unit", "rank"), found["left"], {"long_name": "first column of the patch in the image"}),
        **{name: (("unit", "rank", *PIXELS), found[name], {"long_name": MEANINGS[name]}) for name in METHODS},
    }
    if steps:
        labelled["preferred"] = _preferred(network, layer, fields, images, exemplars["unit"].values, steps)
    return exemplars.assign(labelled).assign_attrs(image_height=image_shape[1], image_width=image_shape[2])


def _empty(shape: tuple[int, int], size: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Patches of ranks without an image."""
    arrays: dict[str, Any] = {
        "patch": np.zeros((*shape, *size), dtype=np.uint8),
        "inside": np.zeros((*shape, *size[:2]), dtype=np.int8),
        "top": np.zeros(shape, dtype=np.int64),
        "left": np.zeros(shape, dtype=np.int64),
    }
    return arrays | {name: np.zeros((*shape, *size), dtype=np.float16) for name in METHODS}


def _unit(values: np.ndarray) -> np.ndarray:
    """Scaled to a largest magnitude of 1: gradients of deep layers are beyond float16."""
    largest = np.abs(values).max()
    return values / largest if largest > 0 else values


def _preferred(
    network: nn.Module, layer: str, fields: Fields, images: Images, units: np.ndarray, steps: int
) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """The patch of the middle position in the image that each unit prefers there."""
    y, x = (length // 2 for length in fields.begin.shape[1:])
    place = window(fields, y, x)
    model = until(network, layer, before_relu=True)
    parts = []
    for some in np.split(units, range(BATCH, len(units), BATCH)) if len(units) else ():
        generator = torch.Generator().manual_seed(0)
        made = preferred(model, images.scaled, images.shape, some.tolist(), (y, x), fields.size, steps, generator)
        parts += [place.cut(image) for image in made]
    values = np.array(parts, dtype=np.uint8).reshape(len(units), place.height, place.width, images.shape[0])
    return ("unit", *PIXELS), values, {"long_name": "image that the unit prefers, by gradient ascent"}
