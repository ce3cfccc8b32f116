"""Correlation of the units of one pair, as recorded and with B's units in the order of their one-to-one partners."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from convergent.figures import style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 1: the first pair; below, matched units stand on the diagonal, best match first."""
    correlation, matching = stores["correlation"][0], stores["matching"][0]
    layers = list(correlation.layers)
    figure, axes = style.panels(layers, 2)
    for column, layer in enumerate(layers):
        r = correlation.layers[layer]["r"].values
        image = style.matrix(axes[0][column], r)
        rows, columns = matched_order(matching.layers[layer])
        style.matrix(axes[1][column], r[np.ix_(rows, columns)])
        axes[1][column].set_xlabel("units of B")
    axes[0][0].set_ylabel("as recorded\nunits of A")
    axes[1][0].set_ylabel("matched\nunits of A")
    figure.colorbar(image, ax=axes, shrink=0.6, label="r")
    figure.suptitle(
        f"A = {correlation.attributes['snapshot_a']}, B = {correlation.attributes['snapshot_b']}", fontsize=8
    )
    return figure


def matched_order(matching: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Positions of matched units of A, best first, then the rest; and of B in the order of their partners."""
    r = matching["r_one_to_one_a"].values
    rows = np.argsort(-np.nan_to_num(r, nan=-2.0), kind="stable")
    position = {label: i for i, label in enumerate(matching["unit_b"].values)}
    partners = [position[p] for p in matching["partner_one_to_one_a"].values[rows] if p in position]
    rest = [i for i in range(matching.sizes["unit_b"]) if i not in set(partners)]
    return rows, np.array(partners + rest)
