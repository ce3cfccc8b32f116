"""Time of a job of every rule on one core, from the shapes of the layers: indicative, a factor of two either way.

    seconds = start + Σ work / rate

The rates are those of one core of the machine named below. Where the work cannot be known from shapes, as the training
images of a folder, the time is None: unmeasured. p: units, N: samples, n: images, K: folds.
"""

import math
from collections.abc import Callable, Mapping

from convergent.config import Experiment, Recipe
from convergent.plan import jobs, memory, stores
from convergent.plan.shapes import Layer, Network

MACHINE = "one core of a virtual Intel Xeon with AVX-512"
FORWARD = 87e9  # float32 operations of a convolutional network on a CPU
PRODUCT = 40e9  # float64 operations of a matrix product
WRITTEN = {"crc32c": 450e6, "lz4": 300e6, "zstd": 200e6}  # values of activations, by codec
DECODED = 450  # images of a folder, JPEGs of 500 × 375 pixels
WIDENED = 80e6  # values of activations, read, checked and made float64
OCTAVES = 40e6  # values of activations in histograms
SORTED = 40e6  # values of activations, for the edges of bins
READ = 300e6  # values of activations, read and checked
COUNTED = 2e9  # samples of a pair of units in joint histograms
CELLS = 1e8  # cells of joint histograms, for their entropy
ASSIGNED = 2e10  # p³ of a one-to-one assignment
DESCENDED = 8e8  # p³ of one penalty of the LASSO
STARTED = 1500  # paths of one target
PEELED = 7e9  # (2p)³ of the matches of subspaces at all distances
SPECTRAL = 1e9  # (2p)³ of a clustering, k-means and eigenvectors
DECOMPOSED = 4.5e8  # p³ of the eigenvectors and singular vectors of a layer
PICKED = 4e8  # image pairs of permuted kernels
COMPARED = 1e9  # image pairs of permuted dissimilarities
ELEMENTS = 1e8  # elements of p × p matrices, read, added and divided
OPENED = 0.025  # seconds for a layer of a store that the table reads

TRAINING_IMAGES = {"digits": 1297, "cifar10": 50_000}
IN_MEMORY = set(TRAINING_IMAGES)  # data sets that need no decoding
START = {"inspect": 5, "train": 5, "probe": 5, "record": 5, "rdm": 1.6, "mutual_information": 1.6} | {
    "sparse_prediction": 2,
    "clustering": 2,
    "subspace_match": 1.6,
    "figure": 3,
}
ELSEWHERE = 1.3  # seconds to start any other step


def seconds(rule: str, network: Network, recipe: Recipe, experiment: Experiment) -> float | None:
    """Time of one job of a rule; None where it is not known."""
    start = START.get(rule, ELSEWHERE)
    if rule == "train":
        images = TRAINING_IMAGES.get(recipe.data)
        return images and start + 3 * recipe.training.epochs * images * network.operations / FORWARD
    if rule in OF_IMAGES:
        read = 0.0 if recipe.data in IN_MEMORY else experiment.probe.images / DECODED
        return start + read + (_forward(network, experiment) if rule == "record" else 0)
    if rule == "summary":
        return start + OPENED * len(network.layers) * jobs.results(experiment)
    if rule == "rsa":  # the same of every layer
        images = min(experiment.rsa.images, experiment.probe.images)
        draws = experiment.rsa.permutations + 10 * experiment.probe.folds
        return start + len(network.layers) * 6 * draws * images**2 / COMPARED
    if rule == "cross_layer":
        units = sum(layer.units for layer in network.layers)
        return start + 2 * experiment.probe.images * units**2 * 1.5 / PRODUCT
    work = WORK.get(rule)
    return start + sum(work(layer, experiment) for layer in network.layers) if work else start


def _forward(network: Network, experiment: Experiment) -> float:
    values = sum(layer.units * layer.positions for layer in network.layers)
    return experiment.probe.images * (network.operations / FORWARD + values / WRITTEN[experiment.recording.codec])


def _samples(layer: Layer, experiment: Experiment) -> int:
    return experiment.probe.images * layer.positions


def _within(layer: Layer, experiment: Experiment) -> float:
    """N p² products and N p values; p² comoments of each fold, added and written."""
    n = _samples(layer, experiment)
    comoments = 8 * experiment.probe.folds * layer.units**2
    return 2 * n * layer.units**2 / PRODUCT + n * layer.units / WIDENED + comoments / ELEMENTS


