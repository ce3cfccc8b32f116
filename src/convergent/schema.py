"""The contract of every store: its variables, their dimensions and types, by name.

Dimensions: ``image`` (probe images, in order), ``fold`` (consecutive images), ``y`` and ``x`` (spatial
positions; ``position`` of a sample of them), ``unit`` (channel or neuron; ``unit_a`` and ``unit_b`` for the two
sides of a pair, ``unit_*_other`` for the second axis of a within-network matrix), ``replicate`` (permutations of
the images), ``class`` (of the data set), ``map`` and ``half`` (of the folds; maps between the units of a pair),
``rank`` (images of a unit, the most exciting first), ``patch_y``, ``patch_x`` and ``channel`` (pixels).
"""

from collections.abc import Mapping
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

# kind of store: attributes of its root that those who read it need, and their types.
PROBE: dict[str, type] = {"probe_fingerprint": str, "data": str}
SNAPSHOT: dict[str, type] = {"snapshot": str, "checkpoint_digest": str, **PROBE}
RECORDED: dict[str, type] = {**SNAPSHOT, "seed": int, "stage": str, "probe_seed": int}
ATTRIBUTES: dict[str, dict[str, type]] = {
    "probe": {**PROBE, "probe_seed": int},
    "activations": RECORDED,
    "pooled": SNAPSHOT,
    "moments_between": {f"{name}_{side}": str for name in ("snapshot", "checkpoint_digest") for side in "ab"} | PROBE,
    "exemplars": SNAPSHOT | {"stage": str},
    "rdms": SNAPSHOT,
    "predictions": SNAPSHOT,
}
OF_IMAGES = ("activations", "pooled", "rdms", "predictions")  # kinds whose values are labelled by `IMAGES`
NEVER_EMPTY = ("image", "fold", "unit")  # dimensions


def check_attributes(attributes: Mapping[Any, Any], kind: str, where: str) -> None:
    """Refuse the attributes of a root that lack what is read from a store of this kind.

    Raises
    ------
    InputError : naming `where` and the attribute
    """
    for name, of_type in ATTRIBUTES.get(kind, {}).items():
        found = attributes.get(name)
        if type(found) is not of_type or (isinstance(found, int) and found < 0):
            is_of = "whole number from 0" if of_type is int else "text"
            raise InputError(f"{where}: the attribute {name} of a store of {kind} is a {is_of}, not {found!r}")


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
        if kind in OF_IMAGES and name in IMAGES and name not in dataset.coords:
            raise InputError(f"{where}: {name} is to be a coordinate of the images, not a variable beside them")
        if empty := [dim for dim in found.dims if dim in NEVER_EMPTY and not found.sizes[dim]]:
            raise InputError(f"{where}: {name} holds no {empty[0]}")
        allowed = {_with(positions, dims) for positions in POSITIONS}
        if found.dims not in allowed:
            raise InputError(
                f"{where}: {name} has dimensions {found.dims}, not {' or '.join(map(str, sorted(allowed)))}"
            )
        if found.dtype.kind not in (dtype, "u" if dtype == "i" else dtype):
            raise InputError(f"{where}: {name} is of type {found.dtype}, not of kind {dtype!r}")


def _with(positions: Dims, dims: Dims) -> Dims:
    return tuple(dim for one in dims for dim in (positions if one == "…" else (one,)))
