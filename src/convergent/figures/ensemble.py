"""What averaging the answers of two networks gains, against how little their units are alike."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from convergent import gain, tables
from convergent.figures import style
from convergent.measure_kinds import ALIKE
from convergent.snapshots import network_of


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """A column for each stage and data set, a colour for each network or two; a point a pair, error bars over images.

    Above, on an axis of its own, the null: the images of B permuted within classes.
    """
    points = _points(stores)
    networks = list(dict.fromkeys(points["network"]))
    panels = list(points.groupby("panel", sort=False))
    figure = Figure(figsize=(4.4 * len(panels), 3.6 + 0.13 * len(networks)), layout="constrained", dpi=150)
    axes = figure.subplots(2, len(panels), sharex="col", sharey="row", squeeze=False, height_ratios=(1, 3))
    for (upper, lower), (panel, found) in zip(axes.T, panels, strict=True):
        for network, group in found.groupby("network", sort=False):
            look: dict[str, Any] = {"color": f"C{networks.index(network) % 10}", "markersize": 4}
            of_group = {"fmt": "o", "elinewidth": 0.8, "label": network, **look}
            lower.errorbar(group["dissimilarity"], group["gain"], group["error"], **of_group)
            upper.plot(group["dissimilarity"], group["null"], "v", **look)
        layers = list(dict.fromkeys(found["layer"]))
        pairs = "1 pair" if len(found) == 1 else f"{len(found)} pairs"
        upper.set_title(f"{panel}: over {pairs}, {_correlation(found)}")
        lower.set_xlabel(f"1 − mean r one to one, {layers[0] if len(layers) == 1 else 'last layers'}")
        lower.axhline(0, color="black", linewidth=0.6, linestyle=":")
    axes[0][0].set_ylabel("if errors were\nindependent")
    axes[1][0].set_ylabel("accuracy gained by averaging")
    handles = {label: one for axis in axes[1] for one, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _points(stores: style.Stores) -> pd.DataFrame:
    """A row for each pair."""
    opened = stores["ensemble"]
    alike = next(stores[measure] for measure in ALIKE if measure in stores)
    rows = []
    for pair, store, other in zip(style.pairs(opened), opened, alike, strict=True):
        result = store.layers["/"].sel(statistic="gain")
        layer, dissimilarity = gain.dissimilarity(other)
        null = result["summary_null"].sel(null_kind="permuted_within_classes")
        values = (dissimilarity, *map(float, (result["summary"], result["summary_standard_error"], null)))
        rows.append(
            (
                pair,
                network_of(pair).replace("--", " and "),
                f"{style.stage(store)}, {store.attributes['data']}",
                layer,
                *values,
            )
        )
    names = ["pair", "network", "panel", "layer", "dissimilarity", "gain", "error", "null"]
    return pd.DataFrame(rows, columns=names)


def _correlation(points: pd.DataFrame) -> str:
    values = (points[name].to_numpy() for name in ("dissimilarity", "gain"))
    r, error, _ = tables.correlation_over_seeds(list(points["pair"]), *values)
    if error == error:
        return f"r = {r:.2f} ± {error:.2f}"
    return f"r = {r:.2f}, no error from so few seeds" if r == r else "r undefined"
