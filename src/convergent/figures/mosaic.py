"""What the figures of units share: the patches of a unit as one tile, and tiles one below another."""

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from convergent.figures import style

SIDE = 40  # pixels of a patch in a tile, at least
LINE = 4  # pixels between patches
MOST = 216  # pixels of a side of a tile, two for each that is drawn
TILE = 0.72  # inches
GAP = 0.08  # between the tiles of a unit, in tiles
KINDS = {
    "patch": "patches",
    "deconvolution": "deconvolution",
    "guided_backpropagation": "guided\nback-propagation",
    "preferred": "preferred",
}
ATTRIBUTIONS = ("deconvolution", "guided_backpropagation")


def kinds(patches: xr.Dataset) -> list[str]:
    """What there is to draw of a unit."""
    return [kind for kind in KINDS if f"{kind}_a" in patches]


def tiles(patches: xr.Dataset, side: str, unit: int) -> dict[str, np.ndarray]:
    """All that is drawn of a unit of one side, uint8[y, x, 3], by `kinds`."""
    chosen = patches.sel({f"unit_{side}": unit})
    inside = chosen[f"inside_{side}"].values.astype(bool)
    found = {"patch": _tile(chosen[f"patch_{side}"].values, inside)}
    for kind in ATTRIBUTIONS:
        values = chosen[f"{kind}_{side}"].values.astype(np.float32)
        found[kind] = _tile((127.5 + 127.5 * values).clip(0, 255).round().astype(np.uint8), inside)
    if f"preferred_{side}" in chosen:
        values = chosen[f"preferred_{side}"].values[None]
        found["preferred"] = _tile(values, np.ones(values.shape[:3], dtype=bool))
    return found


def draw(axis: Axes, found: Mapping[str, np.ndarray], left: float, top: float) -> None:
    """Tiles one below another, in an axis whose unit is a tile."""
    for i, tile in enumerate(found.values()):
        y = top + i * (1 + GAP)
        axis.imshow(tile, extent=(left, left + 1, y + 1, y), interpolation="antialiased")


def length(count: int, gap: float = GAP) -> float:
    """Of so many tiles in a row."""
    return count + max(count - 1, 0) * gap


def canvas(axis: Axes, width: float, height: float) -> None:
    """An empty axis of so many tiles, y from top to bottom."""
    # Anchored where its labels are, for which the layout leaves room.
    axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal", anchor="W")
    for spine in axis.spines.values():
        spine.set_visible(False)


def _tile(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Patches [rank, y, x, channel] in a square, white between them, grey beyond their image; white without one."""
    if values.shape[-1] != 3:
        values = values.mean(axis=-1, keepdims=True).round().astype(np.uint8)
    there = np.asarray(inside.any(axis=(1, 2)))
    grey = np.multiply(to_rgb(style.DEAD), 255).round()
    beyond = np.where(there[:, None, None, None], grey, 255).astype(np.uint8)
    shown = np.where(inside[..., None], values, beyond)
    larger = math.ceil(SIDE / max(shown.shape[1:3]))
    shown = shown.repeat(larger, axis=1).repeat(larger, axis=2)
    side, step = math.ceil(math.sqrt(len(shown))), max(shown.shape[1:3]) + LINE
    tile = np.full((side * step - LINE, side * step - LINE, 3), 255, dtype=np.uint8)
    for i, one in enumerate(shown):
        y, x = (step * index for index in divmod(i, side))
        tile[y : y + one.shape[0], x : x + one.shape[1]] = one
    return _shrunk(tile)


def _shrunk(tile: np.ndarray) -> np.ndarray:
    """Means of squares of pixels, at most `MOST` a side: a figure holds all its tiles until it is saved."""
    square = math.ceil(len(tile) / MOST)
    side = len(tile) // square
    squares = tile[: side * square, : side * square].reshape(side, square, side, square, 3)
    means: np.ndarray = squares.mean(axis=(1, 3))
    return means.round().astype(np.uint8)
