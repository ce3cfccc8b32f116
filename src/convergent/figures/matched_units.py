"""What matched units of two networks look at: the best matches of each layer and the worst, side by side."""

from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent import shown
from convergent.figures import mosaic, style

BETWEEN, HEAD = 0.3, 0.3  # space between matches, and for what is written above, in tiles
OF_MATCH = mosaic.length(2)


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 2: the first pair; a unit of A beside its one-to-one partner in B."""
    matching, patches = stores["matching"][0], stores["patches"][0]
    layers = list(patches.layers)
    most = int(patches.attributes["units"])
    kinds = mosaic.kinds(patches.layers[layers[0]])
    width, height = most * (OF_MATCH + BETWEEN) - BETWEEN, HEAD + mosaic.length(len(kinds))
    figure = Figure(
        figsize=(2 * width * mosaic.TILE + 1.8, len(layers) * (height + 0.1) * mosaic.TILE + 0.9),
        layout="constrained",
        dpi=150,
    )
    axes = figure.subplots(len(layers), 2, squeeze=False, gridspec_kw={"wspace": 0.04})
    for row, layer in enumerate(layers):
        chosen = shown.matched(matching.layers[layer], most)
        for axis, best in zip(axes[row], (True, False), strict=True):
            mosaic.canvas(axis, width, height)
            _matches(axis, chosen.isel(match=chosen["best"].values == best), patches.layers[layer])
        middles = [HEAD + 0.5 + i * (1 + mosaic.GAP) for i in range(len(kinds))]
        axes[row][0].set_yticks(middles, [mosaic.KINDS[kind] for kind in kinds], fontsize=7)
        axes[row][0].tick_params(length=0)
        axes[row][0].set_ylabel(layer, fontsize=9)
    axes[0][0].set_title("best matches", fontsize=9)
    axes[0][1].set_title("worst matches", fontsize=9)
    a, b = (patches.attributes[f"snapshot_{side}"] for side in "ab")
    figure.suptitle(f"of each match left A = {a}, right B = {b}", fontsize=8)
    return figure


def _matches(axis: Axes, chosen: xr.Dataset, patches: xr.Dataset) -> None:
    for i in range(chosen.sizes["match"]):
        one, left = chosen.isel(match=i), i * (OF_MATCH + BETWEEN)
        right = left + OF_MATCH
        look: dict[str, Any] = {"y": HEAD - 0.06, "va": "bottom", "fontsize": 7}
        axis.text((left + right) / 2, s=f"r = {round(one['r'].item(), 2) + 0.0:.2f}", ha="center", **look)
        for side, begin, edge, ha in (("a", left, left, "left"), ("b", right - 1, right, "right")):
            unit = one[f"unit_{side}"].item()
            axis.text(edge, s=f"{side.upper()} {unit}", ha=ha, color=getattr(style, side.upper()), **look)
            mosaic.draw(axis, mosaic.tiles(patches, side, unit), begin, HEAD)
    if not chosen.sizes["match"]:
        axis.text(0.5, 0.5, "no match", transform=axis.transAxes, ha="center", color="grey")
