"""Mutual information beside correlation: all units of one pair, and by depth whether the two match units alike."""

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent.figures import by_depth, style

POINTS = 20_000  # at most so many pairs of units are drawn
BY_DEPTH = {
    "mean_corrected_semi_a": "mean information with the\nbest partner, corrected (nats)",
    "share_same_semi_a": "share of units with the same\nbest partner by r",
    "rank_correlation_absolute": "rank correlation\nwith |r|, all pairs",
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Above, the first pair: information against r; below, means over pairs, error bars: standard error over seeds."""
    trained = stores["mutual_information"]
    layers = list(trained[0].layers)
    figure = Figure(figsize=(max(1.75 * len(layers), 6.5), 4.9), layout="constrained", dpi=150)
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.1, 1])
    above, below = parts
    axes = above.subplots(1, len(layers), sharex=True, squeeze=False)[0]
    for axis, layer in zip(axes, layers, strict=True):
        _pairs(axis, trained[0].layers[layer], stores["correlation"][0].layers[layer])
        axis.set_title(layer)
        axis.set_xlabel("r")
    axes[0].set_ylabel("mutual information (nats)")
    above.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7, markerscale=1.6)
    above.suptitle(f"A = {trained[0].attributes['snapshot_a']}, B = {trained[0].attributes['snapshot_b']}", fontsize=8)
    for axis, (statistic, name) in zip(below.subplots(1, len(BY_DEPTH)), BY_DEPTH.items(), strict=True):
        for line in by_depth.lines(trained, untrained.get("mutual_information", [])):
            by_depth.draw(axis, line, statistic)
        by_depth.name_layers(axis, layers)
        axis.set_ylabel(name, fontsize=7)
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    below.legend(*below.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7)
    return figure


def _pairs(axis: Axes, measured: xr.Dataset, correlation: xr.Dataset) -> None:
    """Every pair of live units; ringed, the best partners by information, filled where they are those by r too."""
    r, information = correlation["r"].values, measured["information"].values
    for suffix, colour, label in (
        ("", style.TRAINED, "pair of units"),
        ("_permuted", style.PERMUTED, "B's images permuted"),
    ):
        x, y = correlation[f"r{suffix}"].values.ravel(), measured[f"information{suffix}"].values.ravel()
        step = math.ceil(x.size / POINTS)
        axis.plot(x[::step], y[::step], ".", color=colour, ms=2.5, mew=0, alpha=0.5, rasterized=True, label=label)
    position = {label: column for column, label in enumerate(measured["unit_b"].values)}
    partners = measured["partner_semi_a"].values
    rows = np.flatnonzero(partners >= 0)
    columns = np.array([position[partner] for partner in partners[rows]], dtype=int)
    same = np.nan_to_num(r[rows], nan=-2.0).argmax(axis=1) == columns
    for kept, face, label in (
        (same, style.SECOND, "best partner by information and by r"),
        (~same, "none", "by information alone"),
    ):
        x, y = r[rows[kept], columns[kept]], information[rows[kept], columns[kept]]
        axis.plot(x, y, "o", ms=3, mew=0.7, mec=style.SECOND, mfc=face, label=label)
    top = axis.get_ylim()[1]
    line = np.linspace(-1, 1, 401)[1:-1]
    axis.plot(line, -0.5 * np.log1p(-(line**2)), color="black", lw=0.5, label="two Gaussians of that r")
    axis.set_ylim(0, top)
    axis.set_xlim(-1, 1)
