"""The table in words: a list for each comparison and network, with no claim that its numbers do not carry.

A difference counts where it lies beyond the 95 % interval of Student's t over seeds, each layer for itself. A
comparison that only serves as the null of another is not read by itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from convergent import tables, wording
from convergent.gain import Correlation
from convergent.snapshots import network_of
from convergent.store import Store

TITLE = "Do independently trained networks learn the same representations?"
AT = "_at_"  # before the distance ε in the name of a statistic
UNTOLD = ", untested, for want of four seeds"
UNDEFINED_WITHOUT = ", untested, as it is not defined without every one of the seeds"
FOOTNOTE = (
    "± is the standard error over seeds: the jackknife that leaves out one seed and all its pairs. Larger or smaller "
    "is beyond the 95 % interval of Student's t (3.2 standard errors with four seeds, 4.3 with three); no verdict is "
    "corrected for the others: where nothing differs, one in twenty is chance. "
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
    text : with ``{}`` for the range over layers of each statistic, and names of what `_of_store` tells
    statistics : by name, with the format of its numbers; the first is compared with the nulls
    nulls : kinds of null that it is compared with
    figure : that shows it
    """

    measure: str
    text: str
    statistics: Mapping[str, str]
    nulls: tuple[str, ...] = ()
    figure: str = ""


