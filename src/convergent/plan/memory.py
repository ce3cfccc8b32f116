"""Peak memory of a job of every rule, from the shapes of the layers: what the code holds at its worst moment.

    peak = what the process holds before any data + the largest work on one layer (+ the results of all, where they are
    written together)

Copies are counted in the code and set right by what was measured (docs/measured/memory.csv). A p × p matrix of float64
is written ``m``. The rules ask for these figures too (`mem_mb`). The Snakefile imports this module: no
scientific library.
"""

import math
from collections.abc import Callable, Mapping

from convergent import layout
from convergent.config import Experiment, Recipe
from convergent.datasets import NAMED
from convergent.plan import jobs, stores
from convergent.plan.shapes import Layer, Network

MB = 10**6
MIB = 2**20
PENDING = 8  # recording.PENDING
ATTRIBUTED = 16  # patches.BATCH
PANEL = 256 * MIB  # rdms.HELD_BYTES
JOINED = 256 * MIB  # steps._pair.IN_MEMORY
SPLIT = 64 * MIB  # held_out.IN_MEMORY
HISTOGRAMS = 512 * MIB  # joint_histograms.MEMORY
COMOMENTS = 64 * MIB  # moments.MEMORY / moments.STATES
HELD = 64 * MIB  # moments.HELD
TILE = 4 * MIB  # tiles.BYTES
SHARD = 64 * MIB  # store.SHARD_BYTES
SAMPLES = 512 * MIB  # samples.MEMORY
KERNEL_IMAGES = 10_000  # cka.KERNEL_IMAGES
PICKED = 64  # cka.PICKED
ROW_BLOCK, ROW_TILE = 2048, 64 * MIB  # row_blocks.IMAGES, row_blocks.TILE_BYTES
TARGETS = 128  # sparse_prediction.TARGETS
PATHS = 128 * MIB  # sparse_prediction.PATH_BYTES
WIDEST_REPEATED = 1024  # sparse_prediction.WIDEST_REPEATED
FEW = 5  # code_types.MOST
OCTAVES = 2**17  # histograms.PART
ROW = 700  # bytes of a row of the table while it is made
PANELS = 7 * MB  # of a layer of a figure
DRAWN = 216  # mosaic.MOST
OPENED = 280_000  # bytes of a layer of a store that a figure draws: what is open of it, and its lines
READ = 2.5  # bytes for each byte that zarr reads or writes: shards, chunks, and what malloc keeps of them
APART = {"rdm"}  # rules whose workers each hold what threads share: the panel

Work = Callable[[Network, Experiment, Recipe | None, int], float]


def peak(
    rule: str,
    network: Network | None,
    experiment: Experiment,
    recipe: Recipe | None = None,
    threads: int = 1,
    workers: int = 0,
) -> int:
    """Bytes that a job of a rule holds at most, all its processes on a node together.

    Parameters
    ----------
    rule : its name
    network : that the job reads; None for the rules that read none
    experiment, recipe : with all numbers that enter; the recipe where its images or classes do
    threads : of the job, or of each worker
    workers : processes that compute for that of the step, on the engines ``local``, ``slurm`` and, of several GPUs,
        ``cuda``; 0: it computes itself
    """
    base, work = RULES[rule]
    if network is None:
        return base
    if rule in APART and workers:
        held = workers * work(network, experiment, recipe, threads)
    else:
        held = work(network, experiment, recipe, threads * max(workers, 1))
    return base * (1 + workers) + math.ceil(held)


