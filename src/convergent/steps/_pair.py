"""What the steps of all measures of a pair share: three stores of moments in, one labelled store out."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from convergent import folds, schema, store
from convergent.errors import about
from convergent.steps import _sides

# Moments up to this size are read at once; of larger ones, measures read one fold at a time.
IN_MEMORY = 256 * 2**20
INHERITED = ("snapshot_a", "snapshot_b", "checkpoint_digest_a", "checkpoint_digest_b", "probe_fingerprint", "data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--a", required=True, type=Path, help="moments within A")
    parser.add_argument("--b", required=True, type=Path, help="moments within B")
    parser.add_argument("--between", required=True, type=Path, help="moments between A and B")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def pooled(between: Path, a: Path, b: Path) -> Callable[[str], tuple[xr.DataArray, xr.DataArray]]:
    """The spatial means of a layer in both snapshots of a pair, by the layer.

    Raises
    ------
    InputError : where the stores `a` and `b` are not of the snapshots of the pair
    """
    sides = [(side, path, store.read(path, "pooled")) for side, path in (("a", a), ("b", b))]
    _sides.check(between, store.read(between, "moments_between").attributes, sides)

    def rows(layer: str) -> tuple[xr.DataArray, xr.DataArray]:
        rows_a, rows_b = (opened.layers[layer]["activation"] for _, _, opened in sides)
        return rows_a, rows_b

    return rows


def measure(
    step: str,
    measured: Callable[[str, xr.Dataset, np.random.Generator], xr.Dataset],
    *,
    title: str,
    references: str,
    settings: Mapping[str, Any],
    modules: Any = (),
    a: Path,
    b: Path,
    between: Path,
    output: Path,
) -> None:
    """Apply a measure to every layer of a pair.

    Parameters
    ----------
    step : its name
    measured : layer, moments of the pair, random numbers → dataset of the measure; the random numbers are the same
        whenever a result is made, and others for every pair and layer
    title, references, settings, modules : for the attributes of the store
    a, b, between : the stores of moments
    output : the store to write; its contract is that of the step, where there is none that of measures
    """
    within_a, within_b = (store.read(path, "moments_within") for path in (a, b))
    pair = store.read(between, "moments_between")
    _sides.check(between, pair.attributes, [("a", a, within_a), ("b", b, within_b)])

    def layers() -> Iterator[tuple[str, xr.Dataset]]:
        for layer, dataset in pair.layers.items():
            joined = folds.joined(within_a.layers[layer], within_b.layers[layer], dataset)
            if joined.nbytes <= IN_MEMORY:
                joined.load()
            generator = _sides.generator(pair.attributes, layer)
            samples = {
                "spatial": dataset.attrs["spatial"],
                "precision": dataset.attrs["precision"],
                "n": int(dataset["n"].sum()),
            }
            with about(f"{between}: {layer}"):
                result = measured(layer, joined, generator).assign_attrs(samples)
            yield layer, result

    inherited = {name: pair.attributes[name] for name in INHERITED}
    attributes = store.stamp(title, step, settings, modules=modules, references=references, **inherited)
    store.save(layers(), output, step if step in schema.CONTRACTS else "measure", attributes)
