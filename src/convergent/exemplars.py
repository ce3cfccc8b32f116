"""The images that excite each unit most, and where in them: the out-of-core pass for what is looked at.

Of every image the largest activation of a unit counts, at the first position that has it; a state holds the largest
few of these, and states of disjoint images add. Source: Zeiler and Fergus 2014 (arXiv 1311.2901), the top-9 patches
of Li et al. 2016 (arXiv 1511.07543).
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from dask.delayed import delayed

from convergent import blocks
from convergent.errors import at_least


@dataclass(frozen=True)
class State:
    """The largest activations of some images, [rank, unit]: with their image and position; and the least, [unit]."""

    value: np.ndarray
    image: np.ndarray
    position: np.ndarray
    minimum: np.ndarray


def block(values: np.ndarray, first: int, count: int) -> State:
    """The largest of one block [image, ..., unit], whose first image has the number `first`."""
    values = values.reshape(len(values), -1, values.shape[-1])
    largest = values.max(axis=1)
    image = np.argsort(-largest, axis=0, kind="stable")[:count]
    units = np.arange(values.shape[-1])
    position = values[image, :, units].argmax(axis=-1)
    value = largest[image, units].astype(np.promote_types(values.dtype, np.float32))
    return State(value, first + image, position, values.min(axis=(0, 1)))


def merge(p: State, q: State, count: int) -> State:
    """The largest of two disjoint sets of images together; of equal ones, those of the earlier images."""
    value, image = np.concatenate([p.value, q.value]), np.concatenate([p.image, q.image])
    order = np.lexsort((image, -value), axis=0)[:count]
    value, image, position = (
        np.take_along_axis(of_both, order, axis=0)
        for of_both in (value, image, np.concatenate([p.position, q.position]))
    )
    return State(value, image, position, np.minimum(p.minimum, q.minimum))


def of_units(activation: xr.DataArray, *, images: int = 9) -> xr.Dataset:
    """The images in which each unit is most active, one position of each.

    Parameters
    ----------
    activation : ``[image, ..., unit]`` as a Dask array, chunked along ``image`` alone, with the coordinates
        ``image_id`` and ``label``, and ``y[position]`` and ``x[position]`` where positions were sampled
    images : how many, at most

    Returns
    -------
    ``activation[unit, rank]`` falling, ``image_id[unit, rank]``, ``label[unit, rank]``, ``y[unit, rank]`` and
    ``x[unit, rank]``, 0 in layers without positions. An image in which a unit is nowhere above its smallest activation
    on the probe excites it not at all: NaN, '', and −1; so are all ranks of a dead unit
    """
    at_least(1, images=images)
    states = [
        delayed(block)(values, first, images)
        for values, first in zip(blocks.of(activation), blocks.edges(activation)[:-1], strict=True)
    ]
    state: State = blocks.add(states, partial(merge, count=images)).compute()
    value, image, position = state.value.T, state.image.T, state.position.T
    excited = value > state.minimum[:, None]
    y, x = _places(activation, position)
    ids, labels = activation["image_id"].values[image], activation["label"].values[image]
    found = {
        "activation": (np.where(excited, value, np.nan), "largest activation in the image"),
        "image_id": (np.where(excited, ids, ""), "image"),
        "label": (np.where(excited, labels, -1), "class"),
        "y": (np.where(excited, y, -1), "row of the position in the layer"),
        "x": (np.where(excited, x, -1), "column of the position in the layer"),
    }
    return xr.Dataset(
        {name: (("unit", "rank"), values, {"long_name": meaning}) for name, (values, meaning) in found.items()},
        {"unit": activation["unit"].values, "rank": np.arange(1, value.shape[1] + 1)},
    )


def _places(activation: xr.DataArray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of positions by their number."""
    if "position" in activation.dims:
        return activation["y"].values[position], activation["x"].values[position]
    y, x = np.divmod(position, activation.sizes.get("x", 1))
    return y, x
