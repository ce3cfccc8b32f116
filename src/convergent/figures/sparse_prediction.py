"""LASSO loss and number of predictors along the penalty."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from convergent.figures import style
from convergent.store import Store

LEFT = 5.0  # how many times smaller than all penalties the place of 0 is
BREAK = LEFT**0.5


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over units, a line for each pair and direction; crosses: α = 0, least squares; dotted: no prediction."""
    trained, null = stores["sparse_prediction"], untrained.get("sparse_prediction", [])
    layers = list(trained[0].layers)
    figure, axes = style.panels(layers, 2, sharex="col")
    for upper, lower, layer in zip(*axes, layers, strict=True):
        # α = 0 has a place of its own, left of all that any pair has.
        zero = min(float(store.layers[layer]["alpha"][-2]) for store in (*trained, *null)) / LEFT
        for opened, colour, name in (
            (null, style.UNTRAINED, "untrained"),
            (trained, style.TRAINED, style.stage(trained[0])),
        ):
            _curves(upper, lower, opened, layer, zero, colour, name)
        permuted = [_permuted_loss(store, layer) for store in trained]
        upper.plot(
            np.full(len(permuted), zero), permuted, "v", color=style.PERMUTED, markersize=3, label="B's images permuted"
        )
        upper.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
        upper.set_ylim(0, max(0.6, upper.get_ylim()[1]))
        _penalties(lower, zero)
        for axis in (upper, lower):
            _break(axis, zero)
    axes[0][0].set_ylabel("held-out loss, ½·MSE")
    axes[1][0].set_ylabel("predictors used")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7)
    return figure


def _curves(upper: Axes, lower: Axes, opened: Any, layer: str, zero: float, colour: str, name: str) -> None:
    for i, store in enumerate(opened):
        measured = store.layers[layer]
        alpha = measured["alpha"].values[:-1]
        for direction in ("ab", "ba"):
            loss = (1 - _mean_over_units(measured[f"r2_{direction}"].values)) / 2
            used = _mean_over_units(measured[f"n_nonzero_{direction}"].values)
            label = name if i == 0 and direction == "ab" else None
            for axis, values in ((upper, loss), (lower, used)):
                axis.semilogx(alpha, values[:-1], color=colour, alpha=0.7, linewidth=0.8, label=label)
                axis.plot(zero, values[-1], "x", color=colour, alpha=0.7, markersize=4)


def _permuted_loss(store: Store, layer: str) -> float:
    """Of least squares, mean over both directions."""
    null = store.layers[layer]["summary_null"].sel(null_kind="permuted")
    return float(np.mean([(1 - null.sel(statistic=f"r2_least_squares_{d}")) / 2 for d in ("ab", "ba")]))


def _penalties(axis: Axes, zero: float) -> None:
    """A logarithmic axis with as many powers of ten as have room, and 0."""
    low, high = np.ceil(np.log10(zero)), np.floor(np.log10(axis.get_xlim()[1]))
    step = 1 if high - low < 5 else 2
    axis.xaxis.set_major_locator(FixedLocator([zero, *10.0 ** np.arange(high, low, -step)[::-1]]))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "0" if value == zero else f"$10^{{{np.log10(value):.0f}}}$")
    )
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("penalty α")


def _break(axis: Axes, zero: float) -> None:
    """A gap in the axis between 0 and the logarithms, which have none."""
    ends = zero * BREAK * np.array([0.8, 1.25])
    place: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "clip_on": False, "zorder": 3}
    axis.plot(ends, [0, 0], color="white", linewidth=2, solid_capstyle="butt", **place)
    axis.plot(ends, [0, 0], color="black", linestyle="none", marker=[(-1, -2), (1, 2)], markersize=6, **place)


def _mean_over_units(values: np.ndarray) -> np.ndarray:
    """Mean over live units, [alpha]; dead ones are NaN at every penalty."""
    live = ~np.isnan(values).any(axis=0)
    return values[:, live].mean(axis=1) if live.any() else np.full(len(values), np.nan)
