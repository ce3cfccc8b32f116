"""The table in words: one paragraph for each comparison and network, with no claim that its numbers do not carry.

A difference counts where it lies beyond the 95 % interval of Student's t over seeds, each layer for itself. A
comparison that only serves as the null of another has no paragraph of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from convergent import tables

TITLE = "Do independently trained networks learn the same representations?"
UNTESTED = "untested, for want of a standard error over at least three seeds, in"
FOOTNOTE = (
    "± is the standard error over seeds: the jackknife that leaves out one seed and all its pairs. Larger or smaller "
    "is beyond the 95 % interval of Student's t, layers not corrected for one another. "
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
    paragraphs = []
    for comparison in read:
        networks = Counter(tables.network_of(a) for a, _ in comparison["pairs"])
        paragraphs += [_paragraph(table, comparison["name"], network, pairs) for network, pairs in networks.items()]
    return "\n\n".join([f"{TITLE}\n{'=' * len(TITLE)}", *paragraphs, FOOTNOTE]) + "\n"


def _paragraph(table: pd.DataFrame, name: str, network: str, pairs: int) -> str:
    of = (table, name, network)
    sentences = [f"**{name}**, {pairs} {'pair' if pairs == 1 else 'pairs'} of {network}."]
    matched = tables.means(*of, "matching", "mean_r_one_to_one")
    if matched:
        sentences.append(f"Matched one to one, units correlate by a mean r of {_range(matched, '.2f')}.")
        for kind, what in (
            ("untrained", "the same seeds untrained"),
            ("rotated", "B's axes turned at random in the space they span"),
        ):
            excess = tables.excess(*of, "matching", "mean_r_one_to_one", kind)
            if excess:
                sentences.append(f"Against {what}, this is {_verdict(excess)}.")
    single = tables.means(*of, "sparse_prediction", "r2_best_single_ab")
    sparse = tables.means(*of, "sparse_prediction", "r2_one_standard_error_ab")
    used = tables.means(*of, "sparse_prediction", "mean_nonzero_one_standard_error_ab")
    if sparse:
        sentences.append(
            f"On held-out images the best single unit of the other network explains {_range(single, '.0%')} of the "
            f"variance of a unit, a LASSO of {_range(used, '.0f')} units {_range(sparse, '.0%')}."
        )
    clusters = tables.excess(*of, "clustering", "share_clusters_with_both", "permuted_labels")
    if clusters:
        share = _range(tables.means(*of, "clustering", "share_clusters_with_both"), ".0%")
        sentences.append(
            f"Of the spectral clusters, {share} hold units of both networks; against permuted labels, "
            f"this is {_verdict(clusters)}."
        )
    return " ".join(sentences)


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


def _verdict(excess: Mapping[str, tuple[float, float, int]]) -> str:
    """Where a statistic lies above or below a null, and where the two cannot be told apart."""
    verdicts: dict[str, list[str]] = {"larger in": [], "smaller in": [], "not told apart in": [], UNTESTED: []}
    for layer, (mean, error, seeds) in excess.items():
        if error != error:
            verdicts[UNTESTED].append(f"``{layer}`` ({mean:+.2f})")
            continue
        bound = stdtrit(seeds - 1, 0.975) * error
        verdict = "larger in" if mean > bound else "smaller in" if -mean > bound else "not told apart in"
        verdicts[verdict].append(f"``{layer}`` ({mean:+.2f} ± {error:.2f})")
    return ", ".join(f"{verdict} {', '.join(layers)}" for verdict, layers in verdicts.items() if layers)
