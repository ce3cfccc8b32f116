"""What matched units of two networks look at: the best matches of each layer and the worst, side by side."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent import shown
from convergent.figures import mosaic, style

BETWEEN, HEAD = 0.3, 0.3  # space between matches, and for what is written above, in tiles
HEIGHT = HEAD + mosaic.length(2, mosaic.GAP)  # of a layer


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] Fig. 2: the first pair; a unit of A above its one-to-one partner in B."""
    matching, patches = stores["matching"][0], stores["patches"][0]
    layers = list(patches.layers)
    most = int(patches.attributes["units"])
    kinds = mosaic.kinds(patches.layers[layers[0]])
    of_match = mosaic.length(len(kinds))
    width = most * (of_match + BETWEEN) - BETWEEN
    figure = Figure(
        figsize=(2 * width * mosaic.TILE + 1.1, len(layers) * (HEIGHT + 0.1) * mosaic.TILE + 0.9),
        layout="constrained",
        dpi=150,
    )
    axes = figure.subplots(len(layers), 2, squeeze=False, gridspec_kw={"wspace": 0.04})
    for row, layer in enumerate(layers):
        chosen = shown.matched(matching.layers[layer], most)
        for axis, best in zip(axes[row], (True, False), strict=True):
            mosaic.canvas(axis, width, HEIGHT)
            _matches(axis, chosen.isel(match=chosen["best"].values == best), patches.layers[layer], of_match)
        axes[row][0].set_ylabel(layer, fontsize=9, labelpad=14)
        for i, side in enumerate("AB"):
            y = HEAD + 0.5 + i * (1 + mosaic.GAP)
            axes[row][0].text(-0.12, y, side, color=getattr(style, side), ha="right", va="center", weight="bold")
    axes[0][0].set_title("best matches", fontsize=9)
    axes[0][1].set_title("worst matches", fontsize=9)
    what = ", ".join(mosaic.KINDS[kind] for kind in kinds)
    a, b = (patches.attributes[f"snapshot_{side}"] for side in "ab")
    figure.suptitle(f"A = {a}, B = {b}; of each unit: {what}", fontsize=8)
    return figure


def _matches(axis: Axes, chosen: xr.Dataset, patches: xr.Dataset, of_match: float) -> None:
    for i in range(chosen.sizes["match"]):
        one = chosen.isel(match=i)
        left = i * (of_match + BETWEEN)
        units = [one[f"unit_{side}"].item() for side in "ab"]
        axis.text(
            left + of_match / 2,
            HEAD - 0.06,
            f"r = {round(one['r'].item(), 2) + 0.0:.2f}   A {units[0]}, B {units[1]}",
            ha="center",
            va="bottom",
            fontsize=7,
        )
        for row, side in enumerate("ab"):
            found = mosaic.tiles(patches, side, units[row])
            mosaic.draw(axis, found, left, HEAD + row * (1 + mosaic.GAP))
    if not chosen.sizes["match"]:
        axis.text(0.5, 0.5, "no match", transform=axis.transAxes, ha="center", color="grey")
