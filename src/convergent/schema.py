"""The contract of every store: its variables, their dimensions and types, by name.

Dimensions: ``image`` (probe images, in order), ``fold`` (consecutive images), ``y`` and ``x`` (spatial
positions; ``position`` of a sample of them), ``unit`` (channel or neuron; ``unit_a`` and ``unit_b`` for the two
sides of a pair, ``unit_*_other`` for the second axis of a within-network matrix), ``replicate`` (permutations of
the images), ``class`` (of the data set), ``map`` and ``half`` (of the folds; maps between the units of a pair),
``rank`` (images of a unit, the most exciting first), ``patch_y``, ``patch_x`` and ``channel`` (pixels).
"""

from typing import Any

import xarray as xr

from convergent.errors import InputError

Dims = tuple[str, ...]

# Chunks in the folder of their array: a small store would have as many folders as files otherwise.
CHUNK_KEYS: dict[str, Any] = {"name": "default", "separator": "."}

# What "…" stands for: one value an image, a sample of its positions (y and x are coordinates of theirs), or all.
POSITIONS: tuple[Dims, ...] = ((), ("position",), ("y", "x"))

# A patch of an image.
PIXELS: Dims = ("patch_y", "patch_x", "channel")

# Which image a value is of, as the probe tells it.
IMAGES: dict[str, tuple[Dims, str]] = {
    "image_id": (("image",), "T"),
    "label": (("image",), "i"),
    "fold": (("image",), "i"),
}

# kind of store: variable: (dimensions, kind of NumPy type).
CONTRACTS: dict[str, dict[str, tuple[Dims, str]]] = {
    "probe": {
        **IMAGES,
        "class_name": (("image",), "T"),
        "source_index": (("image",), "i"),
    },
    "activations": {"activation": (("image", "…", "unit"), "f"), **IMAGES},
    "pooled": {"activation": (("image", "unit"), "f"), **IMAGES},
    "moments_within": {
        "n": (("fold",), "i"),
        "mean": (("fold", "unit"), "f"),
        "comoment": (("fold", "unit", "unit_other"), "f"),
    },
    "moments_between": {
        "n": (("fold",), "i"),
        "mean_a": (("fold", "unit_a"), "f"),
        "mean_b": (("fold", "unit_b"), "f"),
        "comoment": (("fold", "unit_a", "unit_b"), "f"),
        "comoment_permuted": (("replicate", "fold", "unit_a", "unit_b"), "f"),
    },
    "edges": {"edge": (("unit", "bin"), "f")},
    "exemplars": {
        "activation": (("unit", "rank"), "f"),
        "image_id": (("unit", "rank"), "T"),
        **dict.fromkeys(("label", "y", "x"), (("unit", "rank"), "i")),
    },
    "rdms": {
        "euclidean": (("image", "image_other"), "f"),
        "correlation": (("image", "image_other"), "f"),
        **IMAGES,
    },
    "maps": {
        "weight_ab": (("half", "map", "unit_b", "unit_a"), "f"),
        "weight_ba": (("half", "map", "unit_a", "unit_b"), "f"),
        "intercept_ab": (("half", "map", "unit_b"), "f"),
        "intercept_ba": (("half", "map", "unit_a"), "f"),
    },
    "predictions": {"logit": (("image", "class"), "f"), **IMAGES},
    "patches": {
        f"{name}_{side}": ((f"unit_{side}", "rank", *dims), dtype)
        for side in "ab"
        for name, dims, dtype in (
            ("patch", PIXELS, "i"),
            ("guided_backpropagation", PIXELS, "f"),
            ("deconvolution", PIXELS, "f"),
            ("inside", PIXELS[:2], "i"),
            ("top", (), "i"),
            ("left", (), "i"),
            ("image_id", (), "T"),
            ("activation", (), "f"),
        )
    },
    # Every measure: what the table shows, in the same form; its own variables are declared beside its formula.
    "measure": {
        "summary": (("statistic",), "f"),
        "summary_standard_error": (("statistic",), "f"),
        "summary_null": (("null_kind", "statistic"), "f"),
    },
}


def check(dataset: xr.Dataset, kind: str, where: str) -> None:
    """Refuse a dataset that breaks the contract of its kind of store.

    Raises
    ------
    InputError : naming `where`, the variable, what it should be and what it is
    """
    for name, (dims, dtype) in CONTRACTS[kind].items():
        if name not in dataset.variables:
            there = ", ".join(map(str, dataset.variables))
            raise InputError(f"{where}: a store of {kind} needs the variable {name!r}; there are {there}")
        found = dataset[name]
        allowed = {_with(positions, dims) for positions in POSITIONS}
        if found.dims not in allowed:
            raise InputError(
                f"{where}: {name} has dimensions {found.dims}, not {' or '.join(map(str, sorted(allowed)))}"
            )
        if found.dtype.kind not in (dtype, "u" if dtype == "i" else dtype):
            raise InputError(f"{where}: {name} is of type {found.dtype}, not of kind {dtype!r}")


def _with(positions: Dims, dims: Dims) -> Dims:
    return tuple(dim for one in dims for dim in (positions if one == "…" else (one,)))