def draws_together(layer: Layer, experiment: Experiment) -> int:
    """Draws of `samples.between` that share a pass over the activations of both sides, at most all."""
    settings, row = experiment.subspace_match_sampled, 2 * layer.units * _itemsize(experiment)
    samples = experiment.probe.images * layer.positions
    if samples * row <= SAMPLES:
        return settings.draws
    return min(max(SAMPLES // (min(settings.positions, samples) * row), 1), settings.draws)


def _m(layer: Layer) -> int:
    return 8 * layer.units**2


def _itemsize(experiment: Experiment) -> int:
    return {"float16": 2, "float32": 4}[experiment.recording.dtype]


def _chunk_images(layer: Layer, experiment: Experiment) -> int:
    probe, image = experiment.probe, layer.positions * layer.units * _itemsize(experiment)
    return layout.sizes(probe.images, probe.images // probe.folds, image)[0]


def _chunk(layer: Layer, experiment: Experiment) -> int:
    """Bytes of a chunk of activations; of one that is compressed, with what it is unpacked from."""
    size = _chunk_images(layer, experiment) * layer.positions * layer.units * _itemsize(experiment)
    return size if experiment.recording.codec == "crc32c" else 2 * size


def _joined(layer: Layer, experiment: Experiment) -> float:
    """The moments of a pair while they are read: of all folds; where they are large, of one fold at a time."""
    fold = (3 + experiment.moments.permutations) * _m(layer)
    whole = experiment.probe.folds * fold
    return READ * (whole if whole < JOINED else fold)


def _nothing(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    return 0.0


def _training(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """Weights, gradients, momentum, copies for a checkpoint; all nodes of a batch; the images while they are read."""
    assert recipe is not None
    known = NAMED.get(recipe.data)
    images = 1.25 * (known.training + known.held_out) * math.prod(known.shape) if known and known.shape else 0
    return 4 * (6 * network.parameters + recipe.training.batch_size * network.values) + images


def _recording(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """On each core a batch: its layers, three nodes on the way; batches that are converted, chunks, those that wait."""
    itemsize, images = _itemsize(experiment), experiment.probe.images // experiment.probe.folds
    of_batch = 4 * experiment.recording.batch * (network.outputs + 3 * network.largest)
    image = [layer.positions * layer.units * itemsize for layer in network.layers]
    chunks = [_chunk_images(v, experiment) * size for v, size in zip(network.layers, image, strict=True)]
    pooled = [min(layout.CHUNK_BYTES, 4 * images * layer.units) for layer in network.layers]
    converted = experiment.recording.batch * itemsize * network.outputs
    return threads * of_batch + (threads + 2) * converted + sum(chunks) + sum(pooled) + (PENDING + 2) * max(chunks)


def _patches(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """All nodes of a batch and their gradients, weights of both networks, the patches of a layer in two copies."""
    assert recipe is not None
    of_layer = max(stores.patches([layer], experiment, recipe) for layer in network.layers)
    return 4 * (3 * network.parameters + 2 * ATTRIBUTED * network.values) + 2 * of_layer


def _cross_layer(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """Comoments of a tile of units in every fold, and blocks of the spatial means of these units in six copies."""
    parts = experiment.probe.folds + 4
    units = min(sum(layer.units for layer in network.layers), math.isqrt(ROW_TILE // (8 * parts)))
    return 8 * units * (parts * units + 6 * min(ROW_BLOCK, experiment.probe.images))


def _layer_pairs(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """Of the largest layer: in each thread two chunks, pooled in float32, and tiles; all moments; 20 matrices."""
    moments = (3 + experiment.moments.permutations) * experiment.probe.folds
    return max(threads * 2 * (3 * _chunk(v, experiment) + TILE) + (moments + 20) * _m(v) for v in network.layers)


def _rsa(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """20 matrices of one layer: values as they were read, ranks, forms, and sorted."""
    return 20 * 8 * min(experiment.rsa.images, experiment.probe.images) ** 2


def _one_by_one(work: Callable[[Layer, Experiment, int], float]) -> Work:
    """Of a rule whose results are written layer by layer."""
    return lambda network, experiment, recipe, threads: max(work(v, experiment, threads) for v in network.layers)


def _together(rule: str, work: Callable[[Layer, Experiment, int], float]) -> Work:
    """Of a rule that holds the results of all layers until they are written."""
    largest = _one_by_one(work)
    return lambda network, experiment, recipe, threads: (
        stores.written(rule, network.layers, experiment, "") + largest(network, experiment, recipe, threads)
    )


def _moments(layer: Layer, experiment: Experiment, threads: int, sides: int, permutations: int) -> float:
    """In each thread a chunk and a tile of each side and the block of comoments that a task adds up; the comoments of
    all folds and, in whole chunks, those that are written; or, of layers that stream into their store, a shard in each
    thread.
    """
    m, sets, folds = _m(layer), 1 + permutations, experiment.probe.folds
    tasks = threads * (sides * (_chunk(layer, experiment) + TILE) + min(COMOMENTS, sets * m))
    chunk = min(layer.units, stores.BLOCK)
    padded = 8 * (chunk * math.ceil(layer.units / chunk)) ** 2
    if folds * sets * m > HELD:
        written = min(threads * SHARD, folds * sets * padded)
        return tasks + max(min(folds, SHARD // padded), 1) * sets * m + READ * written
    return tasks + folds * sets * m + READ * folds * max(permutations, 1) * padded


def _within(layer: Layer, experiment: Experiment, threads: int) -> float:
    """As `_moments`, of one side and as the images are."""
    return _moments(layer, experiment, threads, 1, 0)


def _between(layer: Layer, experiment: Experiment, threads: int) -> float:
    """As `_moments`, of two sides, and again for each replicate."""
    return _moments(layer, experiment, threads, 2, experiment.moments.permutations)


def _edges(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The samples of all units as they are stored, and a copy while they are put together."""
    most = max(experiment.mutual_information.samples // layer.positions, 1)
    image = _itemsize(experiment) * layer.units * layer.positions
    return 2 * image * min(experiment.probe.images, most)


def _exemplars(layer: Layer, experiment: Experiment, threads: int) -> float:
    """In each thread a chunk, the order of its images for each unit, and all positions of those that are kept."""
    images, itemsize = _chunk_images(layer, experiment), _itemsize(experiment)
    kept = min(experiment.patches.images, images) * layer.positions * itemsize
    return threads * (_chunk(layer, experiment) + layer.units * (images * (8 + 2 * itemsize) + kept))


def _rdm(layer: Layer, experiment: Experiment, threads: int) -> float:
    """A panel of images in float64, from the first image and scaled, with a copy; where more images follow, in each
    thread a chunk of them, in six copies; four image × image.
    """
    images, chunk = min(experiment.rsa.images, experiment.probe.images), _chunk_images(layer, experiment)
    image = 8 * layer.positions * layer.units
    near = min(max(PANEL // image // chunk, 1) * chunk, images)
    far = 6 * threads * chunk * image if near < images else 0
    return 2 * near * image + max(near * image, far) + 4 * 8 * images**2


def _statistics(layer: Layer, experiment: Experiment, threads: int) -> float:
    """A chunk and a copy of its bits; of some values the parts of frexp and three integers; the moments as read."""
    return threads * (2 * _chunk(layer, experiment) + 36 * OCTAVES) + READ * experiment.probe.folds * _m(layer)


def _correlation(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, of the whole, without a fold, of the fold and permuted; a jackknife."""
    return _joined(layer, experiment) + (12 + 3 * experiment.moments.permutations) * _m(layer)


def _mutual_information(layer: Layer, experiment: Experiment, threads: int) -> float:
    """Joint histograms of a block of units; where not all fit, the codes of all samples, as far as they fit; two
    matrices for each set of samples; the moments.
    """
    folds, replicates = experiment.probe.folds, experiment.moments.permutations
    cells = 4 * (experiment.mutual_information.bins + 1) ** 2
    tables = layer.units**2 * cells * ((folds + 1) * (replicates + 1) + 1)
    codes = experiment.probe.images * layer.positions * layer.units * (2 + replicates)
    return (
        min(HISTOGRAMS, tables)
        + (codes if tables > HISTOGRAMS >= codes else 0)
        + 2 * (1 + folds + replicates) * _m(layer)
        + threads * 3 * _chunk(layer, experiment)
        + _joined(layer, experiment)
    )


def _matching(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, and the rotated correlations or the spatial means in eight copies."""
    m, rows = _m(layer), 8 * layer.units * experiment.probe.images
    rotated = (experiment.matching.rotations + experiment.moments.permutations + 14) * m
    return _joined(layer, experiment) + max(rotated, 10 * m + 8 * rows)


def _sparse_prediction(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, those of all folds but one; on each core a fit, of wide layers one for all cores, and a block of
    paths [alpha, target, predictor] in five.
    """
    m, folds = _m(layer), experiment.probe.folds
    paths = experiment.sparse_prediction.alphas + 1 + stores.LAMBDAS + FEW
    block = min(8 * paths * min(TARGETS, layer.units) * layer.units, max(PATHS, 8 * paths * layer.units))
    split = 2 * folds * 3 * m if (3 + experiment.moments.permutations) * folds * m < SPLIT else 0
    at_once = threads if layer.units <= WIDEST_REPEATED else 1
    return _joined(layer, experiment) + split + (6 + 10 * at_once) * m + threads * 5 * block


def _clustering(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, and four matrices of the units of both networks, eight where the eigenproblem is exact."""
    exact = 2 * layer.units <= experiment.clustering.widest_exact
    return _joined(layer, experiment) + (8 if exact else 4) * 4 * _m(layer)


def _subspace_match(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, and eight matrices of the units of both networks."""
    return _joined(layer, experiment) + 8 * 4 * _m(layer)


def _subspace_match_sampled(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The samples of some draws, once more while they are put together; seven matrices of the units of both."""
    samples = experiment.probe.images * layer.positions
    count = min(experiment.subspace_match_sampled.positions, samples)
    # What several draws take is read once.
    taken = samples * (1 - (1 - count / samples) ** draws_together(layer, experiment))
    return 2 * taken * 2 * layer.units * _itemsize(experiment) + 7 * 4 * _m(layer)


def _similarity(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, and the axes of both sides; or the spatial means in five copies, and where that is faster the
    kernels of images.
    """
    images, m = experiment.probe.images, _m(layer)
    kernels = 2 * 8 * images**2 if images <= KERNEL_IMAGES and PICKED * images <= layer.units**2 else 0
    return _joined(layer, experiment) + max(24 * m, 3 * m + 5 * 8 * layer.units * images + kernels)


def _maps(layer: Layer, experiment: Experiment, threads: int) -> float:
    """The moments, and the coefficients of all maps of a direction in five copies."""
    return _joined(layer, experiment) + (10 + 5 * stores.maps(experiment)) * _m(layer)


def _batch(network: Network, experiment: Experiment) -> int:
    """A batch: its layers, and three nodes on the way of each of two networks; weights."""
    return 4 * experiment.recording.batch * (network.outputs + 6 * network.largest) + 4 * 4 * network.parameters


def _stitching(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """A batch, and the maps of one direction as they were read."""
    return _batch(network, experiment) + READ * stores.written("maps", network.layers, experiment, "") / 2


def _unit_removal(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """A batch, and the moments of one side as they were read."""
    return _batch(network, experiment) + READ * experiment.probe.folds * max(_m(layer) for layer in network.layers)


def _predictions(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    return _batch(network, experiment)


def _ensemble(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """The answers of both, and of both permuted, in eight copies."""
    known = NAMED.get(recipe.data) if recipe else None
    return 8 * 8 * experiment.probe.images * (known.classes if known else stores.CLASSES_OF_FOLDER)


def _summary(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """The table; of the stores one is open at a time."""
    return ROW * stores.ROWS * len(network.layers) * jobs.results(experiment)


def _figure(network: Network, experiment: Experiment, recipe: Recipe | None, threads: int) -> float:
    """Of every layer a panel, and of one pair five matrices of r in two copies, and the colours of one; or, of a figure
    of all pairs, their open stores; or the tiles of the units that are shown.
    """
    layers = len(network.layers)
    matrices = 11 * sum(_m(layer) for layer in network.layers)
    tiles = _tiles(network, experiment, recipe) if recipe else 0
    return PANELS * layers + max(matrices, OPENED * layers * jobs.drawn(experiment), tiles)


def _tiles(network: Network, experiment: Experiment, recipe: Recipe) -> float:
    """Of each unit patches, attributions and the preferred image; and the attributions of a layer and side as read."""
    settings, images = experiment.patches, experiment.patches.images
    if not images:
        return 0
    drawn = 2 * sum(min(2 * settings.units, layer.units) for layer in network.layers)
    read = max(min(4 * settings.units, layer.units) for layer in network.layers) * images * 2
    return drawn * (3 + (settings.steps > 0)) * 3 * DRAWN**2 + READ * read * math.prod(stores.image(recipe))


# Bytes of Python with the libraries of the step and its compiled functions, before any data, as measured, and of its
# work.
RULES: Mapping[str, tuple[int, Work]] = {
    "inspect": (1100 * MB, _nothing),
    "train": (1020 * MB, _training),
    "probe": (1130 * MB, _nothing),
    "record": (1100 * MB, _recording),
    "within": (290 * MB, _one_by_one(_within)),
    "between": (293 * MB, _one_by_one(_between)),
    "edges": (241 * MB, _one_by_one(_edges)),
    "exemplars": (241 * MB, _one_by_one(_exemplars)),
    "rdm": (325 * MB, _one_by_one(_rdm)),
    "statistics": (241 * MB, _one_by_one(_statistics)),
    "correlation": (221 * MB, _together("correlation", _correlation)),
    "mutual_information": (310 * MB, _together("mutual_information", _mutual_information)),
    "matching": (246 * MB, _together("matching", _matching)),
    "sparse_prediction": (294 * MB, _together("sparse_prediction", _sparse_prediction)),
    "clustering": (301 * MB, _together("clustering", _clustering)),
    "subspace_match": (285 * MB, _together("subspace_match", _subspace_match)),
    "subspace_match_sampled": (259 * MB, _one_by_one(_subspace_match_sampled)),
    "similarity": (246 * MB, _together("similarity", _similarity)),
    "cross_layer": (231 * MB, _cross_layer),
    "layer_pairs": (330 * MB, _layer_pairs),
    "rsa": (232 * MB, _rsa),
    "maps": (294 * MB, _together("maps", _maps)),
    "predictions": (1100 * MB, _predictions),
    "stitching": (1100 * MB, _stitching),
    "unit_removal": (1100 * MB, _unit_removal),
    "ensemble": (232 * MB, _ensemble),
    "patches": (1250 * MB, _patches),
    "summary": (262 * MB, _summary),
    "figure": (275 * MB, _figure),
}
