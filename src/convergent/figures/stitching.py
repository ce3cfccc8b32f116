"""Accuracy of stitched networks against the number of weights of a unit, beside what the receiver does by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from convergent import tables
from convergent.figures import style
from convergent.store import Store

SINGLE = {
    "identity": ("same unit", "X"),
    "one_to_one": ("one to one", "o"),
    "least_squares": ("all units, least squares", "s"),
}
FEWEST = 0.1  # weights a unit; of fewer the accuracy is that of the means


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over pairs and both directions, error bars: standard error over seeds."""
    opened = stores["stitching"]
    layers = list(opened[0].layers)
    figure, axes = style.panels(layers, sharey=True, height=2.9)
    for axis, layer in zip(axes[0], layers, strict=True):
        if all("accuracy_untrained" in store.layers[layer] for store in opened):
            _maps(axis, opened, layer, "_untrained", style.UNTRAINED, "untrained sender, ")
        _maps(axis, opened, layer, "", style.TRAINED, "")
        for value, dashes, name in (
            (_summary(opened, layer, "summary", {"statistic": "accuracy_intact"}), "--", "receiver by itself"),
            (_null(opened, layer, "mean_activation"), "-.", "units at their mean"),
            (_null(opened, layer, "most_frequent_class"), ":", "most frequent class"),
        ):
            axis.axhline(value, color="black", linewidth=0.7, linestyle=dashes, label=name, zorder=0)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(LogFormatter())
        axis.set(ylim=(0, 1.02), xlabel="weights of a unit")
    axes[0][0].set_ylabel(f"accuracy, stitched at {style.stage(opened[0])}")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def _maps(axis: Axes, opened: Sequence[Store], layer: str, suffix: str, colour: str, prefix: str) -> None:
    """The path of the LASSO as a line, the other maps as markers."""
    names = opened[0].layers[layer]["map"].values
    found = [_over_seeds(opened, layer, f"accuracy{suffix}", str(name)) for name in names]
    weights = [_over_seeds(opened, layer, f"n_weights{suffix}", str(name))[0] for name in names]
    accuracy, error = np.array(found).T
    look: dict[str, Any] = {"color": colour, "linewidth": 0.9, "markersize": 4, "elinewidth": 0.8}
    path = np.flatnonzero(~np.isnan(opened[0].layers[layer]["alpha"].values) & (np.array(weights) >= FEWEST))
    axis.errorbar(np.array(weights)[path], accuracy[path], error[path], marker=".", label=f"{prefix}LASSO", **look)
    for name, (label, marker) in SINGLE.items():
        i = int(np.flatnonzero(names == name)[0])
        look_of = look | {"linestyle": "none", "marker": marker, "markerfacecolor": "white"}
        axis.errorbar(weights[i], accuracy[i], error[i], label=f"{prefix}{label}", **look_of)


def _over_seeds(opened: Sequence[Store], layer: str, variable: str, name: str) -> tuple[float, float]:
    values = np.array([float(store.layers[layer][variable].sel(map=name).mean()) for store in opened])
    return tables.over_seeds(style.pairs(opened), values)


def _summary(opened: Sequence[Store], layer: str, variable: str, chosen: dict[str, str]) -> float:
    return float(np.mean([float(store.layers[layer][variable].sel(chosen)) for store in opened]))


def _null(opened: Sequence[Store], layer: str, kind: str) -> float:
    return _summary(opened, layer, "summary_null", {"null_kind": kind, "statistic": "accuracy_one_to_one"})
