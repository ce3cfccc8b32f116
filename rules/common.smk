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

import convergent.config
from convergent import experiments
from convergent.errors import InputError
from convergent.files import read_json
from convergent.layers import chosen_layers
from convergent.measure_kinds import OF_ANSWERS
from convergent.plan import jobs, memory, times
from convergent.plan.shapes import network as planned
from convergent.provenance import canonical, code_digest
from convergent.snapshots import network_of

SNAPSHOT = r"[a-z0-9_]+-s\d+-[a-z0-9_]+"


def layers_of(network):
    """The layers of a network, in an order of their own: another order in the configuration makes nothing anew."""
    layers = convergent.config.layers_of(EXPERIMENT.layers, network)
    return layers if layers == "all" else sorted(layers)


def check_known_layers():
    """Where `inspect` has described a network that has not changed since, its layers are checked before any job."""
    for network, recipe in RECIPES.items():
        file = Path("results", "networks", f"{network}.json")
        try:
            graph = read_json(file, "identity")
        except InputError:  # not there yet, or damaged, and then made anew
            continue
        if graph["identity"] == convergent.config.network_identity(recipe, ROOT):
            chosen_layers(network, layers_of(network), list(graph["nodes"]), graph["relu"])


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
    """The recipe of a network, or of that of a pair."""
    network = getattr(wildcards, "network", None) or network_of(wildcards.a)
    return canonical(dataclasses.asdict(RECIPES[network]))


def identity(wildcards):
    return convergent.config.network_identity(RECIPES[wildcards.network], ROOT)


def image_size(wildcards):
    """The option of the step for a folder of images; all networks of an experiment read it at one size."""
    size = next(r.image_size for r in RECIPES.values() if r.data == wildcards.data)
    return "" if size is None else f"--image-size {size}"


def stage_of(snapshot):
    return snapshot.rpartition("-")[2]


def layers(wildcards):
    return json.dumps(layers_of(wildcards.network))


def layers_of_pair(wildcards):
    return json.dumps(layers_of(network_of(wildcards.a)))


def probe_of(wildcard):
    """The probe of the network of a snapshot."""
    return lambda wildcards: f"<results>/probe/{RECIPES[network_of(wildcards[wildcard])].data}.zarr"


def training_of(wildcard):
    """The folder of the training of a snapshot."""
    return lambda wildcards: f"<training>/{wildcards[wildcard].rpartition('-')[0]}"


def untrained_maps(wildcards):
    """The maps to each network of a pair from the other one untrained, where that is another stage that is kept."""
    controls = jobs.controls((wildcards.a, wildcards.b), RECIPES[network_of(wildcards.a)])
    return [f"<results>/maps/{'--'.join(control)}.zarr" for control in controls]


def comparisons():
    return {comparison.name: comparison for comparison in EXPERIMENT.comparisons}


def stores(measure, pairs):
    """The stores of a measure of some pairs, or their patches: of their snapshots for statistics, else of the pairs."""
    if measure == "statistics":
        names = dict.fromkeys(snapshot for pair in pairs for snapshot in pair)
    else:
        names = ["--".join(pair) for pair in pairs]
    folder = "" if measure == "patches" else "measures/"
    return [f"<results>/{folder}{measure}/{name}.zarr" for name in names]


def all_stores():
    return [
        store
        for comparison in EXPERIMENT.comparisons
        for measure in convergent.config.measures_of(EXPERIMENT, comparison)
        for store in stores(measure, convergent.config.pairs(EXPERIMENT, comparison))
    ]


def all_trainings():
    return [f"<training>/{network}-s{seed}" for network in EXPERIMENT.networks for seed in sorted(EXPERIMENT.seeds)]


def all_probes():
    return [f"<results>/probe/{data}.zarr" for data in dict.fromkeys(recipe.data for recipe in RECIPES.values())]


def pairs_of(comparison, networks):
    """The pairs of a comparison that are of one network, or of two different ones."""
    pairs = convergent.config.pairs(EXPERIMENT, comparisons()[comparison])
    return [pair for pair in pairs if network_of("--".join(pair)) == networks]


def shown_by(wildcards):
    """The stores that tell which units of a pair are shown, by the measure."""
    shown = [measure for measure in jobs.SHOWN_BY if measure in EXPERIMENT.measures]
    return {measure: stores(measure, [(wildcards.a, wildcards.b)]) for measure in shown}


def drawn(figure, comparison, networks):
    """The measures that a figure draws, and the pairs of a comparison of which it does."""
    pairs = pairs_of(comparison, networks)
    if figure in jobs.FIGURES_OF_ALL_PAIRS:
        return jobs.FIGURES_OF_ALL_PAIRS[figure], pairs
    return jobs.FIGURES_OF_ONE_PAIR[figure], pairs[:1]


def figure_stores(wildcards):
    if wildcards.figure == jobs.OF_EXPERIMENT:
        measures, pairs = jobs.averaged(EXPERIMENT)
    else:
        measures, pairs = drawn(wildcards.figure, wildcards.comparison, wildcards.networks)
    return [store for measure in measures for store in stores(measure, pairs)]