SENTENCES = (
    Sentence(
        "statistics",
        "The mean activation of a unit is {}; {} of the samples are zero; units dead in a network: {}.",
        {"mean_activation": ".2g", "share_zeros": ".0%", "n_dead": ".1f"},
        figure="activation_spectra",
    ),
    Sentence(
        "correlation",
        "Any two units of the two networks correlate by a mean \\|r\\| of {}.",
        {"mean_absolute_r": ".2f"},
        ("permuted",),
        "correlation_matrices",
    ),
    Sentence(
        "matching",
        "Matched one to one, units correlate by a mean r of {}.",
        {"mean_r_one_to_one": ".2f"},
        ("untrained", "rotated"),
        "matching_by_depth",
    ),
    Sentence(
        "mutual_information",
        "By mutual information the best partner of a unit of A is the one it has by correlation for {} of them; the "
        "rank correlation of information and \\|r\\|, over all pairs of units, is {}.",
        {"share_same_semi_a": ".0%", "rank_correlation_absolute": ".2f"},
        ("untrained", "permuted"),
        "mutual_information",
    ),
    Sentence(
        "sparse_prediction",
        "On held-out images the best single unit of A explains {} of the variance of a unit of B, a LASSO of {} units "
        "{}.",
        {
            "r2_best_single_ab": ".0%",
            "mean_nonzero_one_standard_error_ab": ".0f",
            "r2_one_standard_error_ab": ".0%",
        },
        figure="sparse_prediction",
    ),
    Sentence(
        "sparse_prediction",
        "For nine tenths of the best prediction from all units of A, one of them is enough for {} of the units of B, "
        "two to five for {}, more are needed for {}; {} cannot be predicted.",
        {
            "share_one_ab": ".0%",
            "share_two_to_five_ab": ".0%",
            "share_more_ab": ".0%",
            "share_unpredictable_ab": ".0%",
        },
        ("untrained",),
        "code_types",
    ),
    Sentence(
        "clustering",
        "Of the spectral clusters, {} hold units of both networks.",
        {"share_clusters_with_both": ".0%"},
        ("permuted_labels",),
        "clusters",
    ),
    Sentence(
        "clustering",
        "Within these clusters the units of one network explain {} of the variance of a unit of the other on held-out "
        "images, the best single one {}.",
        {"mean_r2_clusters": ".0%", "mean_best_r2_clusters": ".0%"},
        ("untrained", "permuted_labels"),
        "cluster_subspaces",
    ),
    Sentence(
        "subspace_match",
        "The share of units in a subspace match, averaged over all distances ε, is {}; all live units match from "
        "ε = {}.",
        {"area": ".2f", "epsilon_full": ".2f"},
        ("untrained", "permuted"),
        "subspace_match",
    ),
    Sentence(
        "subspace_match",
        "At ε = {epsilon} the maximum match holds {} of the units.",
        {"similarity_at_0.3": ".0%"},
        ("untrained", "permuted"),
        "subspace_match_by_depth",
    ),
    Sentence(
        "subspace_match",
        "The median size of minimal matches at ε = {minimal_epsilon} is {}, in units of both networks together; the "
        "share that is one unit of each is {}.",
        {"median_minimal_size": ".1f", "share_minimal_pairs": ".0%"},
        ("untrained",),
        "subspace_match",
    ),
    Sentence(
        "subspace_match_sampled",
        "From samples drawn at random, the maximum match at ε = {epsilon} holds {} of the units.",
        {"similarity_at_0.5": ".0%"},
        ("untrained", "chance"),
        "subspace_match_sampled",
    ),
    Sentence(
        "similarity",
        "The debiased CKA of the spatial means is {}, the plain one {}.",
        {"cka_pooled_debiased": ".2f", "cka_pooled": ".2f"},
        ("untrained",),
        "similarity",
    ),
    Sentence(
        "cross_layer",
        "By debiased CKA {} of the layers of A are most similar to the same layer of B.",
        {"share_same_layer_a": ".0%"},
        ("untrained",),
        "cross_layer",
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
        "layer_pairs",
    ),
    Sentence(
        "rsa",
        "The dissimilarities of the images have a rank correlation of {} between the networks.",
        {"spearman_correlation": ".2f"},
        ("untrained",),
        "rsa",
    ),
    Sentence(
        "stitching",
        "With a layer of the other network matched one to one, a network answers {} right, with all units of it mapped "
        "by least squares {}, by itself {}.{bypassed}",
        {"accuracy_one_to_one": ".0%", "accuracy_least_squares": ".0%", "accuracy_intact": ".0%"},
        ("untrained_sender",),
        "stitching",
    ),
    Sentence(
        "stitching",
        "With at most five units of the other network for each of its own, by the LASSO, it answers {} right.",
        {"accuracy_lasso_few": ".0%"},
        ("untrained_sender",),
        "stitching",
    ),
    Sentence(
        "unit_removal",
        "Without the most shared quarter of the units of a layer a network answers {} of the images less right than "
        "without the rarest.",
        {"lost_shared_minus_rare": ".1%"},
        ("random_units", "variance"),
        "unit_removal",
    ),
    Sentence(
        "ensemble",
        "The mean of the probabilities of two networks gains {} of the images over the mean accuracy of both; their "
        "errors correlate by {}.",
        {"gain": ".1%", "error_correlation": ".2f"},
        ("permuted_within_classes",),
    ),
)


def write(
    table: pd.DataFrame,
    details: Mapping[tuple[str, str, str], Mapping[str, str]],
    comparisons: Sequence[Mapping[str, Any]],
    opening: Sequence[str],
    correlations: Sequence[Correlation],
) -> str:
    """The front page of the report, as reStructuredText.

    Parameters
    ----------
    table : from `tables.summarise`
    details : what sentences name and no table holds, from `of_store`, by comparison, network and measure
    comparisons : with ``name``, ``pairs``, ``untrained`` (name of the null, or None) and ``figures``, in the order of
        the configuration
    opening : paragraphs, from `setting.write`
    correlations : of the gains of ensembles, from `gain.correlations`
    """
    nulls = [comparison["untrained"] for comparison in comparisons]
    read = [comparison for comparison in comparisons if comparison["name"] not in nulls]
    paragraphs = list(opening)
    for comparison in read:
        networks = Counter(network_of("--".join(pair)) for pair in comparison["pairs"])
        for network, pairs in networks.items():
            named = " and ".join(network.split("--"))
            paragraphs.append(f"**{comparison['name']}**, {pairs} {'pair' if pairs == 1 else 'pairs'} of {named}.")
            paragraphs += [f"- {text}" for text in _sentences(table, details, comparison, network)]
            own = (
                one for one in correlations if (one.comparisons, one.networks) == ((comparison["name"],), (network,))
            )
            paragraphs += [f"- Over the pairs, this {_correlated(one)}" for one in own if one.r == one.r]
    for one in correlations:
        if max(len(one.networks), len(one.comparisons)) > 1 and one.r == one.r:
            paragraphs.append(
                f"**{' and '.join(one.comparisons)}**. Over all {one.pairs} pairs on {one.data}, {_correlated(one)}"
            )
    return "\n\n".join([f"{TITLE}\n{'=' * len(TITLE)}", *paragraphs, FOOTNOTE]) + "\n"


