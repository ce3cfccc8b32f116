"""Mean activation of the units, sorted, for each network."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[L] supplement: a line for each snapshot; independently trained networks nearly coincide. Below: untrained."""
    rows = [(stores["statistics"], style.TRAINED, style.stage(stores["statistics"][0]))]
    if untrained.get("statistics"):
        rows.append((untrained["statistics"], style.UNTRAINED, "untrained"))
    layers = list(stores["statistics"][0].layers)
    figure, axes = style.panels(layers, len(rows))
    for row, (opened, colour, name) in zip(axes, rows, strict=True):
        for axis, layer in zip(row, layers, strict=True):
            for tree in opened:
                mean = np.sort(tree.layers[layer]["mean"].values)[::-1]
                axis.plot(np.arange(1, len(mean) + 1), mean, color=colour, linewidth=0.9, alpha=0.8)
            axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        row[0].set_ylabel(f"{name}\nmean activation")
    for axis in axes[-1]:
        axis.set_xlabel("unit, sorted")
    return figure
