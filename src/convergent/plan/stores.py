"""Bytes of every store from the shapes of its layers: the values of its arrays, and what the layout adds.

Σ over arrays of Π ⌈size / chunk⌉ · chunk · bytes a value, for zarr stores whole chunks, and chunks of floats are 1024
long at most. Metadata, labels and statistics do not grow with the shapes: a number of bytes a layer, as measured.
All units are taken to be alive, and a minimal match to be found for every start: with fewer, stores are smaller. Values
are uncompressed.
"""

import math
from collections.abc import Mapping, Sequence

from convergent.config import Experiment, Recipe
from convergent.datasets import NAMED
from convergent.plan.shapes import Layer

BLOCK = 1024  # as in store.py
LAMBDAS = 6  # penalties of Li et al. 2016, for the units of either network: of pairs of one network the same
ID_OF_FOLDER = 38  # characters of an image_id, {class}/{file}: as ImageNet's
CLASS_NAME_OF_FOLDER = 9  # and of a class_name
CLASSES_OF_FOLDER = 1000  # at most, as of ImageNet
ROWS = 20  # of the table, for a layer of a result
OTHER_MAPS = 4  # besides those of the LASSO
WHOLE = {"fold", "replicate", "half", "map"}  # dimensions in chunks of one

# Arrays by their dimensions, with the bytes of their values (f: float, in whole chunks; i: all else, such as what
# checksums and indexes take for each fold).
ARRAYS: dict[str, dict[str, str]] = {
    "probe": {"image": "i8 i8 i8", "image_id": "i1", "class_name": "i1"},
    "pooled": {"image unit": "f4", "unit": "i8", "image": "i8 i8", "image_id": "i1"},
    "within": {"fold unit unit": "f8", "fold unit": "f8", "unit": "i8 i8", "fold": "i8 i8 i72"},
    "between": {
        "fold unit unit": "f8",
        "replicate fold unit unit": "f8",
        "fold unit": "f8 f8",
        "unit": "i8 i8",
        "fold": "i8 i8 i100",
        "replicate fold": "i20",
    },
    "edges": {"unit bin": "f8", "unit": "i8", "bin": "i8"},
    "exemplars": {"unit rank": "f4 i8 i8 i8", "unit rank_id": "i1", "unit": "i8", "rank": "i8"},
    "rdm": {"rdm_image rdm_image": "f4 f4", "rdm_image": "i8 i8", "rdm_image_id": "i1"},
    "statistics": {"unit octave": "i8", "unit": "f8 f8 f8 f8 f4 f4 i8 i1"},
    "correlation": {"unit unit": "f8 f8 f8 f8 f8", "unit": "i8 i8 i8 i8"},
    "mutual_information": {"unit unit": "f8 f8 f8 f8 i4", "unit": "f8 f8 f8 f8 i8 i8 i8 i8 i8 i4 i4"},
    "matching": {"unit": "f8 f8 f8 f8 f8 f8 f8 f8 i8 i8 i8 i8 i8 i8 i1 i1"},
    "sparse_prediction": {
        "unit unit": "f8 f8",
        "alpha unit": "f8 f8 f8 f8 f8 f8 f8 f8",
        "few unit": "f8 f8",
        "unit": "f8 f8 f8 f8 i8 i8 i8 i8",
        "alpha": "f8 f8 f8",
    },
    "clustering": {
        "cluster": "f8 f8 f8 f8 f8 f8 f8 f8 f8 i8 i8 i8",
        "repeat cluster": "f8 f8 f8 f8",
        "unit": "i8 i8 i8 i8",
        "leaf": "f8 f8 f8 f8 i8 i8 i4",
    },
    "subspace_match": {"unit": "f8 f8 i8 i8", "start unit": "i1 i1", "start order": "i8", "start": "i8 i8 i8 i1"},
    "subspace_match_sampled": {},
    "similarity": {"unit": "f8", "permutation": "f8"},
    "cross_layer": {"layer_a layer_b": "f8 f8 f8 f8 f8", "layer_a": "i30", "layer_b": "i30"},
    "layer_pairs": {
        "layer_a layer_b": "f8 f8 f8 f8 f8 f8 f8 f8 f8 f8 f8 f8 i8 i8",
        "layer_a": "i30",
        "layer_b": "i30",
    },
    "rsa": {},
    "predictions": {"image class": "f4", "image": "i8 i8", "image_id": "i1", "class": "i8"},
    "maps": {
        "half map unit unit": "f4 f4",
        "half map unit": "f8 f8",
        "half map": "f8 f8 i80",
        "map": "i130",
        "unit": "i8 i8",
    },
    "stitching": {"map": "i80 i100 i44", "map fold": "i16 i20", "fold": "i1"},
    "unit_removal": {"share": "i64 i64 i8", "share fold": "i64", "draw share": "i16", "fold": "i20"},
    "ensemble": {},
}
# Bytes of metadata, labels and statistics, a layer.
FIXED = {
    "probe": 8_330,
    "activations": 9_650,
    "pooled": 9_490,
    "within": 12_210,
    "between": 18_150,
    "edges": 6_410,
    "exemplars": 12_710,
    "rdm": 11_100,
    "statistics": 35_850,
    "correlation": 32_180,
    "mutual_information": 47_880,
    "matching": 50_660,
    "sparse_prediction": 90_430,
    "clustering": 69_460,
    "subspace_match": 65_350,
    "subspace_match_sampled": 38_050,
    "similarity": 23_610,
    "cross_layer": 31_270,
    "layer_pairs": 55_810,
    "rsa": 31_830,
    "predictions": 9_640,
    "maps": 28_840,
    "stitching": 39_920,
    "unit_removal": 29_740,
    "ensemble": 20_410,
}
PATCHES_FIXED = 52_000  # bytes a layer, beside the pixels
OF_ONE_GROUP = {"probe", "cross_layer", "layer_pairs", "predictions", "ensemble"}  # no group a layer


