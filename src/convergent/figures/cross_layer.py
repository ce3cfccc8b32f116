"""Debiased CKA of every layer of A with every layer of B, trained beside untrained."""

from matplotlib.figure import Figure

from convergent.figures import layer_map, style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs; a square marks the most similar layer of B for each layer of A; grey: not defined."""
    trained, null = stores["cross_layer"], untrained.get("cross_layer", [])
    maps = [(trained, style.stage(trained[0]))] + ([(null, "untrained")] if null else [])
    width, height = layer_map.size(trained[0])
    figure = Figure(figsize=(width * len(maps) + 0.9, height + 0.4), layout="constrained", dpi=150)
    axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for axis, (opened, title) in zip(axes, maps, strict=True):
        image = layer_map.draw(axis, opened, "cka_debiased")
        axis.set_title(title)
    axes[0].set_ylabel("layer of A")
    figure.colorbar(image, ax=list(axes), shrink=0.8, label="debiased CKA of spatial means")
    return figure