def figure_untrained(wildcards):
    if wildcards.figure not in jobs.FIGURES_OF_ALL_PAIRS.keys() | jobs.FIRST_UNTRAINED:
        return []
    untrained = comparisons()[wildcards.comparison].untrained
    if untrained is None:
        return []
    measures, pairs = drawn(wildcards.figure, untrained, wildcards.networks)
    return [store for m in measures if m not in OF_ANSWERS for store in stores(m, pairs)]


def figure_inspected(wildcards):
    """The files of `inspect` of the networks of a figure, for its memory."""
    of_all = wildcards.figure == jobs.OF_EXPERIMENT
    networks = EXPERIMENT.networks if of_all else wildcards.networks.split("--")
    return [f"<networks>/{network}.json" for network in networks]


def figures():
    """Every figure whose measures are computed, of every comparison and network, or pair of different ones, or of all."""
    of_all = [f"<results>/figures/{jobs.ALL}/{jobs.ALL}/{jobs.OF_EXPERIMENT}.png"]
    return (of_all if jobs.averaged(EXPERIMENT)[1] else []) + [
        f"<results>/figures/{comparison.name}/{networks}/{figure}.png"
        for comparison in EXPERIMENT.comparisons
        for networks in jobs.networks(EXPERIMENT, comparison)
        for figure in jobs.figures(EXPERIMENT, comparison)
    ]


def comparison_list():
    """What the table is about, as JSON."""
    return canonical(
        [
            {
                "name": name,
                "pairs": convergent.config.pairs(EXPERIMENT, comparison),
                "untrained": comparison.untrained,
                "measures": convergent.config.measures_of(EXPERIMENT, comparison),
                "figures": jobs.figures(EXPERIMENT, comparison),
            }
            for name, comparison in comparisons().items()
        ]
    )


def inspected_of(*names):
    """The files of `inspect` of the networks of some snapshots, for the memory and time of a job."""
    return lambda wildcards: [
        f"<networks>/{network}.json" for network in dict.fromkeys(network_of(wildcards[name]) for name in names)
    ]


# Megabytes of Snakemake itself in a job of a cluster: it runs twice there, as the job's script and as its step.
SNAKEMAKE = 400


def described(input):
    """What the plan knows of the networks of a job by the files of `inspect`, each with its recipe."""
    files = [input.inspected] if isinstance(input.inspected, str) else input.inspected
    graphs = [json.loads(Path(file).read_text()) for file in files]
    return [
        (planned(graph, layers_of(graph["network"]), EXPERIMENT.recording.positions), RECIPES[graph["network"]])
        for graph in graphs
    ]


def on_node(rule, wildcards, threads, **known):
    """Threads of a process and workers of a job on one node, by the engine that its rule, a profile or the user says."""
    given, known = workflow.get_rule(rule).resources, known | {"rulename": rule, "async_run": workflow.async_run}
    engine, tasks, nodes, gpus = (
        given[name].evaluate(wildcards, threads=threads, **known).value if name in given else 1
        for name in ("engine", "tasks", "nodes", "gpu")
    )
    if engine == "local":
        return {"threads": 1, "workers": threads}
    if engine == "cuda" and gpus > 1:
        return {"threads": 1, "workers": gpus}
    return {"threads": threads, "workers": math.ceil(tasks / nodes) if engine == "slurm" else 0}


def peak(rule):
    """Memory in MB as `python -m convergent plan` tells it, a quarter more and Snakemake's; at each attempt so much more.

    On the engines `local`, `slurm` and, of several GPUs, `cuda` that of the workers too. Before the file of `inspect`
    exists, Snakemake asks again later.
    """

    def megabytes(wildcards, input, threads, attempt):
        computing = on_node(rule, wildcards, threads, input=input, attempt=attempt)
        held = max(memory.peak(rule, network, EXPERIMENT, recipe, **computing) for network, recipe in described(input))
        return attempt * (SNAKEMAKE + math.ceil(1.25e-6 * held))

    return megabytes


def minutes(rule):
    """Walltime: four times what the plan tells, an hour at least; at each attempt so much more."""

    def asked(wildcards, input, attempt):
        longest = max(times.seconds(rule, *of_network, EXPERIMENT) for of_network in described(input))
        return attempt * max(60, math.ceil(4 * longest / 60))

    return asked


def minutes_of_training(wildcards, input, attempt):
    """Walltime of a training on a CPU by the plan, within limits; at each attempt so much more."""
    ((network, recipe),) = described(input)
    seconds = times.seconds("train", network, recipe, EXPERIMENT)
    return attempt * times.training_minutes(seconds, recipe.training.threads)


def least(rule):
    """The same of a rule whose jobs read no layer."""
    return lambda wildcards, attempt: attempt * (SNAKEMAKE + math.ceil(1.25e-6 * memory.peak(rule, None, EXPERIMENT)))
