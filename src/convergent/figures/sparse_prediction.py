"""LASSO loss and number of predictors along the penalty."""

import numpy as np
from matplotlib.figure import Figure

from convergent.figures import style


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Means over units; a line for each pair and direction; dotted: everything predicts nothing; × α = 0."""
    layers = list(stores["sparse_prediction"][0].layers)
    figure, axes = style.panels(layers, 2, sharex="col")
    for column, layer in enumerate(layers):
        for opened, colour, name in (
            (untrained.get("sparse_prediction", []), style.UNTRAINED, "untrained"),
            (stores["sparse_prediction"], style.TRAINED, style.stage(stores["sparse_prediction"][0])),
        ):
            for i, tree in enumerate(opened):
                for direction in ("ab", "ba"):
                    measured = tree.layers[layer]
                    alpha = measured["alpha"].values
                    loss = (1 - measured[f"r2_{direction}"].values) / 2
                    label = name if i == 0 and direction == "ab" else None
                    _line(axes[0][column], alpha, _mean_over_units(loss), colour, label)
                    _line(
                        axes[1][column],
                        alpha,
                        _mean_over_units(measured[f"n_nonzero_{direction}"].values),
                        colour,
                        label,
                    )
        axes[0][column].axhline(0.5, color="black", linewidth=0.6, linestyle=":")
        axes[0][column].set_ylim(0, max(0.6, axes[0][column].get_ylim()[1]))
        axes[1][column].set_xlabel("penalty α")
    axes[0][0].set_ylabel("held-out loss, ½·MSE")
    axes[1][0].set_ylabel("predictors used")
    figure.legend(*axes[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _mean_over_units(values: np.ndarray) -> np.ndarray:
    """Mean over live units, [alpha]; dead ones are NaN at every penalty."""
    return np.asarray(values[:, ~np.isnan(values).any(axis=0)].mean(axis=1))


def _line(axis: object, alpha: np.ndarray, values: np.ndarray, colour: str, label: str | None) -> None:
    axis.semilogx(alpha[:-1], values[:-1], color=colour, alpha=0.7, linewidth=0.8, label=label)  # type: ignore[attr-defined]
    axis.plot(alpha[-2], values[-1], "x", color=colour, markersize=3)  # type: ignore[attr-defined]
