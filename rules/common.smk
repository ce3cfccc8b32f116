"""What the rules share: the checked experiment, and functions of its settings. No rules."""

import dataclasses
import json
import math
import os
import shlex
import shutil
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
# Every job runs the package of this folder, whatever else is installed, so that the digests of the code tell the
# truth; and the Python that runs Snakemake, unless a conda environment of `--sdm conda` puts its own before it.
sys.path.insert(0, str(ROOT / "src"))
shell.prefix(f"export PYTHONPATH={shlex.quote(str(ROOT / 'src'))}; ")
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

from convergent import config as experiments
from convergent.errors import InputError
from convergent.provenance import canonical, code_digest

SNAPSHOT = r"[a-z0-9_]+-s\d+-[a-z0-9_]+"
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
}


def layers_of(network):
    return EXPERIMENT.layers if EXPERIMENT.layers == "all" else EXPERIMENT.layers.get(network, "all")


def check_known_layers():
    """Where `inspect` has described a network that has not changed since, its layers are checked before any job."""
    for network, recipe in RECIPES.items():
        file = Path("results", "networks", f"{network}.json")
        graph = json.loads(file.read_text()) if file.is_file() else {"identity": None}
        if graph["identity"] == experiments.network_identity(recipe, ROOT):
            experiments.check_layers(network, layers_of(network), list(graph["nodes"]), graph["relu"])


try:
    EXPERIMENT, RECIPES = experiments.load(config, ROOT)
    check_known_layers()
except InputError as error:
    sys.exit(f"convergent: {error}")


# The layers to check in `inspect`.
LAYERS = canonical(EXPERIMENT.layers)
# What a training or recording takes of the `gpu` of a profile: nothing on a machine without one, where they share the
# cores instead. A cluster's profile sets it, for a login node has no GPU.
GPU = int(shutil.which("nvidia-smi") is not None)


def results_folder():
    return f"results/{EXPERIMENT.name}" if EXPERIMENT.name else "results"


def reading():
    """The front page of the report, absolute because Snakemake takes it as relative to the Snakefile."""
    return str(Path(results_folder(), "tables", "reading.rst").absolute())


def settings(section):
    """A section of the configuration as canonical JSON: equal settings, equal text."""
    return canonical(dataclasses.asdict(getattr(EXPERIMENT, section)))


def recipe(wildcards):
    return canonical(dataclasses.asdict(RECIPES[wildcards.network]))


def identity(wildcards):
    return experiments.network_identity(RECIPES[wildcards.network], ROOT)


def image_size(wildcards):
    """The option of the step for a folder of images; all networks of an experiment read it at one size."""
    size = next(r.image_size for r in RECIPES.values() if r.data == wildcards.data)
    return "" if size is None else f"--image-size {size}"


def network_of(snapshot):
    return snapshot.split("-s")[0]


def layers(wildcards):
    return json.dumps(layers_of(wildcards.network))


def comparisons():
    return {comparison.name: comparison for comparison in EXPERIMENT.comparisons}


def stores(measure, pairs):
    """The stores of a measure of some pairs: of their snapshots for statistics, of the pairs for the others."""
    if measure == "statistics":
        names = dict.fromkeys(snapshot for pair in pairs for snapshot in pair)
    else:
        names = ["--".join(pair) for pair in pairs]
    return [f"<results>/measures/{measure}/{name}.zarr" for name in names]


def all_stores():
    return [
        store
        for comparison in EXPERIMENT.comparisons
        for measure in EXPERIMENT.measures
        for store in stores(measure, experiments.pairs(EXPERIMENT, comparison))
    ]


def pairs_of(comparison, network):
    """The pairs of a comparison that are of one network."""
    pairs = experiments.pairs(EXPERIMENT, comparisons()[comparison])
    return [pair for pair in pairs if network_of(pair[0]) == network]


def figure_stores(wildcards):
    pairs = pairs_of(wildcards.comparison, wildcards.network)
    if wildcards.figure in FIGURES_OF_ONE_PAIR:
        measures, pairs = FIGURES_OF_ONE_PAIR[wildcards.figure], pairs[:1]
    else:
        measures = FIGURES_OF_ALL_PAIRS[wildcards.figure]
    return [store for measure in measures for store in stores(measure, pairs)]


def figure_untrained(wildcards):
    untrained = comparisons()[wildcards.comparison].untrained
    if untrained is None or wildcards.figure in FIGURES_OF_ONE_PAIR:
        return []
    measures = FIGURES_OF_ALL_PAIRS[wildcards.figure]
    return [store for measure in measures for store in stores(measure, pairs_of(untrained, wildcards.network))]


