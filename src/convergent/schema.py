"""The contract of every store: its variables, their dimensions and types, by name.

Dimensions: ``image`` (probe images, in order), ``fold`` (consecutive images), ``y`` and ``x`` (spatial
positions), ``unit`` (channel or neuron; ``unit_a`` and ``unit_b`` for the two sides of a pair, ``unit_*_other``
for the second axis of a within-network matrix), ``replicate`` (permutations of the images).
"""

import xarray as xr

from convergent.errors import InputError

Dims = tuple[str, ...]

# kind of store: variable: (dimensions, kind of NumPy type); "?" marks dimensions that may be absent.
CONTRACTS: dict[str, dict[str, tuple[Dims, str]]] = {
    "probe": {
        "image_id": (("image",), "T"),
        "label": (("image",), "i"),
        "class_name": (("image",), "T"),
        "fold": (("image",), "i"),
        "source_index": (("image",), "i"),
    },
    "activations": {"activation": (("image", "y?", "x?", "unit"), "f")},
    "pooled": {"activation": (("image", "unit"), "f")},
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
    "rdms": {
        "euclidean": (("image", "image_other"), "f"),
        "correlation": (("image", "image_other"), "f"),
        "image_id": (("image",), "T"),
        "label": (("image",), "i"),
        "fold": (("image",), "i"),
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
        allowed = {tuple(d.rstrip("?") for d in dims), tuple(d for d in dims if not d.endswith("?"))}
        if found.dims not in allowed:
            raise InputError(
                f"{where}: {name} has dimensions {found.dims}, not {' or '.join(map(str, sorted(allowed)))}"
            )
        if found.dtype.kind not in (dtype, "u" if dtype == "i" else dtype):
            raise InputError(f"{where}: {name} is of type {found.dtype}, not of kind {dtype!r}")
