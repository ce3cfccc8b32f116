"""Time of a job of every rule on one core, from the shapes of the layers: indicative, a factor of two or three.

    seconds = start + Σ work / rate

The rates are those of one core of the machine named below. Where the work cannot be known from shapes, as the training
images of a folder, the time is None: unmeasured. p: units, N: samples, n: images, K: folds.
"""

import math
from collections.abc import Callable, Mapping

from convergent.config import Experiment, Recipe
from convergent.datasets import NAMED
from convergent.plan import jobs, memory, stores
from convergent.plan.shapes import Layer, Network

MACHINE = "one core of a virtual Intel Xeon with AVX-512"
FORWARD = 87e9  # float32 operations of a convolutional network on a CPU
PRODUCT = 40e9  # float64 operations of a matrix product
WRITTEN = {"crc32c": 450e6, "lz4": 300e6, "zstd": 200e6}  # values of activations, by codec
DECODED = 450  # images of a folder, JPEGs of 500 × 375 pixels
WIDENED = 200e6  # values of activations, read, checked and made float64
OCTAVES = 40e6  # values of activations in histograms
SORTED = 40e6  # values of activations, for the edges of bins
READ = 300e6  # values of activations, read and checked
LARGEST = 150e6  # values of activations, read, checked and compared
COUNTED = 2e9  # samples of a pair of units in joint histograms
CELLS = 1e8  # cells of joint histograms, for their entropy
ASSIGNED = 2e10  # p³ of a one-to-one assignment
DESCENDED = 1e8  # p² of one target and penalty of the LASSO, by coordinate descent
PROXIMAL = 2.5e8  # the same by proximal gradient
WIDEST_DESCENT = 1024  # lasso.WIDEST_DESCENT
STARTED = 1500  # paths of one target
ORDERS = 4  # of removed units, besides those at random
PEELED = 7e9  # (2p)³ of the matches of subspaces at all distances
SEARCHED = 2e10  # (2p)³ of one random minimal match
SPECTRAL = 1e9  # (2p)³ of a clustering, k-means and eigenvectors
DECOMPOSED = 4.5e8  # p³ of the eigenvectors and singular vectors of a layer
PICKED = 4e8  # image pairs of permuted kernels
COMPARED = 1e9  # image pairs of permuted dissimilarities
ELEMENTS = 1e8  # elements of p × p matrices, read, added and divided
OPENED = 0.015  # seconds for a layer of a store that the table reads
DRAWN = 0.04  # and of one that a figure draws
SHORTEST, LONGEST = 240, 1440  # minutes that the first attempt of a training asks for

Work = Callable[[Network, Recipe, Experiment], float | None]


def seconds(rule: str, network: Network, recipe: Recipe, experiment: Experiment) -> float | None:
    """Time of one job of a rule on one core, whatever number of them it is given; None where it is not known."""
    start, work = RULES[rule]
    taken = work(network, recipe, experiment)
    return None if taken is None else start + taken


def training_minutes(seconds: float | None, threads: int) -> int:
    """Walltime of the first attempt of a training, from its time on one core; the longest where that is not known.

    One that is cut off goes on from its last epoch at the next attempt, so the limits cost it no more than an epoch.
    """
    return LONGEST if seconds is None else min(max(math.ceil(seconds / threads / 60), SHORTEST), LONGEST)


def fits(layer: Layer, experiment: Experiment) -> int:
    """Fits of all targets of sparse prediction: the whole, without each fold, and without each two unless too wide."""
    folds = experiment.probe.folds
    pairs = math.comb(folds, 2) if folds > 2 else 0  # of two folds nothing is left to fit on
    return 2 * (1 + folds + (pairs if layer.units <= memory.WIDEST_REPEATED else 0))  # in both directions


