"""What the units of a cluster know of those of the other network in it: all together against the best one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convergent.figures import style
from convergent.store import Store

DIRECTIONS = ("a_from_b", "b_from_a")
AREA = 3.0  # of a point, in points², for each unit of the cluster
LOWEST = -0.1


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """A point for each cluster, direction and pair; above the diagonal more is shared than the basis; what lies below
    the lower limits is drawn on them."""
    rows = [(stores["clustering"], style.TRAINED, style.stage(stores["clustering"][0]))]
    if untrained.get("clustering"):
        rows.append((untrained["clustering"], style.UNTRAINED, "untrained"))
    layers = list(stores["clustering"][0].layers)
    figure, axes = style.panels(layers, len(rows), sharex=True, sharey=True)
    for row, (opened, colour, name) in zip(axes, rows, strict=True):
        for axis, layer in zip(row, layers, strict=True):
            _points(axis, opened, layer, colour)
        row[0].set_ylabel(f"{name}\nheld-out R², all units")
    for axis in axes[-1]:
        axis.set_xlabel("held-out R², best single unit")
    figure.legend(handles=_legend(rows), loc="outside lower center", ncols=6, fontsize=7)
    return figure


def _points(axis: Axes, opened: Sequence[Store], layer: str, colour: str) -> None:
    axis.axline((0, 0), slope=1, color="black", linewidth=0.5, zorder=0)
    series: tuple[tuple[str, dict[str, Any]], ...] = (
        ("_permuted_labels", {"color": style.PERMUTED, "zorder": 1}),
        ("", {"color": colour, "alpha": 0.6, "zorder": 2}),
    )
    for store in opened:
        clusters = store.layers[layer]
        area = AREA * (clusters["size_a"] + clusters["size_b"]).values
        for direction in DIRECTIONS:
            for suffix, options in series:
                best, every = (
                    np.clip(clusters[f"{kind}_{direction}{suffix}"].values, LOWEST, 1) for kind in ("best_r2", "r2")
                )
                axis.scatter(best, every, 4.0 if suffix else area, linewidths=0, **options)
    axis.set_xlim(LOWEST - 0.03, 1.03)
    axis.set_ylim(LOWEST - 0.03, 1.03)
    axis.set_box_aspect(1)


def _legend(rows: Sequence[tuple[Sequence[Store], str, str]]) -> list[Line2D]:
    """Colours of the rows and of the null, and the area of some sizes."""
    kinds = [(colour, name, 5.0) for _, colour, name in rows] + [(style.PERMUTED, "labels permuted", 2.0)]
    kinds += [("black", f"{units} units", np.sqrt(AREA * units)) for units in (2, 5, 10)]
    return [
        Line2D([], [], color=c, marker="o", markersize=m, markeredgewidth=0, linewidth=0, label=n) for c, n, m in kinds
    ]
