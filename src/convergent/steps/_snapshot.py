"""What the steps of one snapshot share: a store of activations in, one labelled store out."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from convergent import engine, store
from convergent.errors import about

INHERITED = ("snapshot", "seed", "stage", "checkpoint_digest", "probe_fingerprint", "probe_seed", "data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--activations", required=True, type=Path, help="store of activations")
    engine.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def derive(
    step: str,
    kind: str,
    derived: Callable[[str, xr.DataArray], xr.Dataset],
    *,
    title: str,
    references: str,
    settings: Mapping[str, Any],
    activations: Path,
    threads: int,
    output: Path,
    engine_name: str = "threads",
    workers: int = 1,
) -> None:
    """Derive something from the activations of every layer.

    Parameters
    ----------
    step, kind : its name, and that of the contract of the store it writes
    derived : layer, activation as a Dask array → dataset
    title, references, settings : for the attributes of the store; the snapshot is added to the title
    activations : the store of activations
    threads : cores to use; of ``slurm``, of each of the workers
    output : the store to write
    engine_name, workers : where to compute
    """
    recorded = store.read(activations, "activations", chunks={})

    def layers() -> Iterator[tuple[str, xr.Dataset]]:
        for layer, dataset in recorded.layers.items():
            with about(f"{activations}: {layer}"):
                result = derived(layer, dataset["activation"])
            yield layer, result

    attributes = store.stamp(
        f"{title} of {recorded.attributes['snapshot']}",
        step,
        settings,
        references=references,
        **{name: recorded.attributes[name] for name in INHERITED},
    )
    with engine.of(engine_name, threads, workers):
        store.save(layers(), output, kind, attributes)
