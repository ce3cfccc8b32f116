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
    "stitching": ["stitching"],
    "unit_removal": ["unit_removal"],
    "ensemble": ["ensemble", "matching"],
}
FIGURES_OF_ONE_PAIR = {
    "correlation_matrices": ["correlation", "matching"],
    "clusters": ["clustering", "correlation"],
}
# Those of a pair that read its moments.
OF_MOMENTS = set(get_args(Measure)) - {
    "statistics",
    "subspace_match_sampled",
    "cross_layer",
    "rsa",
    "unit_removal",
    "ensemble",
}
# What is made of a snapshot or a pair only where a measure reads it.
READ_BY = {
    "within": OF_MOMENTS | {"statistics", "unit_removal"},
    "between": OF_MOMENTS,
    "edges": {"mutual_information"},
    "rdm": {"rsa"},
    "predictions": {"ensemble"},
    "maps": {"stitching"},
}
OF_SNAPSHOTS = ("record", "within", "edges", "rdm", "statistics", "predictions")


def figures(experiment: Experiment) -> list[str]:
    """The figures whose measures are all computed."""
    known = FIGURES_OF_ALL_PAIRS | FIGURES_OF_ONE_PAIR
    return [figure for figure, measures in known.items() if set(measures) <= set(experiment.measures)]


def has_control(recipe: Recipe, stage: str) -> bool:
    """Whether stitching at a stage has untrained networks to compare with: the recipe keeps another stage, init."""
    return stage != "init" and "init" in recipe.stages


def made(experiment: Experiment, recipe: Recipe) -> dict[str, int]:
    """Stores of each rule that makes one of a snapshot or a pair, for a network of a recipe."""
    stages = {comparison.stage for comparison in experiment.comparisons}
    read = [rule for rule, readers in READ_BY.items() if readers & set(experiment.measures)]
    found = {rule: len(stages) * _each(rule, experiment) for rule in ("record", *read, *experiment.measures)}
    controlled = [stage for stage in stages if has_control(recipe, stage)] if "stitching" in experiment.measures else []
    if controlled:
        # Each network of a pair untrained beside the other as it is.
        for rule in ("between", "maps"):
            found[rule] += len(controlled) * 2 * _each(rule, experiment)
        if "init" not in stages:
            for rule in ("record", "within"):
                found[rule] += _each(rule, experiment)
    return found


def results(experiment: Experiment) -> int:
    """Stores of all measures of all networks, which the table gathers."""
    stages = len({comparison.stage for comparison in experiment.comparisons})
    return len(experiment.networks) * stages * sum(_each(measure, experiment) for measure in experiment.measures)


def count(experiment: Experiment, recipes: Mapping[str, Recipe]) -> dict[str, Counter[str]]:
    """Jobs of each rule and network, in the order of the workflow; a probe counts for the first network of its data."""
    drawn = len(experiment.comparisons) * len(figures(experiment))
    each = {
        network: {"inspect": 1, "train": len(experiment.seeds), **made(experiment, recipes[network])}
        | ({"figure": drawn} if drawn else {})
        for network in experiment.networks
    }
    stores = made(experiment, recipes[experiment.networks[0]])
    jobs = {rule: Counter({network: of[rule] for network, of in each.items()}) for rule in each[experiment.networks[0]]}
    first_of = {recipes[network].data: network for network in reversed(experiment.networks)}
    jobs |= {"probe": Counter(first_of.values()), "summary": Counter([experiment.networks[0]])}
    return {rule: jobs[rule] for rule in ("inspect", "train", "probe", *stores, "summary", "figure") if rule in jobs}


def _each(rule: str, experiment: Experiment) -> int:
    """Stores of a rule for one network and stage."""
    seeds = len(experiment.seeds)
    return seeds if rule in OF_SNAPSHOTS else math.comb(seeds, 2)
