"""Correlation of the units of one pair: within each network, between them as recorded, and matched beside a null."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import order, style
from convergent.measures.assignment import one_to_one_match, with_partner

# Each row: what it shows, and whose units are its rows and its columns.
ROWS = {
    "within A": ("A", "A"),
    "within B": ("B", "B"),
    "between": ("A", "B"),
    "between, matched": ("A", "B"),
    "B's images permuted,\nmatched anew": ("A", "B"),
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 1: the first pair; in the last two rows matched units stand on the diagonal, best match first."""
    correlation, matching = stores["correlation"][0], stores["matching"][0]
    layers = list(correlation.layers)
    figure, axes = style.panels(layers, len(ROWS))
    for of_layer, layer in zip(axes.T, layers, strict=True):
        measured = correlation.layers[layer]
        r_a, r_b, r = (measured[name].values for name in ("r_a", "r_b", "r"))
        matched = r[np.ix_(*order.matched(matching.layers[layer]))]
        for axis, values in zip(of_layer, (r_a, r_b, r, matched, _null(measured["r_permuted"].values)), strict=True):
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


def _null(r: np.ndarray) -> np.ndarray:
    """Matched by its own best assignment: that picks what is high by chance too."""
    partner = one_to_one_match(r)
    matched: np.ndarray = r[np.ix_(*order.best_first(with_partner(r, partner), partner, r.shape[1]))]
    return matched