def _nothing(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    return 0.0


def _in_memory(recipe: Recipe) -> bool:
    """Whether the images need no decoding."""
    return recipe.data in NAMED and NAMED[recipe.data].shape is not None


def _train(network: Network, recipe: Recipe, experiment: Experiment) -> float | None:
    """A pass back costs two forward; of ImageNet it is a year of a core, and a matter of GPUs."""
    if not _in_memory(recipe):
        return None
    return 3 * recipe.training.epochs * NAMED[recipe.data].training * network.operations / FORWARD


def _probe(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    return 0.0 if _in_memory(recipe) else experiment.probe.images / DECODED


def _record(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    values = sum(layer.units * layer.positions for layer in network.layers)
    forward = network.operations / FORWARD + values / WRITTEN[experiment.recording.codec]
    return _probe(network, recipe, experiment) + experiment.probe.images * forward


def _summary(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    return OPENED * len(network.layers) * jobs.results(experiment)


def _figure(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    return DRAWN * len(network.layers) * jobs.drawn(experiment)


def _rsa(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    """The same of every layer."""
    images = min(experiment.rsa.images, experiment.probe.images)
    draws = experiment.rsa.permutations + 10 * experiment.probe.folds
    return len(network.layers) * 6 * draws * images**2 / COMPARED


def _patches(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    """A pass in float64 for each row and column of pixels; passes there and back, for each patch two and for each step
    one, through the network up to the layer, half of it on average.
    """
    settings = experiment.patches
    _, side, _ = stores.image(recipe)
    units = 2 * sum(min(4 * settings.units, layer.units) for layer in network.layers)
    passes = 2 * 2 * side + 3 / 2 * units * (2 * settings.images + settings.steps)
    return passes * network.operations / FORWARD


def _cross_layer(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    units = sum(layer.units for layer in network.layers)
    return 2 * experiment.probe.images * units**2 * 1.5 / PRODUCT


def _layer_pairs(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    """The moments of every two layers, on the grid of the coarser; the fits of R², twice, for every two folds."""
    layers, folds = network.layers, experiment.probe.folds
    found = 0.0
    for a in layers:
        for b in layers:
            units, n = max(a.units, b.units), experiment.probe.images * min(a.positions, b.positions)
            products = 2 * n * (a.units**2 + b.units**2 + (1 + experiment.moments.permutations) * a.units * b.units)
            read = experiment.probe.images * (a.positions * a.units + b.positions * b.units)
            found += products / PRODUCT + read / READ + folds * (folds + 3) * units**3 / DECOMPOSED
    return found


def _of_layers(work: Callable[[Layer, Experiment], float]) -> Work:
    """The sum over the layers."""
    return lambda network, recipe, experiment: sum(work(layer, experiment) for layer in network.layers)


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


def _exemplars(layer: Layer, experiment: Experiment) -> float:
    return _samples(layer, experiment) * layer.units / LARGEST


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
    """A path of every target for each fit; by proximal gradient there is no start worth counting."""
    alphas = experiment.sparse_prediction.alphas + 1 + stores.LAMBDAS
    wide = layer.units > WIDEST_DESCENT
    path = alphas * layer.units**2 / (PROXIMAL if wide else DESCENDED) + (0 if wide else 1 / STARTED)
    return fits(layer, experiment) * layer.units * path


def _clustering(layer: Layer, experiment: Experiment) -> float:
    replicates = experiment.clustering.repeats + experiment.moments.permutations
    return replicates * (2 * layer.units) ** 3 / SPECTRAL


def _subspace_match(layer: Layer, experiment: Experiment) -> float:
    """Peeling of the whole, without each fold, of replicates and nulls, and with other ridges; minimal matches."""
    peelings, settings = 9 + experiment.probe.folds + experiment.moments.permutations, experiment.subspace_match
    searches = min(settings.starts, 2 * layer.units) * settings.orders
    return (2 * layer.units) ** 3 * (peelings / PEELED + searches / SEARCHED)


def _subspace_match_sampled(layer: Layer, experiment: Experiment) -> float:
    """Gram matrices of the samples of each draw, and two peelings; both sides are read for as many draws as fit."""
    settings = experiment.subspace_match_sampled
    samples = min(settings.positions, _samples(layer, experiment))
    products = 2 * samples * (2 * layer.units) ** 2
    passes = math.ceil(settings.draws / memory.draws_together(layer, experiment))
    read = 2 * _samples(layer, experiment) * layer.units * passes
    return read / READ + settings.draws * (products / PRODUCT + 2 * (2 * layer.units) ** 3 / PEELED)


def _similarity(layer: Layer, experiment: Experiment) -> float:
    """Decompositions of the whole, without each fold and of replicates; permutations of kernels or products."""
    images, settings = experiment.probe.images, experiment.similarity
    decomposed = (1 + experiment.probe.folds + experiment.moments.permutations) * layer.units**3 / DECOMPOSED
    permuted = min(images**2 / PICKED, 2 * images * layer.units**2 / PRODUCT)
    return decomposed + settings.permutations * permuted


def _maps(layer: Layer, experiment: Experiment) -> float:
    """The LASSO of every target in both halves and directions."""
    wide = layer.units > WIDEST_DESCENT
    path = stores.maps(experiment) * layer.units**2 / (PROXIMAL if wide else DESCENDED) + (0 if wide else 1 / STARTED)
    return 4 * layer.units * path


def _forward(network: Network, recipe: Recipe, experiment: Experiment, passes: float) -> float:
    return _probe(network, recipe, experiment) + passes * experiment.probe.images * network.operations / FORWARD


def _stitching(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    """In both directions, trained and untrained: what follows a layer, on the average half, for every map."""
    altered = stores.maps(experiment) * len(network.layers) / 2
    mapped = sum(2 * layer.units**2 * layer.positions for layer in network.layers) * stores.maps(experiment)
    return 4 * (_forward(network, recipe, experiment, 2 + altered) + experiment.probe.images * mapped / FORWARD)


def _unit_removal(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    """In both networks what follows a layer, on the average half, for every order and share."""
    settings = experiment.unit_removal
    altered = (ORDERS + settings.draws) * (len(settings.shares) + 1) * len(network.layers) / 2
    return 2 * _forward(network, recipe, experiment, 1 + altered)


def _predictions(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    return _forward(network, recipe, experiment, 1)


def _ensemble(network: Network, recipe: Recipe, experiment: Experiment) -> float:
    known = NAMED.get(recipe.data)
    values = experiment.probe.images * (known.classes if known else stores.CLASSES_OF_FOLDER)
    return experiment.ensemble.permutations * 10 * values / ELEMENTS


# Seconds to start a step, and the time of its work.
RULES: Mapping[str, tuple[float, Work]] = {
    "inspect": (5, _nothing),
    "train": (5, _train),
    "probe": (5, _probe),
    "record": (5, _record),
    "within": (1.3, _of_layers(_within)),
    "between": (1.3, _of_layers(_between)),
    "edges": (1.3, _of_layers(_edges)),
    "exemplars": (1.3, _of_layers(_exemplars)),
    "rdm": (1.6, _of_layers(_rdm)),
    "statistics": (1.3, _of_layers(_statistics)),
    "correlation": (1.3, _of_layers(_correlation)),
    "mutual_information": (1.6, _of_layers(_mutual_information)),
    "matching": (1.3, _of_layers(_matching)),
    "sparse_prediction": (2, _of_layers(_sparse_prediction)),
    "clustering": (2, _of_layers(_clustering)),
    "subspace_match": (1.6, _of_layers(_subspace_match)),
    "subspace_match_sampled": (1.3, _of_layers(_subspace_match_sampled)),
    "similarity": (1.3, _of_layers(_similarity)),
    "cross_layer": (1.3, _cross_layer),
    "layer_pairs": (2, _layer_pairs),
    "rsa": (1.3, _rsa),
    "maps": (2, _of_layers(_maps)),
    "predictions": (5, _predictions),
    "stitching": (5, _stitching),
    "unit_removal": (5, _unit_removal),
    "ensemble": (1.3, _ensemble),
    "patches": (7, _patches),
    "summary": (1.3, _summary),
    "figure": (3, _figure),
}
