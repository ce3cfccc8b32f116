"""The table in words: one paragraph for each comparison, with no claim that its numbers do not carry."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from convergent import tables


def write(table: pd.DataFrame, comparisons: Sequence[Mapping[str, Any]]) -> str:
    """The front page of the report, as reStructuredText.

    Parameters
    ----------
    table : from `tables.summarise`
    comparisons : with ``name`` and ``pairs``, in the order of the configuration
    """
    title = "Do independently trained networks learn the same representations?"
    parts = [title, "=" * len(title), ""]
    for comparison in comparisons:
        parts += [_paragraph(table, comparison), ""]
    parts += [
        "± is the standard error over seeds: the jackknife that leaves out one seed and all its pairs. "
        "Every number, with its null, is in the table *summary.csv*.",
        "",
    ]
    return "\n".join(parts)


def _paragraph(table: pd.DataFrame, comparison: Mapping[str, Any]) -> str:
    name, count = comparison["name"], len(comparison["pairs"])
    sentences = [f"**{name}** ({count} {'pair' if count == 1 else 'pairs'})."]
    matching = tables.of_comparison(table, name, "matching", "mean_r_one_to_one")
    if matching:
        by_layer = "; ".join(f"{layer} {_value(group)} ({_nulls(group)})" for layer, group in matching.items())
        sentences.append(f"Matched one to one, units correlate on average by {by_layer}.")
        excess = tables.excess(table, name, "matching", "mean_r_one_to_one", "untrained")
        if excess:
            sentences.append(_verdict(excess))
    alone = tables.of_comparison(table, name, "sparse_prediction", "r2_best_single_ab")
    sparse = tables.of_comparison(table, name, "sparse_prediction", "r2_one_standard_error_ab")
    used = tables.of_comparison(table, name, "sparse_prediction", "n_nonzero_one_standard_error_ab")
    if sparse:
        by_layer = "; ".join(
            f"{layer} {_value(alone[layer])} from one unit and {_value(group)} from {used[layer]['value'].iloc[0]:.1f}"
            for layer, group in sparse.items()
        )
        sentences.append(f"Held-out R² of a unit of B from units of A, by the LASSO: {by_layer} units.")
    clusters = tables.of_comparison(table, name, "clustering", "share_clusters_with_both")
    if clusters:
        by_layer = "; ".join(
            f"{layer} {group['value'].iloc[0]:.0%} (by chance {group['null'].loc['permuted_labels']:.0%})"
            for layer, group in clusters.items()
        )
        sentences.append(f"Spectral clusters that hold units of both networks: {by_layer}.")
    return " ".join(sentences)


def _verdict(excess: Mapping[str, tuple[float, float]]) -> str:
    """Above or below the untrained null, layer by layer, where the difference exceeds two standard errors."""
    if any(error != error for _, error in excess.values()):
        return "With fewer than three seeds no error over seeds tells this apart from the untrained null."
    kinds = {
        "above": [layer for layer, (mean, error) in excess.items() if mean > 2 * error],
        "below": [layer for layer, (mean, error) in excess.items() if -mean > 2 * error],
    }
    kinds["not told apart from"] = [layer for layer in excess if layer not in kinds["above"] + kinds["below"]]
    parts = [f"{kind} the untrained null in {', '.join(layers)}" for kind, layers in kinds.items() if layers]
    return f"By two standard errors of the difference, this lies {' and '.join(parts)}."


def _value(group: pd.DataFrame) -> str:
    row = group.iloc[0]
    error = f" ± {row['standard_error']:.3f}" if pd.notna(row["standard_error"]) else ""
    return f"{row['value']:.3f}{error}"


def _nulls(group: pd.DataFrame) -> str:
    return ", ".join(f"{kind} {null:.3f}" for kind, null in group["null"].items() if kind)
