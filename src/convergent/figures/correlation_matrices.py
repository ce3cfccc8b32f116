"""Correlation of the units of one pair: within each network, and between them as recorded and with units matched."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import order, style

# Each row: what it shows, and whose units are its rows and its columns.
ROWS = {
    "within A": ("A", "A"),
    "within B": ("B", "B"),
    "between": ("A", "B"),
    "between, matched": ("A", "B"),
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 1: the first pair; in the last row matched units stand on the diagonal, best match first."""
    correlation, matching = stores["correlation"][0], stores["matching"][0]
    layers = list(correlation.layers)
    figure, axes = style.panels(layers, len(ROWS))
    for of_layer, layer in zip(axes.T, layers, strict=True):
        measured = correlation.layers[layer]
        r = measured["r"].values
        matched = r[np.ix_(*order.matched(matching.layers[layer]))]
        for axis, values in zip(of_layer, (measured["r_a"].values, measured["r_b"].values, r, matched), strict=True):
            image = style.matrix(axis, values)
    for of_row, (name, (rows, columns)) in zip(axes, ROWS.items(), strict=True):
        of_row[0].set_ylabel(f"{name}\nunits of {rows}")
        for axis in of_row:
            axis.set_xlabel(f"units of {columns}")
    figure.colorbar(image, ax=axes, shrink=0.4, label="r")
    figure.suptitle(
        f"A = {correlation.attributes['snapshot_a']}, B = {correlation.attributes['snapshot_b']}", fontsize=8
    )
    return figure
