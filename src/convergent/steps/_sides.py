"""What the steps of two snapshots share: the stores of both sides, of one probe, and what is said of a pair."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from convergent import store
from convergent.errors import InputError, about

OF_SIDE = ("snapshot", "checkpoint_digest")
SHARED = ("probe_fingerprint", "data")


def add_arguments(parser: argparse.ArgumentParser, what: str, prefix: str = "") -> None:
    for side in "ab":
        parser.add_argument(f"--{prefix}{side}", required=True, type=Path, help=f"store of {what} of {side.upper()}")


def read(
    a: Path, b: Path, kind: str, *, same_layers: bool = True, chunks: Any = None
) -> tuple[store.Store, store.Store]:
    """Open a store of each side.

    Raises
    ------
    InputError : where the two are not of one probe, or of other layers
    """
    side_a, side_b = (store.read(path, kind, chunks=chunks) for path in (a, b))
    if same_layers and list(side_a.layers) != list(side_b.layers):
        raise InputError(f"{a} and {b} hold different layers: {list(side_a.layers)} and {list(side_b.layers)}")
    if side_a.attributes["probe_fingerprint"] != side_b.attributes["probe_fingerprint"]:
        raise InputError(f"{a} and {b} were recorded on different probes; record both on one")
    return side_a, side_b


def derive(
    step: str,
    kind: str,
    derived: Callable[[str, xr.Dataset, xr.Dataset], xr.Dataset],
    sides: tuple[store.Store, store.Store],
    *,
    title: str,
    references: str,
    settings: Mapping[str, Any],
    a: Path,
    b: Path,
    output: Path,
) -> None:
    """Derive something from every layer of both sides, one layer at a time.

    Parameters
    ----------
    step, kind, title, references, settings, output : of the store to write
    derived : layer, its datasets in A and in B → dataset
    sides, a, b : from `read`, and where they are
    """

    def layers() -> Iterator[tuple[str, xr.Dataset]]:
        for layer, of_a in sides[0].layers.items():
            with about(f"{a} and {b}: {layer}"):
                result = derived(layer, of_a, sides[1].layers[layer])
            yield layer, result

    stamped = store.stamp(title, step, settings, references=references, **attributes(*sides))
    store.save(layers(), output, kind, stamped)


def attributes(a: store.Store, b: store.Store) -> dict[str, Any]:
    """What a store made of both sides says of them: ``snapshot_a``, …, and what they share."""
    of_sides = {f"{name}_{side}": one.attributes[name] for name in OF_SIDE for side, one in (("a", a), ("b", b))}
    return of_sides | {name: a.attributes[name] for name in SHARED}


def check(pair: Path, attributes: dict[str, Any], sides: Iterable[tuple[str, Path, store.Store]]) -> None:
    """Refuse stores of one side, ``a`` or ``b``, that are not of the snapshots of a pair, or not of its probe."""
    for side, path, opened in sides:
        for name in (*OF_SIDE, *SHARED):
            expected = attributes.get(f"{name}_{side}" if name in OF_SIDE else name)
            found = opened.attributes.get(name)
            if found != expected:
                raise InputError(f"{pair} compares {name} {expected}, but {path} holds {found}")


def generator(attributes: dict[str, Any], layer: str) -> np.random.Generator:
    """Random numbers: the same whenever a result is made, and others for every pair and layer."""
    return np.random.default_rng([*f"{attributes['snapshot_a']}--{attributes['snapshot_b']}".encode(), *layer.encode()])
