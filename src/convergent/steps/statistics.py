"""Mean, spread, zeros, maximum and histogram of every unit of one snapshot."""

import argparse
from pathlib import Path
from typing import Any

import xarray as xr

from convergent import histograms, store
from convergent.errors import InputError
from convergent.measures.statistics import statistics
from convergent.steps import _snapshot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _snapshot.add_arguments(parser)
    parser.add_argument("--moments", required=True, type=Path, help="moments within the snapshot")


def run(*, moments: Path, activations: Path, **arguments: Any) -> None:
    summed = store.read(moments, "moments_within")
    recorded = store.read(activations, "activations", chunks={}).attributes
    for name in ("snapshot", "checkpoint_digest", "probe_fingerprint"):
        if summed.attributes[name] != recorded[name]:
            raise InputError(
                f"{moments} is of {name} {summed.attributes[name]}, but {activations} holds {recorded[name]}"
            )

    def measured(layer: str, activation: xr.DataArray) -> xr.Dataset:
        of_layer = summed.layers[layer]
        samples = {"spatial": of_layer.attrs["spatial"], "n": int(of_layer["n"].sum())}
        return statistics(of_layer, histograms.of_units(activation)).assign_attrs(samples)

    _snapshot.derive(
        "statistics",
        "measure",
        measured,
        title="Activation statistics",
        references="Li et al. 2016, arXiv 1511.07543, supplement",
        settings={},
        activations=activations,
        **arguments,
    )