def _between(layer: Layer, experiment: Experiment) -> float:
    """The same of both sides, and again for each replicate."""
    n, sets = _samples(layer, experiment), 1 + experiment.moments.permutations
    products, comoments = 2 * n * sets * layer.units**2, 8 * experiment.probe.folds * sets * layer.units**2
    return products / PRODUCT + 2 * n * layer.units / WIDENED + comoments / ELEMENTS


def _edges(layer: Layer, experiment: Experiment) -> float:
    samples = min(experiment.mutual_information.samples, _samples(layer, experiment))
    return max(samples, layer.positions) * layer.units / SORTED


def _rdm(layer: Layer, experiment: Experiment) -> float:
    """n² products of all features, of two dissimilarities; the images are read again for every panel of them."""
    images = min(experiment.rsa.images, experiment.probe.images)
    features = layer.units * layer.positions
    panels = math.ceil(8 * images * features / memory.PANEL)
    matrices = 60 * images**2 / ELEMENTS
    return matrices + 2 * 2 * images**2 * features / PRODUCT + (panels + 1) / 2 * images * features / WIDENED


def _statistics(layer: Layer, experiment: Experiment) -> float:
    return _samples(layer, experiment) * layer.units / OCTAVES


def _correlation(layer: Layer, experiment: Experiment) -> float:
    """Thirty matrices for each fold and replicate."""
    return 30 * (experiment.probe.folds + experiment.moments.permutations) * layer.units**2 / ELEMENTS


def _mutual_information(layer: Layer, experiment: Experiment) -> float:
    """p² N samples, again for each replicate; the cells of p² histograms of each set; both sides read in each pass."""
    folds, replicates = experiment.probe.folds, experiment.moments.permutations
    n, cells = _samples(layer, experiment), (experiment.mutual_information.bins + 1) ** 2
    held = 4 * cells * layer.units**2 * ((folds + 1) * (replicates + 1) + 1)
    read = 2 * n * layer.units * math.ceil(held / memory.HISTOGRAMS)
    return layer.units**2 * (n * (1 + replicates) / COUNTED + (1 + folds + replicates) * cells / CELLS) + read / READ


def _matching(layer: Layer, experiment: Experiment) -> float:
    """An assignment and a product of n × p rows for each permutation; an assignment for each rotation and fold."""
    settings = experiment.matching
    products = 2 * experiment.probe.images * layer.units**2 * settings.permutations
    matched = settings.permutations + settings.rotations + 2 * experiment.probe.folds
    return products / PRODUCT + matched * layer.units**3 / ASSIGNED


def _sparse_prediction(layer: Layer, experiment: Experiment) -> float:
    """Paths in both directions on all folds, without one and without two, p targets each."""
    folds = experiment.probe.folds
    paths = 2 * (1 + folds + folds * (folds - 1) // 2)
    alphas = experiment.sparse_prediction.alphas + 1 + stores.LAMBDAS
    return paths * layer.units * (alphas * layer.units**2 / DESCENDED + 1 / STARTED)


def _clustering(layer: Layer, experiment: Experiment) -> float:
    replicates = experiment.clustering.repeats + experiment.moments.permutations
    return replicates * (2 * layer.units) ** 3 / SPECTRAL


def _subspace_match(layer: Layer, experiment: Experiment) -> float:
    """Peeling of the whole, without each fold, of replicates and nulls, and with other ridges."""
    peelings = 9 + experiment.probe.folds + experiment.moments.permutations
    return peelings * (2 * layer.units) ** 3 / PEELED


def _subspace_match_sampled(layer: Layer, experiment: Experiment) -> float:
    """Gram matrices of the samples of each draw, and two peelings; both sides are read for as many draws as fit."""
    settings = experiment.subspace_match_sampled
    samples = min(settings.positions, _samples(layer, experiment))
    products = 2 * samples * (2 * layer.units) ** 2
    together = max(memory.SAMPLES // (samples * 4 * layer.units), 1)
    read = 2 * _samples(layer, experiment) * layer.units * math.ceil(settings.draws / together)
    return read / READ + settings.draws * (products / PRODUCT + 2 * (2 * layer.units) ** 3 / PEELED)


def _similarity(layer: Layer, experiment: Experiment) -> float:
    """Decompositions of the whole, without each fold and of replicates; permutations of kernels or products."""
    images, settings = experiment.probe.images, experiment.similarity
    decomposed = (1 + experiment.probe.folds + experiment.moments.permutations) * layer.units**3 / DECOMPOSED
    permuted = min(images**2 / PICKED, 2 * images * layer.units**2 / PRODUCT)
    return decomposed + settings.permutations * permuted


OF_IMAGES = {"probe", "record"}
WORK: Mapping[str, Callable[[Layer, Experiment], float]] = {
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
}
