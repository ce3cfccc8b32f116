"""What the figures by depth share: a statistic of every layer, mean over pairs, beside what it is under a null."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from convergent import tables
from convergent.figures import style
from convergent.store import Store

# Stores, kind of null (None: the statistic itself), and how the line looks.
Line = tuple[Sequence[Store], str | None, dict[str, Any]]


def lines(trained: Sequence[Store], untrained: Sequence[Store]) -> list[Line]:
    """The lines of every such figure: trained, the same untrained, and B's images permuted."""
    return [
        (trained, None, {"color": style.TRAINED, "marker": "o", "label": style.stage(trained[0])}),
        (untrained, None, {"color": style.UNTRAINED, "marker": "s", "label": "untrained"}),
        (trained, "permuted", {"color": style.PERMUTED, "marker": "v", "label": "B's images permuted"}),
    ]


def draw(
    axis: Axes,
    line: Line,
    statistic: str,
    *,
    transform: Callable[[np.ndarray], np.ndarray] = np.asarray,
    offset: float = 0,
    look: Mapping[str, Any] | None = None,
) -> None:
    """A line with the layers as places; error bars: standard error over seeds. Nothing for no stores."""
    opened, null_kind, its_look = line
    if not opened:
        return
    pairs = style.pairs(opened)
    name = "summary" if null_kind is None else "summary_null"
    chosen = {"statistic": statistic} | ({} if null_kind is None else {"null_kind": null_kind})
    by_layer = [
        tables.over_seeds(
            pairs, transform(np.array([float(store.layers[layer][name].sel(chosen)) for store in opened]))
        )
        for layer in opened[0].layers
    ]
    values, errors = np.array(by_layer).T
    look = {"linewidth": 0.9, "markersize": 4} | its_look | dict(look or {})
    axis.errorbar(np.arange(len(values)) + offset, values, errors, **look)


def name_layers(axis: Axes, layers: Sequence[str]) -> None:
    """The layers below the places of `draw`."""
    axis.set_xticks(np.arange(len(layers)), layers, rotation=30, ha="right")
