"""Share of units in the maximum match along the distance, beside its nulls, and sizes of minimal matches."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent.figures import bands, style

NULLS = {"curve_permuted": ("--", "B's images permuted"), "curve_chance": (":", "only means shared")}
SMALLEST_AXIS = 10  # units: below it, minimal matches of two would fill the panel


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over pairs, bands: standard error over seeds; thin: a line for each pair; below: the searches of all."""
    trained, null = stores["subspace_match"], untrained.get("subspace_match", [])
    layers = list(trained[0].layers)
    drawn = [(null, style.UNTRAINED, "untrained")] if null else []
    drawn.append((trained, style.TRAINED, style.stage(trained[0])))
    figure, axes = style.panels(layers, 2, sharey="row")
    for column, layer in enumerate(layers):
        axis = axes[0][column]
        first = trained[0].layers[layer]
        for i, epsilon in enumerate(first["epsilon"].values):
            axis.axvline(epsilon, color=style.DEAD, linewidth=0.5, zorder=0, label="ε reported" if i == 0 else None)
        for opened, colour, label in drawn:
            distance = first["distance"].values
            curves = np.array([tree.layers[layer]["curve"].values for tree in opened])
            axis.plot(distance, curves.T, color=colour, alpha=0.5, linewidth=0.3)
            bands.draw(axis, distance, opened, curves, colour, linewidth=1.2, label=label)
            for name, (dashes, meaning) in NULLS.items():
                mean = np.mean([tree.layers[layer][name].values for tree in opened], axis=0)
                null_label = meaning if opened is trained else None
                axis.plot(distance, mean, dashes, color=colour, linewidth=1, label=null_label)
        axis.set(xlim=(0, 1), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), xlabel="distance ε")
        found = [[tree.layers[layer]["minimal_size"].values.ravel() for tree in opened] for opened, _, _ in drawn]
        sizes = [np.concatenate(of_pairs) for of_pairs in found]
        _sizes(axes[1][column], sizes, [colour for _, colour, _ in drawn])
    axes[0][0].set_ylabel("share of units that match")
    axes[1][0].set_ylabel(
        f"share of searches that found\nat most so many, ε = {first['minimal_size'].attrs['epsilon']:g}"
    )
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=7)
    return figure


def _sizes(axis: Axes, sizes: list[np.ndarray], colours: list[str]) -> None:
    """The share of searches that found a minimal match of at most so many units, a line for each colour."""
    end = max([SMALLEST_AXIS, *np.concatenate(sizes)])
    for found, colour in zip(sizes, colours, strict=True):
        if found.size:
            at_most = np.concatenate([[0], np.sort(found), [end]])
            share = np.concatenate([np.arange(found.size + 1), [found.size]]) / found.size
            axis.step(at_most, share, where="post", color=colour, linewidth=0.9)
    axis.set(xlim=(0, end), ylim=(-0.02, 1.02), xlabel="units in a minimal match")
    axis.locator_params(axis="x", integer=True)
    if not axis.lines:
        axis.text(0.5, 0.5, "no match", transform=axis.transAxes, ha="center", color="grey")
