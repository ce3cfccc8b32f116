"""What averaging the answers of two networks gains, against how little their units are alike."""

import numpy as np
from matplotlib.figure import Figure

from convergent import tables
from convergent.figures import style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """A point a pair, error bars: standard error over images; the null: the images of B permuted within classes."""
    opened, matched = stores["ensemble"], stores["matching"]
    layer = list(matched[0].layers)[-1]
    alike = [float(store.layers[layer]["summary"].sel(statistic="mean_r_one_to_one")) for store in matched]
    dissimilarity = 1 - np.array(alike)
    result = [store.layers["/"].sel(statistic="gain") for store in opened]
    gain, error = (np.array([float(of[name]) for of in result]) for name in ("summary", "summary_standard_error"))
    null = [float(of["summary_null"].sel(null_kind="permuted_within_classes")) for of in result]
    figure = Figure(figsize=(4.4, 3.3), layout="constrained", dpi=150)
    axis = figure.subplots()
    axis.axhline(0, color="black", linewidth=0.6, linestyle=":")
    axis.plot(dissimilarity, null, "v", color=style.PERMUTED, markersize=4, label="errors independent within classes")
    axis.errorbar(
        dissimilarity,
        gain,
        error,
        fmt="o",
        color=style.TRAINED,
        markersize=4,
        elinewidth=0.8,
        label=f"pairs at {style.stage(opened[0])}",
    )
    correlation, uncertainty = tables.correlation_over_seeds(style.pairs(opened), dissimilarity, gain)
    if uncertainty == uncertainty:
        told = f"r = {correlation:.2f} ± {uncertainty:.2f}"
    else:
        told = f"r = {correlation:.2f}, no error from so few seeds" if correlation == correlation else "r undefined"
    axis.set_title(f"over pairs, {told}")
    axis.set(xlabel=f"1 − mean r one to one, {layer}", ylabel="accuracy gained by averaging")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure
