"""Mean correlation of matched units by depth, beside its nulls."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from convergent import tables
from convergent.figures import style
from convergent.store import Store

KINDS = {"mean_r_semi_a": "best partner", "mean_r_one_to_one": "one to one"}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs; error bars: standard error over seeds."""
    trained, null = stores["matching"], untrained.get("matching", [])
    layers = list(trained[0].layers)
    x = np.arange(len(layers))
    figure = Figure(figsize=(6.5, 2.8), layout="constrained", dpi=150)
    for axis, (statistic, name) in zip(figure.subplots(1, 2, sharey=True), KINDS.items(), strict=True):
        lines = [
            (trained, None, style.TRAINED, "o", style.stage(stores["matching"][0])),
            (null, None, style.UNTRAINED, "s", "untrained"),
            (trained, "rotated", style.ROTATED, "^", "B's axes rotated"),
            (trained, "permuted", style.PERMUTED, "v", "B's images permuted"),
        ]
        for opened, kind, colour, marker, label in lines:
            if opened:
                values, errors = np.array([_mean(opened, layer, statistic, kind) for layer in layers]).T
                axis.errorbar(x, values, errors, color=colour, marker=marker, markersize=4, linewidth=0.9, label=label)
        axis.set_xticks(x, layers, rotation=30, ha="right")
        axis.set_title(name)
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    figure.axes[0].set_ylabel("mean r of matched units")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure


def _mean(opened: Sequence[Store], layer: str, statistic: str, null_kind: str | None) -> tuple[float, float]:
    """A statistic, or its value under a null: mean over pairs and standard error over seeds."""
    pairs = [f"{store.attributes['snapshot_a']}--{store.attributes['snapshot_b']}" for store in opened]
    if null_kind is None:
        values = [store.layers[layer]["summary"].sel(statistic=statistic) for store in opened]
    else:
        values = [store.layers[layer]["summary_null"].sel(statistic=statistic, null_kind=null_kind) for store in opened]
    return tables.over_seeds(pairs, np.array([float(value) for value in values]))
