"""Local or distributed: how many units of the other network say most of what all of them say about a unit."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from convergent import tables
from convergent.figures import style
from convergent.store import Store

TYPES = {
    "share_one": ("one unit", "#12466f"),
    "share_two_to_five": ("2–5 units", "#4f95c8"),
    "share_more": ("more", "#bcd7ea"),
    "share_unpredictable": ("none can predict it", "#dddddd"),
}
HEIGHT = 0.36  # of a bar; a layer takes 1


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over pairs and directions; error bars, at the end of each share: standard error over seeds."""
    trained, null = stores["sparse_prediction"], untrained.get("sparse_prediction", [])
    layers = list(trained[0].layers)
    figure = Figure(figsize=(5.5, 1.1 + 0.42 * len(layers)), layout="constrained", dpi=150)
    axis = figure.subplots()
    for opened, offset, hatch in ((trained, -HEIGHT / 2, ""), (null, HEIGHT / 2, "////")):
        if opened:
            for row, layer in enumerate(layers):
                _bar(axis, opened, layer, row + offset, hatch)
    axis.set_yticks(np.arange(len(layers)), layers)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of live units, by how many predictors reach 90 % of the best held-out R²")
    handles = [Patch(color=colour, label=name) for name, colour in TYPES.values()]
    handles += [Patch(facecolor="#888888", label=style.stage(trained[0]))]
    handles += [Patch(facecolor="#888888", edgecolor="white", hatch="////", label="untrained")] if null else []
    figure.legend(handles=handles, loc="outside right center", fontsize=7)
    return figure


def _bar(axis: Axes, opened: Sequence[Store], layer: str, y: float, hatch: str) -> None:
    ends, errors = np.array([_cumulative(opened, layer, types) for types in range(1, len(TYPES) + 1)]).T
    starts = np.insert(ends[:-1], 0, 0)
    colours = [colour for _, colour in TYPES.values()]
    axis.barh(y, ends - starts, HEIGHT, starts, color=colours, hatch=hatch, edgecolor="white", linewidth=0.5)
    drawn = errors > 0  # not where the seeds agree, nor where they are too few
    drawn[-1] = False  # the end of the last share is 1
    axis.errorbar(
        ends[drawn],
        np.full(drawn.sum(), y),
        xerr=errors[drawn],
        fmt="none",
        ecolor="black",
        elinewidth=0.8,
        capsize=1.5,
    )


def _cumulative(opened: Sequence[Store], layer: str, types: int) -> tuple[float, float]:
    """The first types of code together: mean over pairs and directions, and standard error over seeds."""
    pairs = style.pairs(opened)
    names = [f"{name}_{direction}" for name in list(TYPES)[:types] for direction in ("ab", "ba")]
    values = [float(store.layers[layer]["summary"].sel(statistic=names).sum(skipna=False)) / 2 for store in opened]
    return tables.over_seeds(pairs, np.array(values))
