"""How many jobs each rule has, as `snakemake -n` counts them in a fresh folder.

A snapshot is a network, seed and stage; a pair is two snapshots of one network and stage. Each is made once, whatever
number of comparisons and measures read it. The Snakefile imports this module: the standard library only.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import get_args

from convergent.config import Experiment, Measure, Recipe

# The figures and the measures each draws: of all pairs beside their untrained null, or of the first pair alone.
FIGURES_OF_ALL_PAIRS = {
    "matching_by_depth": ["matching"],
    "matching_curves": ["matching"],
    "mutual_information": ["mutual_information", "correlation"],
    "sparse_prediction": ["sparse_prediction"],
    "code_types": ["sparse_prediction"],
    "cluster_subspaces": ["clustering"],
    "subspace_match": ["subspace_match"],
    "subspace_match_sampled": ["subspace_match_sampled"],
    "similarity": ["similarity"],
    "cross_layer": ["cross_layer"],
    "rsa": ["rsa"],
    "activation_spectra": ["statistics"],
}
FIGURES_OF_ONE_PAIR = {
    "correlation_matrices": ["correlation", "matching"],
    "clusters": ["clustering", "correlation"],
    "matched_units": ["matching", "patches"],
    "minimal_match_units": ["subspace_match", "patches"],
}
# What patches are made of: the units that these measures show.
SHOWN_BY = ("matching", "subspace_match")
# Those of a pair that read its moments.
OF_MOMENTS = set(get_args(Measure)) - {"statistics", "subspace_match_sampled", "cross_layer", "rsa"}
# What is made of a snapshot or a pair only where a measure reads it.
READ_BY = {
    "within": OF_MOMENTS | {"statistics"},
    "between": OF_MOMENTS,
    "edges": {"mutual_information"},
    "rdm": {"rsa"},
}
OF_SNAPSHOTS = ("record", "within", "edges", "rdm", "statistics")


def patched(experiment: Experiment) -> list[str]:
    """The measures whose units patches are made of; where there are none, nor are patches."""
    return [measure for measure in SHOWN_BY if experiment.patches.images and measure in experiment.measures]


def figures(experiment: Experiment) -> list[str]:
    """The figures whose measures are all computed."""
    known = FIGURES_OF_ALL_PAIRS | FIGURES_OF_ONE_PAIR
    computed = {*experiment.measures, *(["patches"] if patched(experiment) else [])}
    return [figure for figure, measures in known.items() if set(measures) <= computed]


def made(experiment: Experiment) -> dict[str, int]:
    """Stores of each rule that makes one of a snapshot or a pair, for each network; patches of first pairs alone."""
    stages = len({comparison.stage for comparison in experiment.comparisons})
    snapshots, pairs = stages * len(experiment.seeds), stages * math.comb(len(experiment.seeds), 2)
    read = [rule for rule, readers in READ_BY.items() if readers & set(experiment.measures)]
    first = {"exemplars": 2 * stages, "patches": stages} if patched(experiment) else {}
    return {
        rule: snapshots if rule in OF_SNAPSHOTS else pairs for rule in ("record", *read, *experiment.measures)
    } | first


def results(experiment: Experiment) -> int:
    """Stores of all measures of all networks, which the table gathers."""
    return len(experiment.networks) * sum(made(experiment)[measure] for measure in experiment.measures)


def count(experiment: Experiment, recipes: Mapping[str, Recipe]) -> dict[str, Counter[str]]:
    """Jobs of each rule and network, in the order of the workflow; a probe counts for the first network of its data."""
    stores = made(experiment)
    drawn = len(experiment.comparisons) * len(figures(experiment))
    each = {"inspect": 1, "train": len(experiment.seeds), **stores, **({"figure": drawn} if drawn else {})}
    jobs = {rule: Counter(dict.fromkeys(experiment.networks, number)) for rule, number in each.items()}
    first_of = {recipes[network].data: network for network in reversed(experiment.networks)}
    jobs |= {"probe": Counter(first_of.values()), "summary": Counter([experiment.networks[0]])}
    return {rule: jobs[rule] for rule in ("inspect", "train", "probe", *stores, "summary", "figure") if rule in jobs}
