"""What the figures share: size, colours and one panel a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent.store import Store

# Open stores by measure, in order of pairs.
Stores = Mapping[str, Sequence[Store]]

A, B = "#1b6ca8", "#d1495b"
TRAINED, UNTRAINED, SECOND = "#1b6ca8", "#8d99ae", "#d1495b"
PERMUTED, ROTATED = "#9a6fb0", "#e09f3e"
DIVERGING, DEAD = "RdBu_r", "#c9ccd1"

mpl.rcParams.update(
    {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "svg.hashsalt": "convergent",  # the same figure gives the same bytes
        "svg.fonttype": "none",
    }
)


def panels(layers: Sequence[str], rows: int = 1, *, height: float = 2.1, **options: Any) -> tuple[Figure, Any]:
    """A figure with a column for each layer: the figure and axes[row][column]."""
    figure = Figure(figsize=(max(2.0 * len(layers), 3.5), height * rows), layout="constrained", dpi=150)
    axes = figure.subplots(rows, len(layers), squeeze=False, **options)
    for axis, layer in zip(axes[0], layers, strict=True):
        axis.set_title(layer)
    return figure, axes


def stage(store: Store) -> str:
    """The stage of the snapshots of a store, or both where they differ, for a legend."""
    snapshots = [
        store.attributes[name] for name in ("snapshot", "snapshot_a", "snapshot_b") if name in store.attributes
    ]
    return " – ".join(dict.fromkeys(str(snapshot).rpartition("-")[2] for snapshot in snapshots))


def matrix(axis: Axes, values: Any) -> Any:
    """A correlation matrix, rows from top to bottom, range −1 to 1; dead units are grey."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_facecolor(DEAD)
    # More units than pixels are averaged, as colours: by the nearest alone a diagonal would be broken, and a mean of
    # values would lose all that neighbours a dead unit.
    return axis.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, interpolation_stage="rgba", aspect="auto")


def pairs(stores: Sequence[Store]) -> list[str]:
    """The pairs of stores, ``{a}--{b}``."""
    return [f"{store.attributes['snapshot_a']}--{store.attributes['snapshot_b']}" for store in stores]
