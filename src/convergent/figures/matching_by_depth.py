"""Mean correlation of matched units by depth, beside its nulls."""

from matplotlib.figure import Figure

from convergent.figures import by_depth, style

KINDS = {
    "mean_r_semi_a": "best partner",
    "mean_r_one_to_one": "one to one",
    "mean_r_pooled_one_to_one": "spatial means, one to one",
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs; error bars: standard error over seeds."""
    trained = stores["matching"]
    lines = by_depth.lines(trained, untrained.get("matching", []))
    look = {"color": style.ROTATED, "marker": "^", "label": "B's axes rotated"}
    lines.insert(2, (trained, "rotated", look))
    figure = Figure(figsize=(8.5, 2.8), layout="constrained", dpi=150)
    for axis, (statistic, name) in zip(figure.subplots(1, 3, sharey=True), KINDS.items(), strict=True):
        for line in lines:
            by_depth.draw(axis, line, statistic)
        by_depth.name_layers(axis, list(trained[0].layers))
        axis.set_title(name)
    # Shared: once all are drawn, or what is drawn later is cut off.
    figure.axes[0].set_ylim(bottom=min(0, figure.axes[0].get_ylim()[0]))
    figure.axes[0].set_ylabel("mean r of matched units")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure
