"""The table in words: a list for each comparison and network, with no claim that its numbers do not carry.

A difference counts where it lies beyond the 95 % interval of Student's t over seeds, each layer for itself. A
comparison that only serves as the null of another is not read by itself.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from convergent import tables
from convergent.snapshots import network_of

TITLE = "Do independently trained networks learn the same representations?"
UNTESTED = "untested, for want of a standard error over at least three seeds, in"
UNTOLD = ", untested, for want of four seeds"
NO_SPREAD = "the same in every pair, so untested, in"
UNDEFINED = "not defined for every pair, so untested, in"
FOOTNOTE = (
    "± is the standard error over seeds: the jackknife that leaves out one seed and all its pairs. Larger or smaller "
    "is beyond the 95 % interval of Student's t, layers not corrected for one another. "
    "Every number, with its error and its nulls, is in the table *summary.csv*; docs/measures.md says what each means."
)
NULLS = {
    "untrained": "the same seeds untrained",
    "permuted": "B's images permuted",
    "rotated": "B's axes turned at random in the space they span",
    "permuted_labels": "permuted labels",
    "chance": "the two networks made uncorrelated",
    "untrained_sender": "the other network untrained",
    "random_units": "units removed at random",
    "variance": "units removed by their variance",
    "permuted_within_classes": "B's images permuted within their classes",
}


@dataclass(frozen=True)
class Sentence:
    """What is said of a measure.

    Attributes
    ----------
    measure : whose statistics these are
    text : with ``{}`` for the range over layers of each statistic
    statistics : by name, with the format of its numbers; the first is compared with the nulls
    nulls : kinds of null that it is compared with
    """

    measure: str
    text: str
    statistics: Mapping[str, str]
    nulls: tuple[str, ...] = ()


SENTENCES = (
    Sentence(
        "statistics",
        "The mean activation of a unit is {}; {} of the samples are zero, {} of the units are dead.",
        {"mean_activation": ".2g", "share_zeros": ".0%", "n_dead": ".1f"},
    ),
    Sentence(
        "correlation",
        "Any two units of the two networks correlate by a mean \\|r\\| of {}.",
        {"mean_absolute_r": ".2f"},
        ("permuted",),
    ),
    Sentence(
        "matching",
        "Matched one to one, units correlate by a mean r of {}.",
        {"mean_r_one_to_one": ".2f"},
        ("untrained", "rotated"),
    ),
    Sentence(
        "mutual_information",
        "By mutual information the best partner of a unit is the one it has by correlation for {} of the units; the "
        "rank correlation of information and \\|r\\|, over all pairs of units, is {}.",
        {"share_same_semi_a": ".0%", "rank_correlation_absolute": ".2f"},
        ("untrained", "permuted"),
    ),
    Sentence(
        "sparse_prediction",
        "On held-out images the best single unit of the other network explains {} of the variance of a unit, a LASSO "
        "of {} units {}.",
        {
            "r2_best_single_ab": ".0%",
            "mean_nonzero_one_standard_error_ab": ".0f",
            "r2_one_standard_error_ab": ".0%",
        },
    ),
    Sentence(
        "sparse_prediction",
        "For nine tenths of the best prediction from all units of the other network, one of them is enough for {} "
        "of the units, two to five for {}, more are needed for {}; {} cannot be predicted.",
        {
            "share_one_ab": ".0%",
            "share_two_to_five_ab": ".0%",
            "share_more_ab": ".0%",
            "share_unpredictable_ab": ".0%",
        },
        ("untrained",),
    ),
    Sentence(
        "clustering",
        "Of the spectral clusters, {} hold units of both networks.",
        {"share_clusters_with_both": ".0%"},
        ("permuted_labels",),
    ),
    Sentence(
        "clustering",
        "Within these clusters the units of one network explain {} of the variance of a unit of the other on held-out "
        "images, the best single one {}.",
        {"mean_r2_clusters": ".0%", "mean_best_r2_clusters": ".0%"},
        ("untrained", "permuted"),
    ),
    Sentence(
        "subspace_match",
        "The share of units in a subspace match, averaged over all distances ε, is {}; all live units match from "
        "ε = {}.",
        {"area": ".2f", "epsilon_full": ".2f"},
        ("untrained", "permuted"),
    ),
    Sentence(
        "subspace_match_sampled",
        "From samples drawn at random, the maximum match at ε = 0.5 holds {} of the units.",
        {"similarity_at_0.5": ".0%"},
        ("untrained", "chance"),
    ),
    Sentence(
        "similarity",
        "The debiased CKA of the spatial means is {}, the plain one {}.",
        {"cka_pooled_debiased": ".2f", "cka_pooled": ".2f"},
        ("untrained",),
    ),
    Sentence(
        "cross_layer",
        "By debiased CKA {} of the layers of A are most similar to the same layer of B.",
        {"share_same_layer_a": ".0%"},
        ("untrained",),
    ),
    Sentence(
        "layer_pairs",
        "Each layer of A beside its most similar layer of B, on the coarser of their grids: linear CKA {}, matched one "
        "to one r {}, held-out R² from all units of that layer {}; these layers follow one another by a rank "
        "correlation of {}.",
        {
            "best_cka_a": ".2f",
            "best_r_one_to_one_a": ".2f",
            "best_r2_ba_a": ".2f",
            "depth_correlation_a": ".2f",
        },
        ("untrained", "permuted"),
    ),
    Sentence(
        "rsa",
        "The dissimilarities of the images have a rank correlation of {} between the networks.",
        {"spearman_correlation": ".2f"},
        ("untrained",),
    ),
    Sentence(
        "stitching",
        "With a layer of the other network matched one to one, a network answers {} right, with all units of it mapped "
        "by least squares {}, by itself {}.",
        {"accuracy_one_to_one": ".0%", "accuracy_least_squares": ".0%", "accuracy_intact": ".0%"},
        ("untrained_sender",),
    ),
    Sentence(
        "stitching",
        "With at most five units of the other network for each of its own, by the LASSO, it answers {} right.",
        {"accuracy_lasso_few": ".0%"},
        ("untrained_sender",),
    ),
    Sentence(
        "unit_removal",
        "Without the most shared quarter of the units of a layer a network answers {} of the images less right than "
        "without the rarest.",
        {"lost_shared_minus_rare": ".1%"},
        ("random_units", "variance"),
    ),
    Sentence(
        "ensemble",
        "The mean of the probabilities of two networks gains {} of the images over the mean accuracy of both; their "
        "errors correlate by {}.",
        {"gain": ".1%", "error_correlation": ".2f"},
        ("permuted_within_classes",),
    ),
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
        networks = Counter(network_of("--".join(pair)) for pair in comparison["pairs"])
        for network, pairs in networks.items():
            named = " and ".join(network.split("--"))
            paragraphs.append(f"**{comparison['name']}**, {pairs} {'pair' if pairs == 1 else 'pairs'} of {named}.")
            paragraphs += [f"- {text}" for text in _sentences(table, comparison["name"], network)]
    return "\n\n".join([f"{TITLE}\n{'=' * len(TITLE)}", *paragraphs, FOOTNOTE]) + "\n"


def _sentences(table: pd.DataFrame, name: str, network: str) -> Iterator[str]:
    """Those whose statistics are in the table."""
    for sentence in SENTENCES:
        if sentence.measure == "cross_layer" and "--" in network:  # different networks have no same layers
            continue
        means = [tables.means(table, name, network, sentence.measure, statistic) for statistic in sentence.statistics]
        if not all(means):
            continue
        ranges = (_range(mean, form) for mean, form in zip(means, sentence.statistics.values(), strict=True))
        said = [sentence.text.format(*ranges)]
        for kind in sentence.nulls:
            excess = tables.excess(table, name, network, sentence.measure, next(iter(sentence.statistics)), kind)
            if excess:
                this = "this" if len(means) == 1 else "the first"
                said.append(f"Against {NULLS[kind]}, {this} is {_verdict(excess)}.")
        yield " ".join(said)
    yield from _gain_by_dissimilarity(table, name, network)


def _gain_by_dissimilarity(table: pd.DataFrame, name: str, network: str) -> Iterator[str]:
    """Whether pairs whose last layers are less alike gain more by their mean answer."""
    alike = tables.by_pair(table, name, network, "matching", "mean_r_one_to_one")
    gain = tables.by_pair(table, name, network, "ensemble", "gain").get(tables.WHOLE)
    if gain is None or not alike:
        return
    last = list(alike)[-1]
    pairs = list(gain.index)
    r, error = tables.correlation_over_seeds(pairs, 1 - alike[last][pairs].to_numpy(), gain.to_numpy())
    if r != r:
        return
    seeds = len({seed for pair in pairs for seed in re.findall(r"-s(\d+)-", pair)})
    bound = stdtrit(seeds - 1, 0.975) * error
    told = f" ± {error:.2f}, {'not told apart from' if abs(r) <= bound else 'beyond'} 0" if error == error else UNTOLD
    yield f"Over the pairs, this gain and 1 − the mean r one to one in ``{last}`` correlate by {r:.2f}{told}."


def _range(means: Mapping[str, float], form: str) -> str:
    """The least and the largest of the layers, and where they are; undefined layers are named."""
    defined = {layer: mean for layer, mean in means.items() if mean == mean}
    if not defined:
        return "not defined in any layer"
    if list(defined) == [tables.WHOLE]:
        return f"{defined[tables.WHOLE]:{form}}"
    least, largest = min(defined, key=defined.__getitem__), max(defined, key=defined.__getitem__)
    undefined = [layer for layer in means if layer not in defined]
    missing = f" (undefined in {', '.join(undefined)})" if undefined else ""
    low, high = f"{defined[least]:{form}}", f"{defined[largest]:{form}}"
    if len(defined) == 1:
        return f"{low} (``{least}``){missing}"
    return f"{low}{missing}" if low == high else f"{low} (``{least}``) to {high} (``{largest}``){missing}"


def _verdict(excess: Mapping[str, tuple[float, float, int]]) -> str:
    """Where a statistic lies above or below a null, and where the two cannot be told apart."""
    verdicts: dict[str, list[str]] = {
        "larger in": [],
        "smaller in": [],
        "not told apart in": [],
        UNTESTED: [],
        NO_SPREAD: [],
        UNDEFINED: [],
    }
    for layer, (mean, error, seeds) in excess.items():
        if mean != mean:
            verdicts[UNDEFINED].append(_place(layer))
            continue
        if error != error:
            verdicts[UNTESTED].append(f"{_place(layer)} ({mean:+.2f})")
            continue
        if error <= 1e-9 * max(abs(mean), 1):
            verdicts[NO_SPREAD].append(f"{_place(layer)} ({mean:+.2f})")
            continue
        bound = stdtrit(seeds - 1, 0.975) * error
        verdict = "larger in" if mean > bound else "smaller in" if -mean > bound else "not told apart in"
        verdicts[verdict].append(f"{_place(layer)} ({mean:+.2f} ± {error:.2f})")
    return ", ".join(f"{verdict} {', '.join(layers)}" for verdict, layers in verdicts.items() if layers)


def _place(layer: str) -> str:
    return "the network as a whole" if layer == tables.WHOLE else f"``{layer}``"
