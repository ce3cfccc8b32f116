"""What the rules share: the checked experiment, and functions of its settings. No rules."""

import dataclasses
import json
import math
import os
import shlex
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
    "sparse_prediction": ["sparse_prediction"],
    "activation_spectra": ["statistics"],
}
FIGURES_OF_ONE_PAIR = {
    "correlation_matrices": ["correlation", "matching"],
    "clusters": ["clustering", "correlation"],
}

try:
    EXPERIMENT, RECIPES = experiments.load(config, ROOT)
except InputError as error:
    sys.exit(f"convergent: {error}")


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


def recipe_of_data(wildcards):
    """The part of a recipe that decides on the images, from the first network that is trained on them."""
    found = next(r for r in RECIPES.values() if r.data == wildcards.data)
    return canonical(dataclasses.asdict(found))


def network_of(snapshot):
    return snapshot.split("-s")[0]


def layers(wildcards):
    chosen = EXPERIMENT.layers
    return json.dumps(chosen if chosen == "all" else chosen.get(wildcards.network, "all"))


def data_root():
    """The option of the steps that read images, none where no data set needs a folder."""
    root = os.environ.get("CONVERGENT_DATA")
    return f"--data-root {root}" if root else ""


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


def figure_stores(wildcards):
    comparison = comparisons()[wildcards.comparison]
    pairs = experiments.pairs(EXPERIMENT, comparison)
    if wildcards.figure in FIGURES_OF_ONE_PAIR:
        measures, pairs = FIGURES_OF_ONE_PAIR[wildcards.figure], pairs[:1]
    else:
        measures = FIGURES_OF_ALL_PAIRS[wildcards.figure]
    return [store for measure in measures for store in stores(measure, pairs)]


def figure_untrained(wildcards):
    untrained = comparisons()[wildcards.comparison].untrained
    if untrained is None or wildcards.figure in FIGURES_OF_ONE_PAIR:
        return []
    pairs = experiments.pairs(EXPERIMENT, comparisons()[untrained])
    measures = FIGURES_OF_ALL_PAIRS[wildcards.figure]
    return [store for measure in measures for store in stores(measure, pairs)]


def figures():
    """Every figure whose measures are computed, of every comparison."""
    known = FIGURES_OF_ALL_PAIRS | FIGURES_OF_ONE_PAIR
    return [
        f"<results>/figures/{comparison.name}/{figure}.png"
        for comparison in EXPERIMENT.comparisons
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
    return lambda wildcards: f"<results>/networks/{network_of(wildcards[wildcard])}.json"


def megabytes(input, attempt, of_layer):
    """1 GB for Python and its libraries, and what the largest layer takes; more with every attempt.

    `of_layer` is a function of its units and of the values of one image. Where the file of `inspect` is still to
    be made, Snakemake asks again when it exists.
    """
    shapes = json.loads(Path(input.inspected).read_text())["layers"].values()
    largest = max(of_layer(shape[0], math.prod(shape)) for shape in shapes)
    return attempt * math.ceil(1000 + largest / 1e6)


def recording_memory(wildcards, input, attempt):
    """A shard of each layer is held until it is full, and some copies of a batch in float32."""
    shapes = json.loads(Path(input.inspected).read_text())["layers"].values()
    batch = sum(math.prod(shape) for shape in shapes) * 4 * EXPERIMENT.recording.batch
    return attempt * math.ceil(2000 + 64 * len(shapes) + 3 * batch / 1e6)


def moments_memory(wildcards, input, attempt):
    """Blocks of 8 MB widened to float64, and the comoments of all folds in float64."""
    matrices = EXPERIMENT.probe.folds * (2 + EXPERIMENT.moments.permutations)
    return megabytes(input, attempt, lambda units, values: 8 * units**2 * matrices + 400e6)


def measure_memory(wildcards, input, attempt):
    """About twenty matrices of both networks' units, and the paths of the LASSO in all folds."""
    paths = (EXPERIMENT.probe.folds + 1) * (EXPERIMENT.sparse_prediction.alphas + 7)
    return megabytes(input, attempt, lambda units, values: 8 * units**2 * (80 + paths))
