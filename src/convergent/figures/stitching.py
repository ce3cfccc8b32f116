"""Accuracy of stitched networks against the number of weights of a unit, beside what the receiver does by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from convergent import tables
from convergent.figures import style
from convergent.store import Store

SINGLE = {
    "one_to_one": ("one to one", "o"),
    "identity": ("same unit", "X"),
    "least_squares": ("all units, least squares", "s"),
}
PATH, UNTRAINED = "LASSO", "untrained sender, "
FEWEST = 0.1  # weights a unit; of fewer the accuracy is that of the means


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over pairs and both directions, error bars: standard error over seeds."""
    opened = stores["stitching"]
    layers = list(opened[0].layers)
    figure, axes = style.panels(layers, sharey=True, height=2.9)
    for axis, layer in zip(axes[0], layers, strict=True):
        if opened[0].layers[layer].attrs["bypassed"]:
            axis.set_title(f"{layer}\nbypassed by a skip connection")
        if not any(store.layers[layer]["accuracy_untrained"].isnull().all() for store in opened):
            _maps(axis, opened, layer, "_untrained", style.UNTRAINED, UNTRAINED)
        _maps(axis, opened, layer, "", style.TRAINED, "")
        for value, dashes, name in (
            (_summary(opened, layer, "summary", {"statistic": "accuracy_intact"}), "--", "receiver by itself"),
            (_null(opened, layer, "mean_activation"), "-.", "units at their mean"),
            (_null(opened, layer, "most_frequent_class"), ":", "most frequent class"),
        ):
            axis.axhline(value, color="black", linewidth=0.7, linestyle=dashes, label=name, zorder=0)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(ylim=(0, 1.02), xlabel="weights of a unit")
    axes[0][0].set_ylabel(f"accuracy, stitched at {style.stage(opened[0])}")
    _legend(figure, axes[0][0])
    return figure


def _legend(figure: Figure, axis: Axes) -> None:
    """A column for each sender, and one for what is drawn across."""
    found = {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    of_maps = [
        f"{sender}{name}" for sender in ("", UNTRAINED) for name in (PATH, *(name for name, _ in SINGLE.values()))
    ]
    labels = [*(label for label in of_maps if label in found), *(label for label in found if label not in of_maps)]
    handles = [found[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7)


def _maps(axis: Axes, opened: Sequence[Store], layer: str, suffix: str, colour: str, prefix: str) -> None:
    """The path of the LASSO as a line, the other maps as markers."""
    names = opened[0].layers[layer]["map"].values
    found = [_over_seeds(opened, layer, f"accuracy{suffix}", str(name)) for name in names]
    weights = [_over_seeds(opened, layer, f"n_weights{suffix}", str(name))[0] for name in names]
    accuracy, error = np.array(found).T
    look: dict[str, Any] = {"color": colour, "linewidth": 0.9, "markersize": 4, "elinewidth": 0.8}
    path = np.flatnonzero(~np.isnan(opened[0].layers[layer]["alpha"].values) & (np.array(weights) >= FEWEST))
    axis.errorbar(np.array(weights)[path], accuracy[path], error[path], marker=".", label=f"{prefix}{PATH}", **look)
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