def maps(experiment: Experiment) -> int:
    """Maps of stitching in one direction and half."""
    return len(experiment.stitching.alphas) + OTHER_MAPS


def written(
    kind: str, layers: Sequence[Layer], experiment: Experiment, data: str, others: Sequence[Layer] | None = None
) -> int:
    """Bytes of one store of a kind, which is named as the rule that writes it, or as ``activations`` or ``pooled``.

    Parameters
    ----------
    layers : of the network
    experiment : with all numbers that enter
    data : the data set, for the length of its ids
    others : layers of the other network of a pair, where that is another one
    """
    if kind in OF_ONE_GROUP:
        sides = {"layer_a": len(layers), "layer_b": len(others or layers)}
        return FIXED[kind] + _values(kind, _sizes(layers[0], experiment, data) | sides)
    return sum(layer_bytes(kind, layer, experiment, data) for layer in layers)


def layer_bytes(kind: str, layer: Layer, experiment: Experiment, data: str) -> int:
    """Bytes of one layer of a store."""
    sizes = _sizes(layer, experiment, data)
    if kind == "activations":
        itemsize = {"float16": 2, "float32": 4}[experiment.recording.dtype]
        values = sizes["image"] * layer.positions * layer.units * itemsize
        return FIXED[kind] + values + _values("pooled", sizes | {"unit": 0}) + 8 * layer.units
    return FIXED[kind] + _values(kind, sizes)


def image(recipe: Recipe) -> tuple[int, int, int]:
    """Channels, height and width of an image."""
    known, side = NAMED.get(recipe.data), recipe.image_size or 0
    return (known.shape if known else None) or (3, side, side)


def patches(layers: Sequence[Layer], experiment: Experiment, recipe: Recipe) -> int:
    """Bytes of the patches of a pair, at most: as large as the images, and of other units for each figure."""
    settings, (channels, height, width) = experiment.patches, image(recipe)
    pixels = height * width * (5 * channels + 1)  # a patch, both attributions as float16, and what lies inside
    units = 2 * sum(min(4 * settings.units, layer.units) for layer in layers)
    return units * (settings.images * pixels + height * width * channels) + PATCHES_FIXED * len(layers)


def _values(kind: str, sizes: Mapping[str, int]) -> int:
    total = 0
    for dims, types in ARRAYS[kind].items():
        lengths = [sizes[dim] for dim in dims.split()]
        chunks = [1 if dim in WHOLE else min(sizes[dim], BLOCK) or 1 for dim in dims.split()]
        whole = math.prod(math.ceil(n / chunk) * chunk for n, chunk in zip(lengths, chunks, strict=True))
        # Rows are recorded in chunks of all units.
        padded = whole if kind != "pooled" else math.prod(lengths)
        total += sum(int(t[1:]) * (padded if t[0] == "f" else math.prod(lengths)) for t in types.split())
    return total


def _sizes(layer: Layer, experiment: Experiment, data: str) -> dict[str, int]:
    """The length of every dimension."""
    probe, both = experiment.probe, 2 * layer.units
    images = min(experiment.rsa.images, probe.images) // probe.folds * probe.folds
    known = NAMED.get(data)
    text = 4 + (known.image_id if known else ID_OF_FOLDER)
    return {
        "image": probe.images,
        "image_id": text * probe.images,
        "class_name": round((4 + (known.class_name if known else CLASS_NAME_OF_FOLDER)) * probe.images),
        "rdm_image": images,
        "rdm_image_id": text * images,
        "fold": probe.folds,
        "replicate": experiment.moments.permutations,
        "unit": layer.units,
        "rank": min(experiment.patches.images, probe.images),
        "rank_id": text * min(experiment.patches.images, probe.images),
        "bin": experiment.mutual_information.bins,
        "octave": 33,
        "alpha": experiment.sparse_prediction.alphas + 1 + LAMBDAS,
        "few": 5,
        "cluster": round(both / experiment.clustering.units_per_cluster),
        "repeat": experiment.clustering.repeats,
        "leaf": both,
        "start": min(experiment.subspace_match.starts, both),
        "order": experiment.subspace_match.orders,
        "permutation": experiment.similarity.permutations,
        "class": known.classes if known else CLASSES_OF_FOLDER,
        "half": 2,
        "map": maps(experiment),
        "share": len({0, 0.25, *experiment.unit_removal.shares}),
        "draw": experiment.unit_removal.draws,
    }