def of_store(store: Store) -> dict[str, str]:
    """What the text of a sentence names and no table holds, by a store of its measure."""
    layers = store.layers.items()
    bypassed = [f"``{layer}``" for layer, dataset in layers if dataset.attrs.get("bypassed")]
    past = (
        f" A skip connection bypasses {', '.join(bypassed)}: there the receiver sees the images past the layer as well."
    )
    sizes = [dataset["minimal_size"] for _, dataset in layers if "minimal_size" in dataset]
    return {
        "bypassed": past if bypassed else "",
        "minimal_epsilon": f"{sizes[0].attrs['epsilon']:g}" if sizes else "",
    }


def _sentences(
    table: pd.DataFrame,
    details: Mapping[tuple[str, str, str], Mapping[str, str]],
    comparison: Mapping[str, Any],
    network: str,
) -> Iterator[str]:
    """Those whose statistics are in the table."""
    name = comparison["name"]
    for sentence in SENTENCES:
        if sentence.measure == "cross_layer" and "--" in network:  # different networks have no same layers
            continue
        of = (name, network, sentence.measure)
        statistics = [_reported(table, name, sentence.measure, statistic) for statistic in sentence.statistics]
        means = [tables.means(table, *of, statistic) for statistic in statistics]
        if not all(means):
            continue
        forms = list(sentence.statistics.values())
        ranges = (wording.span(mean, form) for mean, form in zip(means, forms, strict=True))
        epsilon = statistics[0].partition(AT)[2]
        said = [sentence.text.format(*ranges, epsilon=epsilon, **details[of])]
        for kind in sentence.nulls:
            against = tables.against(table, *of, statistics[0], kind)
            if against:
                this = "this" if len(means) == 1 else "the first"
                said.append(f"Against {NULLS[kind]}, {this} is {wording.verdicts(against, forms[0])}.")
        if sentence.figure in comparison["figures"]:
            said.append(f"(Figure *{sentence.figure}*.)")
        yield " ".join(said)


def _reported(table: pd.DataFrame, comparison: str, measure: str, statistic: str) -> str:
    """A statistic; where it is one at a distance ε that is not reported, that at the nearest."""
    name, at, epsilon = statistic.partition(AT)
    found = table.loc[(table["comparison"] == comparison) & (table["measure"] == measure), "statistic"].unique()
    reported = [other for other in found if at and other.startswith(name + at)]
    return min(reported, key=lambda other: abs(float(other.partition(AT)[2]) - float(epsilon)), default=statistic)


def _correlated(one: Correlation) -> str:
    """Whether pairs whose last layers are less alike gain more by their mean answer."""
    verdict = tables.verdict(one.r, one.standard_error, one.trainings)
    told = f" ± {one.standard_error:.2f}, {'not told apart from' if verdict == tables.NOT_APART else 'beyond'} 0"
    if verdict == tables.NO_VERDICT:
        told = UNTOLD if one.trainings < 4 else UNDEFINED_WITHOUT
    where = "their last layers" if one.layer == tables.WHOLE else f"``{one.layer}``"
    return (
        f"gain and 1 − the mean r one to one in {where} correlate by {one.r:.2f}{told}. (Figure *ensemble* of *all*.)"
    )
