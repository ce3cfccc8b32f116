"""Peak memory of a job of every rule, from the shapes of the layers: what the code holds at its worst moment.

    peak = what the process holds before any data + the results of all layers + the largest work on one layer

A p × p matrix of float64 is written ``m``. The rules ask for these figures too (`mem_mb`). The Snakefile imports this
module: the standard library only.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from convergent.config import Experiment, Recipe
from convergent.plan import stores
from convergent.plan.shapes import Layer, Network

MB = 10**6
MIB = 2**20
CHUNK = 8 * MIB  # shards.CHUNK_BYTES
PENDING = 8  # recording.PENDING
PANEL = 256 * MIB  # rdms.HELD_BYTES
JOINED = 256 * MIB  # steps._pair.IN_MEMORY
HISTOGRAMS = 512 * MIB  # joint_histograms.MEMORY
COMOMENTS = 64 * MIB  # moments.MEMORY
TILE = 4 * MIB  # tiles.BYTES
SHARD = 64 * MIB  # store.SHARD_BYTES
SAMPLES = 512 * MIB  # samples.MEMORY
KERNEL_IMAGES = 10_000  # cka.KERNEL_IMAGES

# Python with the libraries of the step, before any data, as measured.
BASE = {
    "inspect": 860 * MB,
    "train": 900 * MB,
    "probe": 950 * MB,
    "record": 950 * MB,
    "within": 240 * MB,
    "between": 240 * MB,
    "edges": 240 * MB,
    "rdm": 330 * MB,
    "statistics": 230 * MB,
    "correlation": 230 * MB,
    "mutual_information": 310 * MB,
    "matching": 265 * MB,
    "sparse_prediction": 310 * MB,
    "clustering": 320 * MB,
    "subspace_match": 290 * MB,
    "subspace_match_sampled": 270 * MB,
    "similarity": 265 * MB,
    "cross_layer": 225 * MB,
    "rsa": 260 * MB,
    "summary": 330 * MB,
    "figure": 330 * MB,
}


def peak(
    rule: str, network: Network | None, experiment: Experiment, recipe: Recipe | None = None, threads: int = 1
) -> int:
    """Bytes that a job of a rule holds at most.

    Parameters
    ----------
    rule : its name
    network : that the job reads; None for the rules that read none
    experiment, recipe : with all numbers that enter; the recipe for `train` alone
    threads : of the job
    """
    if network is None or rule not in {*WORK, "record", "train"}:
        return BASE[rule]
    if rule == "record":
        return BASE[rule] + _recording(network, experiment, threads)
    if rule == "train":
        assert recipe is not None
        return BASE[rule] + _training(network, recipe)
    results = stores.written(rule, network.layers, experiment, "")
    return BASE[rule] + results + math.ceil(WORK[rule](network.layers, experiment, threads))


def _m(layer: Layer) -> int:
    return 8 * layer.units**2


def _chunk(layer: Layer, experiment: Experiment) -> int:
    """Values of a chunk of activations: at least two images, at most a fold."""
    image = layer.positions * layer.units
    fold = experiment.probe.images // experiment.probe.folds * image
    return min(max(CHUNK // _itemsize(experiment), 2 * image), fold)


def _joined(layer: Layer, experiment: Experiment) -> int:
    """The moments of all folds; where they are large, a step reads those of one fold at a time."""
    fold = (3 + experiment.moments.permutations) * _m(layer)
    whole = experiment.probe.folds * fold
    return whole if whole <= JOINED else fold


def _recording(network: Network, experiment: Experiment, threads: int) -> int:
    """On each core a batch: its layers, three nodes on the way; batches that are converted, chunks, those that wait."""
    of_batch = 4 * experiment.recording.batch * (network.outputs + 3 * network.largest)
    chunks = [_chunk(layer, experiment) * _itemsize(experiment) for layer in network.layers]
    images = experiment.probe.images // experiment.probe.folds
    pooled = [min(CHUNK, 4 * images * layer.units) for layer in network.layers]
    converted = experiment.recording.batch * _itemsize(experiment) * network.outputs
    return threads * of_batch + (threads + 2) * converted + sum(chunks) + sum(pooled) + (PENDING + 2) * max(chunks)


def _training(network: Network, recipe: Recipe) -> int:
    """Weights, gradients, momentum, copies for a checkpoint; all nodes of a batch, forward and back; the images."""
    images = {"cifar10": 3 * 60_000 * 3072}.get(recipe.data, 0)  # read, transposed, and as a tensor
    return 4 * (6 * network.parameters + 2 * recipe.training.batch_size * network.values) + images


def _itemsize(experiment: Experiment) -> int:
    return {"float16": 2, "float32": 4}[experiment.recording.dtype]


def _moments(layers: Sequence[Layer], experiment: Experiment, threads: int, sides: int, sets: int) -> float:
    """The comoments of a layer while they are stacked, a shard of them three times while it is written; in each thread
    a chunk of each side in four copies, a tile of each, and the block of comoments that a task adds up.
    """
    folds = experiment.probe.folds
    return max(
        folds * sets * _m(v)
        + 3 * min(SHARD, folds * _m(v))
        + threads * (sides * (4 * _itemsize(experiment) * _chunk(v, experiment) + TILE) + min(COMOMENTS, sets * _m(v)))
        for v in layers
    )


def _within(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """As `_moments`, of one side and as the images are."""
    return _moments(layers, experiment, threads, 1, 1)


def _between(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """As `_moments`, of two sides, and again for each replicate."""
    return _moments(layers, experiment, threads, 2, 1 + experiment.moments.permutations)


def _edges(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The samples of all units as they are stored, and a copy while they are put together."""
    itemsize = _itemsize(experiment)
    most = experiment.mutual_information.samples
    return max(
        2 * itemsize * v.units * v.positions * min(experiment.probe.images, max(most // v.positions, 1)) for v in layers
    )


def _rdm(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """A panel of images in float64: as read, from the first image, and scaled, with a copy; four image × image."""
    images = min(experiment.rsa.images, experiment.probe.images)
    panel = max(min(PANEL, 8 * images * v.positions * v.units) for v in layers)
    return 4 * panel + 4 * 8 * images**2


def _statistics(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """Of each value of a chunk float32, the parts of frexp and three integers; the moments of all folds."""
    return max(threads * 36 * _chunk(v, experiment) + (experiment.probe.folds + 4) * _m(v) for v in layers)


def _correlation(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The moments, of the whole, without a fold, of the fold and permuted; a jackknife."""
    return max(_joined(v, experiment) + (17 + 3 * experiment.moments.permutations) * _m(v) for v in layers)


def _mutual_information(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """Joint histograms of a block of units; what is known of each set of samples, twice; the moments."""
    folds, replicates = experiment.probe.folds, experiment.moments.permutations
    cells = 4 * (experiment.mutual_information.bins + 1) ** 2
    sets = 1 + folds + replicates
    return max(
        min(HISTOGRAMS, v.units**2 * cells * ((folds + 1) * (replicates + 1) + 1))
        + 2 * 20 * sets * v.units**2
        + threads * 24 * _chunk(v, experiment)
        + _joined(v, experiment)
        for v in layers
    )


def _matching(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The moments, and the rotated correlations or the spatial means in eight copies."""
    return max(
        _joined(v, experiment)
        + max(
            (experiment.matching.rotations + experiment.moments.permutations + 14) * _m(v),
            10 * _m(v) + 8 * 8 * v.units * experiment.probe.images,
        )
        for v in layers
    )


def _sparse_prediction(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The moments of all folds and of all but one; paths [alpha, target, predictor] in eight copies."""
    alphas = experiment.sparse_prediction.alphas + 1 + stores.LAMBDAS
    return max(_joined(v, experiment) + (8 * experiment.probe.folds + 8 * alphas) * _m(v) for v in layers)


def _clustering(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The moments of all folds and of all but one, and eight matrices of the units of both networks."""
    return max(_joined(v, experiment) + (8 * experiment.probe.folds + 8 * 4) * _m(v) for v in layers)


def _subspace_match(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The moments, and eight matrices of the units of both networks."""
    return max(_joined(v, experiment) + 8 * 4 * _m(v) for v in layers)


def _subspace_match_sampled(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The samples of some draws, once more while they are put together; nine matrices of the units of both networks."""
    settings, work = experiment.subspace_match_sampled, []
    for v in layers:
        row = 2 * v.units * _itemsize(experiment)
        samples = experiment.probe.images * v.positions
        count = min(settings.positions, samples)
        together = settings.draws if samples * row <= SAMPLES else max(SAMPLES // (count * row), 1)
        # What several draws take is read once.
        taken = samples * (1 - (1 - count / samples) ** min(together, settings.draws))
        work.append(2 * taken * row + 9 * 4 * _m(v))
    return max(work)


def _similarity(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The moments, and the axes of both sides; or the spatial means in six copies and two kernels of images."""
    images = experiment.probe.images
    kernels = 2 * 8 * images**2 if images <= KERNEL_IMAGES else 0
    return max(_joined(v, experiment) + max(24 * _m(v), 3 * _m(v) + 6 * 8 * v.units * images + kernels) for v in layers)


def _cross_layer(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The spatial means of all layers of a network in float64, and of one of the other in five copies."""
    images = experiment.probe.images
    return 8 * images * (sum(v.units for v in layers) + 5 * max(v.units for v in layers)) + 4 * max(map(_m, layers))


def _rsa(layers: Sequence[Layer], experiment: Experiment, threads: int) -> float:
    """The dissimilarities of all layers as they were read, and 18 matrices of one: values, ranks, forms, and sorted."""
    images = min(experiment.rsa.images, experiment.probe.images)
    return (18 * 8 + 4 * 4 * len(layers)) * images**2


Work = Callable[[Sequence[Layer], Experiment, int], float]
WORK: Mapping[str, Work] = {
    "within": _within,
    "between": _between,
    "edges": _edges,
    "rdm": _rdm,
    "statistics": _statistics,
    "correlation": _correlation,
    "mutual_information": _mutual_information,
    "matching": _matching,
    "sparse_prediction": _sparse_prediction,
    "clustering": _clustering,
    "subspace_match": _subspace_match,
    "subspace_match_sampled": _subspace_match_sampled,
    "similarity": _similarity,
    "cross_layer": _cross_layer,
    "rsa": _rsa,
}