def figures():
    """Every figure whose measures are computed, of every comparison and network."""
    known = FIGURES_OF_ALL_PAIRS | FIGURES_OF_ONE_PAIR
    return [
        f"<results>/figures/{comparison.name}/{network}/{figure}.png"
        for comparison in EXPERIMENT.comparisons
        for network in EXPERIMENT.networks
        for figure, measures in known.items()
        if set(measures) <= set(EXPERIMENT.measures)
    ]


def comparison_list():
    """What the table is about, as JSON."""
    pairs = {name: experiments.pairs(EXPERIMENT, comparison) for name, comparison in comparisons().items()}
    return canonical(
        [
            {
                "name": name,
                "pairs": pairs[name],
                "untrained": pairs.get(comparison.untrained),
            }
            for name, comparison in comparisons().items()
        ]
    )


def inspected_of(wildcard):
    """The file of `inspect` of the network of a snapshot, for the memory of a job."""
    return lambda wildcards: f"<networks>/{network_of(wildcards[wildcard])}.json"


def shapes(input):
    """Units, y and x of each recorded layer; before the file of `inspect` exists, Snakemake asks again later."""
    graph = json.loads(Path(input.inspected).read_text())
    chosen = layers_of(graph["network"])
    return [graph["nodes"][layer] for layer in (graph["relu"] if chosen == "all" else chosen)]


def megabytes(input, attempt, matrices, more=0):
    """1 GB for Python and its libraries, some float64 matrices of the units of all layers, and more; attempt by attempt."""
    squares = sum(shape[0] ** 2 for shape in shapes(input))
    return attempt * math.ceil(1000 + more + 8 * squares * matrices / 1e6)


def recording_memory(wildcards, input, attempt):
    """A shard of each layer is held until it is full, and some copies of a batch in float32."""
    batch = sum(math.prod(shape) for shape in shapes(input)) * 4 * EXPERIMENT.recording.batch
    return attempt * math.ceil(2000 + 64 * len(shapes(input)) + 3 * batch / 1e6)


def moments_memory(wildcards, input, attempt):
    """Blocks of 8 MB widened to float64, and the comoments of all folds and layers in float64."""
    return megabytes(input, attempt, EXPERIMENT.probe.folds * (2 + EXPERIMENT.moments.permutations), more=400)


def measure_memory(wildcards, input, attempt):
    """The moments of all folds and of all but one, the results of all layers, and some paths of the LASSO."""
    return megabytes(input, attempt, 12 * EXPERIMENT.probe.folds + 4 * (EXPERIMENT.sparse_prediction.alphas + 7))


def joint_histogram_memory(wildcards, input, attempt):
    """Joint histograms of one block of units, in two copies while they are added."""
    sets = 1 + EXPERIMENT.probe.folds + EXPERIMENT.moments.permutations
    return megabytes(input, attempt, 60 + 5 * sets, more=1500)


def sampling_memory(wildcards, input, attempt):
    """The Gram matrices of all draws, in two copies while they are added."""
    return megabytes(input, attempt, 8 * EXPERIMENT.subspace_match_sampled.draws, more=400)


def cross_layer_memory(wildcards, input, attempt):
    """The spatial means of all layers of both networks in float64, and some copies of a layer."""
    values = sum(shape[0] for shape in shapes(input)) * EXPERIMENT.probe.images
    return attempt * math.ceil(1000 + 4 * 8 * values / 1e6)


def rdm_memory(wildcards, input, attempt):
    """Two kinds of dissimilarities of all layers in float64, and some copies of one."""
    entries = min(EXPERIMENT.rsa.images, EXPERIMENT.probe.images) ** 2
    return attempt * math.ceil(1500 + 8 * entries * (4 * len(shapes(input)) + 12) / 1e6)


def matching_memory(wildcards, input, attempt):
    """Moments as in other measures, and the spatial means of a layer in some copies."""
    rows = 6 * max(shape[0] for shape in shapes(input)) * EXPERIMENT.probe.images
    return measure_memory(wildcards, input, attempt) + attempt * math.ceil(8 * rows / 1e6)


def similarity_memory(wildcards, input, attempt):
    """The same, and the kernels of at most 10 000 images."""
    kernels = 2 * min(EXPERIMENT.probe.images, 10_000) ** 2
    return matching_memory(wildcards, input, attempt) + attempt * math.ceil(8 * kernels / 1e6)


def edges_memory(wildcards, input, attempt):
    """The samples of a layer, in two copies."""
    most = max(shape[0] for shape in shapes(input)) * EXPERIMENT.mutual_information.samples
    return attempt * math.ceil(1000 + 2 * 8 * most / 1e6)
