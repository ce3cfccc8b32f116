"""The sparse map between the units of one pair: its weights, and how many of them a unit needs, beside untrained."""

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent.figures import order, style

# Each direction: the network that is predicted, the one that it is predicted from, and how wide the line is, so that
# both show where they coincide.
DIRECTIONS = {"ab": ("B", "A", 1.7), "ba": ("A", "B", 0.9)}
STRONG = 0.5  # the weight at which colours end
WIDEST = 128  # blocks of units, at most, that a panel shows


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 5 (?): the first pair; one-to-one partners stand on the diagonal, best match first."""
    drawn = {"": stores} | ({"untrained, ": untrained} if untrained else {})
    sparse = stores["sparse_prediction"][0]
    layers = list(sparse.layers)
    figure, axes = style.panels(layers, len(drawn) + 1)
    for column, layer in enumerate(layers):
        *above, below = axes[:, column]
        for axis, opened in zip(above, drawn.values(), strict=True):
            columns, rows = order.matched(opened["matching"][0].layers[layer])
            measured = weights(opened["sparse_prediction"][0].layers[layer])
            image = style.matrix(axis, largest(measured[np.ix_(rows, columns)]))
            image.set_clim(-STRONG, STRONG)
            axis.set_xlabel("units of A")
        _predictors(below, {name: opened["sparse_prediction"][0].layers[layer] for name, opened in drawn.items()})
    for name, axis in zip(drawn, axes[:, 0], strict=False):
        axis.set_ylabel(f"{name}units of B,\nfrom those of A")
    axes[-1][0].set_ylabel("share of units with\nat most so many")
    figure.colorbar(image, ax=axes, shrink=0.4, anchor=(0, 0.9), extend="both", label="weight")
    figure.legend(*axes[-1][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    a, b = (sparse.attributes[f"snapshot_{side}"] for side in "ab")
    figure.suptitle(f"A = {a}, B = {b}", fontsize=8)
    return figure


def weights(sparse: xr.Dataset) -> np.ndarray:
    """The coefficients of units of B, [unit_b, unit_a]; NaN: dead units, for which no penalty was chosen."""
    live = [sparse[f"alpha_one_standard_error_{direction}"].notnull() for direction in DIRECTIONS]
    return sparse["coefficient_ab"].where(live[0] & live[1]).values


def largest(values: np.ndarray) -> np.ndarray:
    """Of a matrix too wide for a panel the largest by amount of each block of neighbours: their mean would vanish."""
    step = math.ceil(max(values.shape) / WIDEST)
    blocks = xr.DataArray(values, dims=("row", "column")).coarsen(row=step, column=step, boundary="pad")
    highest, lowest = blocks.max().values, blocks.min().values
    return np.where(highest > -lowest, highest, lowest)


def _predictors(axis: Axes, drawn: Mapping[str, xr.Dataset]) -> None:
    """The share of the live units that at most so many units of the other network predict; grey: untrained."""
    used = {(name, direction): _used(sparse, direction) for name, sparse in drawn.items() for direction in DIRECTIONS}
    at_most = np.arange(np.concatenate([*used.values(), [0]]).max() + 2)
    for (name, direction), predictors in used.items():
        target, predictor, width = DIRECTIONS[direction]
        if predictors.size:
            share = (predictors[:, None] <= at_most).mean(axis=0)
            colour = style.UNTRAINED if name else getattr(style, target)
            label = f"{name}units of {target} from those of {predictor}"
            axis.step(at_most, share, where="post", color=colour, linewidth=width, label=label)
    axis.set(xlim=(0, at_most[-1]), ylim=(-0.02, 1.02), xlabel="predictors")
    axis.locator_params(axis="x", integer=True)
    if not axis.lines:
        axis.text(0.5, 0.5, "no live unit", transform=axis.transAxes, ha="center", color="grey")


def _used(sparse: xr.Dataset, direction: str) -> np.ndarray:
    """Predictors of each live unit."""
    live = sparse[f"alpha_one_standard_error_{direction}"].notnull().values
    used: np.ndarray = np.count_nonzero(sparse[f"coefficient_{direction}"].values[live], axis=1)
    return used
