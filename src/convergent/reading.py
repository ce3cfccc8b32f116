"""The table in words: one paragraph for each comparison, with no claim that its numbers do not carry.

A difference counts where it exceeds two standard errors over seeds. A comparison that only serves as the null of
another has no paragraph of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from convergent import tables

TITLE = "Do independently trained networks learn the same representations?"
FOOTNOTE = (
    "± is the standard error over seeds: the jackknife that leaves out one seed and all its pairs. "
    "Every number, with its error and its nulls, is in the table *summary.csv*."
)


def write(table: pd.DataFrame, comparisons: Sequence[Mapping[str, Any]]) -> str:
    """The front page of the report, as reStructuredText.

    Parameters
    ----------
    table : from `tables.summarise`
    comparisons : with ``name``, ``pairs`` and ``untrained`` (pairs or None), in the order of the configuration
    """
    nulls = [comparison["untrained"] for comparison in comparisons]
    read = [comparison for comparison in comparisons if comparison["pairs"] not in nulls]
    paragraphs = [_paragraph(table, comparison["name"], len(comparison["pairs"])) for comparison in read]
    return "\n\n".join([f"{TITLE}\n{'=' * len(TITLE)}", *paragraphs, FOOTNOTE]) + "\n"


def _paragraph(table: pd.DataFrame, name: str, pairs: int) -> str:
    sentences = [f"**{name}**, {pairs} {'pair' if pairs == 1 else 'pairs'} of networks."]
    matched = _means(table, name, "matching", "mean_r_one_to_one")
    if matched:
        sentences.append(f"Matched one to one, units correlate by a mean r of {_range(matched, '.2f')}.")
        for kind, what in (
            ("untrained", "the same seeds untrained"),
            ("rotated", "B's axes turned at random in the space they span"),
        ):
            excess = tables.excess(table, name, "matching", "mean_r_one_to_one", kind)
            if excess:
                sentences.append(f"Against {what}, this is {_verdict(excess)}.")
    single = _means(table, name, "sparse_prediction", "r2_best_single_ab")
    sparse = _means(table, name, "sparse_prediction", "r2_one_standard_error_ab")
    used = _means(table, name, "sparse_prediction", "n_nonzero_one_standard_error_ab")
    if sparse:
        sentences.append(
            f"On held-out images the best single unit of the other network explains {_range(single, '.0%')} of the "
            f"variance of a unit, a LASSO of {_range(used, '.0f')} units {_range(sparse, '.0%')}."
        )
    clusters = tables.excess(table, name, "clustering", "share_clusters_with_both", "permuted_labels")
    if clusters:
        share = _range(_means(table, name, "clustering", "share_clusters_with_both"), ".0%")
        sentences.append(
            f"Of the spectral clusters, {share} hold units of both networks; against permuted labels, "
            f"this is {_verdict(clusters)}."
        )
    return " ".join(sentences)


def _means(table: pd.DataFrame, comparison: str, measure: str, statistic: str) -> dict[str, float]:
    """Mean over pairs by layer, in order of depth."""
    by_layer = tables.of_comparison(table, comparison, measure, statistic)
    return {layer: float(rows["value"].iloc[0]) for layer, rows in by_layer.items()}


def _range(means: Mapping[str, float], form: str) -> str:
    """The least and the largest of the layers, and where they are; undefined layers are named."""
    defined = {layer: mean for layer, mean in means.items() if mean == mean}
    if not defined:
        return "nothing defined"
    least, largest = min(defined, key=defined.__getitem__), max(defined, key=defined.__getitem__)
    undefined = [layer for layer in means if layer not in defined]
    missing = f" (undefined in {', '.join(undefined)})" if undefined else ""
    if least == largest:
        return f"{defined[least]:{form}} (``{least}``){missing}"
    return f"{defined[least]:{form}} (``{least}``) to {defined[largest]:{form}} (``{largest}``){missing}"


def _verdict(excess: Mapping[str, tuple[float, float]]) -> str:
    """Where a statistic lies above or below a null, and where the two cannot be told apart."""
    verdicts: dict[str, list[str]] = {"larger in": [], "smaller in": [], "not told apart in": []}
    for layer, (mean, error) in excess.items():
        verdict = "larger in" if mean > 2 * error else "smaller in" if -mean > 2 * error else "not told apart in"
        shown = f"{mean:+.2f} ± {error:.2f}" if error == error else f"{mean:+.2f}, no error below three seeds"
        verdicts[verdict].append(f"``{layer}`` ({shown})")
    return ", ".join(f"{verdict} {', '.join(layers)}" for verdict, layers in verdicts.items() if layers)
