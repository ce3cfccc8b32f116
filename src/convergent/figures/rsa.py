"""Dissimilarity of the classes in one pair, and how alike the images' dissimilarities are in all pairs, by depth."""

from matplotlib.figure import Figure, FigureBase

from convergent.figures import by_depth, style
from convergent.store import Store

PANELS = {"spearman_euclidean": "Euclidean distance", "spearman_correlation": "1 − r"}
NAMED = 20  # classes, at most, whose labels are written at the matrices


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """[K]: 1 − r, mean over images of two classes, first pair. Below: mean over pairs, error over seeds."""
    trained = stores["rsa"]
    layers = list(trained[0].layers)
    figure = Figure(figsize=(max(1.6 * len(layers) + 1, 6.5), 6), layout="constrained", dpi=150)
    (above,), (below,) = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.4, 2.4])
    _classes(above, trained[0])
    for axis, (statistic, name) in zip(below.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
        for line in by_depth.lines(trained, untrained.get("rsa", [])):
            by_depth.draw(axis, line, statistic)
        by_depth.name_layers(axis, layers)
        axis.set_title(f"all pairs: {name}")
        axis.set_ylim(min(-0.02, axis.get_ylim()[0]), 1.02)
    below.axes[0].set_ylabel("Spearman's ρ of the images'\ndissimilarities in A and B")
    below.legend(*below.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure


def _classes(figure: FigureBase, pair: Store) -> None:
    """The RDMs of classes in A above those in B, a column a layer; grey: no two images."""
    sides = {
        side: [dataset[f"class_{side}"].sel(dissimilarity="correlation") for dataset in pair.layers.values()]
        for side in ("a", "b")
    }
    largest = max(float(rdm.fillna(0).max()) for rdms in sides.values() for rdm in rdms)
    label = sides["a"][0]["label"].values
    axes = figure.subplots(2, len(pair.layers), sharex=True, sharey=True, squeeze=False)
    for row, (side, rdms) in zip(axes, sides.items(), strict=True):
        for axis, rdm in zip(row, rdms, strict=True):
            axis.set_facecolor(style.DEAD)
            image = axis.imshow(rdm.values, cmap="viridis", vmin=0, vmax=largest or 1, interpolation="nearest")
            axis.set_xticks(range(len(label)) if len(label) <= NAMED else [], label[:NAMED], fontsize=6)
            axis.set_yticks(range(len(label)) if len(label) <= NAMED else [], label[:NAMED], fontsize=6)
        row[0].set_ylabel(f"{side.upper()} = {pair.attributes[f'snapshot_{side}']}\nclass", fontsize=7)
    for axis, layer in zip(axes[0], pair.layers, strict=True):
        axis.set_title(layer)
    for axis in axes[1]:
        axis.set_xlabel("class", fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.7, label="1 − r, mean over images")
