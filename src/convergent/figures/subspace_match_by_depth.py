"""Share of units in the maximum match by depth, a line for each distance, trained beside untrained."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from convergent.figures import by_depth, style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[W] Fig. 1 (?): mean over pairs, error bars: standard error over seeds; dashed: B's images permuted."""
    trained, null = stores["subspace_match"], untrained.get("subspace_match", [])
    layers = list(trained[0].layers)
    epsilons = np.sort(trained[0].layers[layers[0]]["epsilon"].values)
    colours = colormaps["viridis_r"](np.linspace(0.12, 1, len(epsilons)))
    shown = [(trained, style.stage(trained[0]))] + ([(null, "untrained")] if null else [])
    size = (max(2.8, 1.4 + 0.3 * len(layers)) * len(shown) + 1.3, 2.9)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axis, (opened, title) in zip(axes, shown, strict=True):
        for epsilon, colour in zip(epsilons, colours, strict=True):
            look = {"color": colour, "marker": "o", "label": f"ε = {epsilon:g}"}
            by_depth.draw(axis, (opened, None, look), f"similarity_at_{epsilon:g}")
            of_null = (opened, "permuted", {"color": colour, "linestyle": "--"})
            by_depth.draw(axis, of_null, f"similarity_at_{epsilon:g}")
        by_depth.name_layers(axis, layers)
        axis.set(title=title, ylim=(-0.02, 1.02))
    axes[0].plot([], [], "--", color="black", linewidth=0.9, label="B's images permuted")
    axes[0].set_ylabel("share of units that match")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", fontsize=7)
    return figure
