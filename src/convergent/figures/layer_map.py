"""What the maps of layers share: a square of layers of A by layers of B, mean over pairs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from convergent.figures import style
from convergent.store import Store

NUMBERED = 12  # layers, at most, whose values are written into the map
DARK = 0.6  # values above it are written in white


def size(store: Store) -> tuple[float, float]:
    """Width and height of a map, in inches."""
    columns, rows = (store.layers["/"].sizes[f"layer_{side}"] for side in "ba")
    each = 0.38 if max(columns, rows) <= NUMBERED else 0.17
    return 0.9 + each * max(columns, 4), 0.9 + each * max(rows, 4)


def draw(axis: Axes, opened: Sequence[Store], variable: str) -> AxesImage:
    """A variable up to 1, layers of A from top to bottom, below 0 as 0; framed: the largest of each row; grey: not
    defined."""
    first = opened[0].layers["/"]
    mean = np.mean([store.layers["/"][variable].values for store in opened], axis=0)
    axis.set_facecolor(style.DEAD)
    image = axis.imshow(mean, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axis.set_xticks(range(mean.shape[1]), first["layer_b"].values, rotation=90, fontsize=7)
    axis.set_yticks(range(mean.shape[0]), first["layer_a"].values, fontsize=7)
    axis.set_xlabel("layer of B")
    for row, values in enumerate(mean):
        if np.isnan(values).all():
            continue
        nearest = np.where(np.isnan(values), -np.inf, values).argmax()
        axis.add_patch(Rectangle((nearest - 0.42, row - 0.42), 0.84, 0.84, fill=False, edgecolor=style.SECOND))
        for column, value in enumerate(values if max(mean.shape) <= NUMBERED else ()):
            colour = "white" if value > DARK else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
    return image
