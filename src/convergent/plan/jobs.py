"""How many jobs each rule has, as `snakemake -n` counts them in a fresh folder.

A snapshot is a network, seed and stage; a pair is two snapshots. Each is made once, whatever number of comparisons and
measures read it. The Snakefile imports this module: no scientific library.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import get_args

from convergent.config import Comparison, Experiment, Measure, Recipe, measures_of, pairs
from convergent.measure_kinds import ALIKE
from convergent.snapshots import network_of

# The figures and the measures each draws: of all pairs beside their untrained null, or of the first pair.
FIGURES_OF_ALL_PAIRS = {
    "matching_by_depth": ["matching"],
    "matching_curves": ["matching"],
    "mutual_information": ["mutual_information", "correlation"],
    "sparse_prediction": ["sparse_prediction"],
    "code_types": ["sparse_prediction"],
    "cluster_subspaces": ["clustering"],
    "subspace_match": ["subspace_match"],
    "subspace_match_by_depth": ["subspace_match"],
    "subspace_match_sampled": ["subspace_match_sampled"],
    "similarity": ["similarity"],
    "cross_layer": ["cross_layer"],
    "layer_pairs": ["layer_pairs"],
    "rsa": ["rsa"],
    "activation_spectra": ["statistics"],
    "stitching": ["stitching"],
    "unit_removal": ["unit_removal"],
}
FIGURES_OF_ONE_PAIR = {
    "correlation_matrices": ["correlation", "matching"],
    "mapping_weights": ["sparse_prediction", "matching"],
    "clusters": ["clustering", "correlation"],
    "matched_units": ["matching", "patches"],
    "minimal_match_units": ["subspace_match", "patches"],
}
# Of these the ones that show the first pair of the untrained null as well.
FIRST_UNTRAINED = {"mapping_weights"}
# Drawn once, of the pairs of all comparisons; it stands in the folder of the comparison and network `ALL`.
OF_EXPERIMENT, ALL = "ensemble", "all"
# What patches are made of: the units that these measures show.
SHOWN_BY = ("matching", "subspace_match")
# Those of a pair that read its moments.
OF_MOMENTS = set(get_args(Measure)) - {
    "statistics",
    "subspace_match_sampled",
    "cross_layer",
    "layer_pairs",
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
OF_SNAPSHOTS = ("record", "within", "edges", "rdm", "statistics", "predictions", "exemplars")


def patched(experiment: Experiment, comparison: Comparison) -> list[str]:
    """The measures whose units patches are made of; where there are none, nor are patches."""
    measures = measures_of(experiment, comparison) if experiment.patches.images else []
    return [measure for measure in SHOWN_BY if measure in measures]


def figures(experiment: Experiment, comparison: Comparison) -> list[str]:
    """The figures of a comparison: those whose measures are all computed."""
    computed = {*measures_of(experiment, comparison), *(["patches"] if patched(experiment, comparison) else [])}
    known = FIGURES_OF_ALL_PAIRS | FIGURES_OF_ONE_PAIR
    if comparison.pairs == "networks":
        del known["activation_spectra"]  # of networks with the same layers
    return [figure for figure, needed in known.items() if set(needed) <= computed]


def averaged(experiment: Experiment) -> tuple[list[str], list[tuple[str, str]]]:
    """What the figure of all ensembles reads: measures, and the pairs that have them, each once; none: no figure."""
    alike = next((measure for measure in ALIKE if measure in experiment.measures), ALIKE[0])
    needed = ["ensemble", alike]
    of = [one for one in experiment.comparisons if set(needed) <= set(measures_of(experiment, one))]
    return needed, list(dict.fromkeys(pair for one in of for pair in pairs(experiment, one)))


def networks(experiment: Experiment, comparison: Comparison) -> list[str]:
    """The networks of a comparison, or pairs ``{a}--{b}`` of different ones; each has its figures."""
    return list(dict.fromkeys(network_of("--".join(pair)) for pair in pairs(experiment, comparison)))


def untrained(snapshot: str) -> str:
    """The same network and seed before training."""
    return f"{snapshot.rpartition('-')[0]}-init"


def controls(pair: tuple[str, str], recipe: Recipe) -> list[tuple[str, str]]:
    """Each network of a pair untrained beside the other as it is, for stitching; none where no init is kept."""
    a, b = pair
    if a == untrained(a) or "init" not in recipe.stages:
        return []
    return [(untrained(sender), receiver) for sender, receiver in ((a, b), (b, a))]


def made(experiment: Experiment, recipes: Mapping[str, Recipe]) -> dict[str, Counter[str]]:
    """Stores of each rule that makes one of a snapshot or a pair, for each network or ``{a}--{b}`` of different ones.

    Patches are of the first pair of a comparison and network alone.
    """
    needed: dict[str, set[tuple[str, ...]]] = {"record": set()}

    def need(rules: Iterable[str], pair: tuple[str, str]) -> None:
        for rule in rules:
            names = [(snapshot,) for snapshot in pair] if rule in OF_SNAPSHOTS else [pair]
            needed.setdefault(rule, set()).update(names)

    for comparison in experiment.comparisons:
        measures = measures_of(experiment, comparison)
        read = [rule for rule, readers in READ_BY.items() if readers & set(measures)]
        first = {network_of("--".join(pair)): pair for pair in reversed(pairs(experiment, comparison))}
        for pair in first.values() if patched(experiment, comparison) else ():
            need(("exemplars", "patches"), pair)
        for pair in pairs(experiment, comparison):
            need(("record", *read, *measures), pair)
            for control in controls(pair, recipes[network_of(pair[0])]) if "stitching" in measures else ():
                need(("record", "within", "between", "maps"), control)
    order = ("record", *READ_BY, *experiment.measures, "exemplars", "patches")
    return {rule: Counter(network_of("--".join(names)) for names in needed[rule]) for rule in order if rule in needed}


def drawn(experiment: Experiment) -> int:
    """Stores of a measure that a figure opens at most: of the pairs of a comparison and network, and of its untrained,
    or of all ensembles.
    """
    of_names = {
        comparison.name: Counter(network_of("--".join(pair)) for pair in pairs(experiment, comparison))
        for comparison in experiment.comparisons
    }
    nothing: Counter[str] = Counter()
    of_figures = (
        number + of_names.get(comparison.untrained or "", nothing)[name]
        for comparison in experiment.comparisons
        for name, number in of_names[comparison.name].items()
    )
    return max(*of_figures, len(averaged(experiment)[1]))


def results(experiment: Experiment) -> int:
    """Stores of all measures of all networks, which the table gathers."""
    of_measures = {
        (measure, names)
        for comparison in experiment.comparisons
        for measure in measures_of(experiment, comparison)
        for pair in pairs(experiment, comparison)
        for names in (pair if measure in OF_SNAPSHOTS else [pair])
    }
    return len(of_measures)


def count(experiment: Experiment, recipes: Mapping[str, Recipe]) -> dict[str, Counter[str]]:
    """Jobs of each rule and network, or ``{a}--{b}`` of different ones, in the order of the workflow.

    A probe counts for the first network of its data, the summary for all networks together.
    """
    each = Counter(experiment.networks)
    first_of = {recipes[network].data: network for network in reversed(experiment.networks)}
    jobs = {
        "inspect": each,
        "train": Counter({network: len(experiment.seeds) for network in each}),
        "probe": Counter(first_of.values()),
        **made(experiment, recipes),
        "summary": Counter(["--".join(experiment.networks)]),
    }
    figured: Counter[str] = Counter()
    for comparison in experiment.comparisons:
        for network in networks(experiment, comparison):
            figured[network] += len(figures(experiment, comparison))
    figured[experiment.networks[0]] += bool(averaged(experiment)[1])
    return jobs | ({"figure": figured} if figured.total() else {})
