"""What the members of a minimal match look at: units of two networks that span the same space together."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent import shown
from convergent.figures import mosaic, style

KINDS = ("patch", "guided_backpropagation")
HEAD, BETWEEN, APART = 0.28, 0.15, 0.6  # space for labels, between members, between the networks, in tiles
HEIGHT = HEAD + mosaic.length(len(KINDS))  # of a layer
EMPTY = 0.8  # of one without a match


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[W] Fig. 5 (?): the first pair; of every layer one minimal match, its members in A and in B."""
    subspace, patches = stores["subspace_match"][0], stores["patches"][0]
    layers = list(patches.layers)
    units = int(patches.attributes["units"])
    chosen = {layer: shown.minimal(subspace.layers[layer], units) for layer in layers}
    width = max(end for found in chosen.values() for _, end in _spans(found))
    heights = [HEIGHT if any(found.attrs.values()) else EMPTY for found in chosen.values()]
    figure = Figure(
        figsize=(max(width * mosaic.TILE + 1, 4.5), (sum(heights) + 0.15 * len(layers)) * mosaic.TILE + 0.7),
        layout="constrained",
        dpi=150,
    )
    axes = figure.subplots(len(layers), squeeze=False, height_ratios=heights)[:, 0]
    for axis, height, (layer, found) in zip(axes, heights, chosen.items(), strict=True):
        mosaic.canvas(axis, width, height)
        axis.set_ylabel(layer, fontsize=8)
        for side, (left, _) in zip("ab", _spans(found), strict=True):
            _members(axis, patches.layers[layer], found, side, left)
        if not any(found.attrs.values()):
            axis.text(0.5, 0.5, "no match", transform=axis.transAxes, ha="center", color="grey")
    epsilon = subspace.layers[layers[0]]["minimal_size"].attrs["epsilon"]
    a, b = (patches.attributes[f"snapshot_{side}"] for side in "ab")
    figure.suptitle(f"members of a minimal match, ε = {epsilon:g}\nA = {a}, B = {b}", fontsize=8)
    return figure


def _members(axis: Axes, patches: xr.Dataset, found: xr.Dataset, side: str, left: float) -> None:
    """The members in one network, patches above attributions; and how many there are besides."""
    members, step = found[f"unit_{side}"].values, 1 + BETWEEN
    for i, unit in enumerate(members):
        tiles = mosaic.tiles(patches, side, unit)
        mosaic.draw(axis, {kind: tiles[kind] for kind in KINDS}, left + i * step, HEAD)
        _label(axis, side, f"{side.upper()} {unit}", left + i * step + 0.5)
    if more := found.attrs[f"size_{side}"] - len(members):
        _label(axis, side, f"{more} more", left + len(members) * step + 0.5)


def _spans(found: xr.Dataset) -> list[tuple[float, float]]:
    """Where the members in A and in B begin and end; that there are more takes a place of its own."""
    spans, left = [], 0.0
    for side in "ab":
        drawn = found.sizes[f"member_{side}"]
        end = left + mosaic.length(drawn + (found.attrs[f"size_{side}"] > drawn), BETWEEN)
        spans.append((left, end))
        left = end + APART
    return spans


def _label(axis: Axes, side: str, text: str, x: float) -> None:
    axis.text(x, HEAD - 0.06, text, ha="center", va="bottom", fontsize=7, color=getattr(style, side.upper()))
