"""Sum the activations of two snapshots up into their moments, as they are and with the images of B permuted."""

import argparse
from dataclasses import asdict
from pathlib import Path

import xarray as xr

from convergent import engine, moments
from convergent.config import Moments, add_settings
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _sides.add_arguments(parser, "activations")
    add_settings(parser, Moments, "moments")
    engine.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, settings: Moments, threads: int, engine_name: str = "threads", workers: int = 1, **stores: Path) -> None:
    recorded = _sides.read(stores["a"], stores["b"], "activations", chunks={})
    snapshot_a, snapshot_b = (side.attributes["snapshot"] for side in recorded)

    def derived(layer: str, a: xr.Dataset, b: xr.Dataset) -> xr.Dataset:
        sides = a["activation"], b["activation"]
        compute = moments.fits(*sides, settings.permutations)
        return moments.between(*sides, **asdict(settings), seed=recorded[0].attributes["probe_seed"], compute=compute)

    with engine.of(engine_name, threads, workers):
        _sides.derive(
            "between",
            "moments_between",
            derived,
            recorded,
            title=f"Moments between {snapshot_a} (A) and {snapshot_b} (B)",
            references="Chan, Golub, LeVeque 1979",
            settings=asdict(settings),
            **stores,
        )
