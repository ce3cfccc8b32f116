"""Correlation of every unit with its best partner, from high to low, and of the same units matched one to one."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent.figures import bands, style
from convergent.store import Store

KINDS = {"semi": "best partner", "one_to_one": "one to one"}
TRAINED = dict(zip(KINDS, (style.TRAINED, style.SECOND), strict=True))
UNTRAINED = dict(zip(KINDS, (style.DEAD, style.UNTRAINED), strict=True))
NULLS = {"rotated": (style.ROTATED, "B's axes rotated"), "permuted": (style.PERMUTED, "B's images permuted")}
WIDTHS = {"semi": 1.7, "one_to_one": 0.9}  # both show where they coincide


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 3: mean over pairs at each rank; bands: standard error over seeds; thin: the first pair alone."""
    trained = stores["matching"]
    layers = list(trained[0].layers)
    figure, axes = style.panels(layers, sharey=True, height=2.6)
    for axis, layer in zip(axes[0], layers, strict=True):
        axis.axhline(0, color="black", linewidth=0.4)
        for opened, colours, name in (
            (untrained.get("matching", []), UNTRAINED, "untrained"),
            (trained, TRAINED, style.stage(trained[0])),
        ):
            if opened:
                _curves(axis, opened, layer, colours, name)
        _nulls(axis, trained, layer)
        alone = by_rank(trained[0].layers[layer])[1]
        look = {"color": TRAINED["one_to_one"], "linewidth": 0.3, "label": "first pair, one to one"}
        axis.plot(np.arange(1, len(alone) + 1), alone, **look)
        axis.set_xlabel("unit of A, by its best r")
        axis.locator_params(axis="x", integer=True)
        if not alone.size:
            axis.set_xticks([])
            axis.text(0.5, 0.5, "no match", transform=axis.transAxes, ha="center", color="grey")
    axes[0][0].set_ylabel("r")
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(layers)), fontsize=7
    )
    return figure


def by_rank(matching: xr.Dataset) -> np.ndarray:
    """r with the best partner and one to one, [kind, rank], of the units of A that have both, best partner first."""
    r = np.stack([matching[f"r_{kind}_a"].values for kind in KINDS])
    r = r[:, ~np.isnan(r).any(axis=0)]
    return r[:, np.argsort(-r[0], kind="stable")]


def _curves(axis: Axes, opened: Sequence[Store], layer: str, colours: dict[str, str], name: str) -> None:
    """Over the ranks that every pair has."""
    curves = [by_rank(store.layers[layer]) for store in opened]
    ranks = min(curve.shape[1] for curve in curves)
    for i, (kind, meaning) in enumerate(KINDS.items()):
        of_pairs = np.array([curve[i, :ranks] for curve in curves])
        look = {"linewidth": WIDTHS[kind], "label": f"{name}, {meaning}"}
        bands.draw(axis, np.arange(1, ranks + 1), opened, of_pairs, colours[kind], **look)


def _nulls(axis: Axes, opened: Sequence[Store], layer: str) -> None:
    """Best partners of the units of A under a null, over the ranks that every pair has."""
    of_pairs = [store.layers[layer]["r_semi_ranked_null_a"] for store in opened]
    ranks = min(int(one.notnull().all("null_kind").sum()) for one in of_pairs)
    for kind, (colour, name) in NULLS.items():
        values = np.array([one.sel(null_kind=kind).values[:ranks] for one in of_pairs])
        look = {"linewidth": 1.0, "linestyle": "--", "label": f"{name}, best partner"}
        bands.draw(axis, np.arange(1, ranks + 1), opened, values, colour, **look)
