"""Debiased CKA of every layer of A with every layer of B, trained beside untrained."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from convergent.figures import style
from convergent.store import Store

NUMBERED = 12  # layers, at most, whose values are written into the map
DARK = 0.6  # values above it are written in white


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs; a square marks the most similar layer of B for each layer of A; grey: not defined."""
    trained, null = stores["cross_layer"], untrained.get("cross_layer", [])
    maps = [(trained, style.stage(trained[0]))] + ([(null, "untrained")] if null else [])
    size = trained[0].layers["/"].sizes
    widest = max(size["layer_a"], size["layer_b"], 4)
    side = 0.9 + widest * (0.34 if widest <= NUMBERED else 0.17)
    figure = Figure(figsize=(side * len(maps) + 0.9, side + 0.4), layout="constrained", dpi=150)
    axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for axis, (opened, title) in zip(axes, maps, strict=True):
        image = _map(axis, opened)
        axis.set_title(title)
    axes[0].set_ylabel("layer of A")
    figure.colorbar(image, ax=list(axes), shrink=0.8, label="debiased CKA of spatial means")
    return figure


def _map(axis: Axes, opened: Sequence[Store]) -> AxesImage:
    """The mean over pairs as a map, layers of A from top to bottom."""
    first = opened[0].layers["/"]
    mean = np.mean([store.layers["/"]["cka_debiased"].values for store in opened], axis=0)
    axis.set_facecolor(style.DEAD)
    image = axis.imshow(mean, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axis.set_xticks(range(mean.shape[1]), first["layer_b"].values, rotation=90, fontsize=6)
    axis.set_yticks(range(mean.shape[0]), first["layer_a"].values, fontsize=6)
    axis.set_xlabel("layer of B")
    for row, values in enumerate(mean):
        if np.isnan(values).all():
            continue
        nearest = np.where(np.isnan(values), -np.inf, values).argmax()
        axis.add_patch(Rectangle((nearest - 0.42, row - 0.42), 0.84, 0.84, fill=False, edgecolor=style.SECOND))
        for column, value in enumerate(values if max(mean.shape) <= NUMBERED else ()):
            colour = "white" if value > DARK else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=5.5, color=colour)
    return image
