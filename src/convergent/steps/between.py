"""Sum the activations of two snapshots up into their moments, as they are and with the images of B permuted."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import xarray as xr

from convergent import engine, moments, store
from convergent.config import Moments, parse
from convergent.errors import about
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--a", required=True, type=Path, help="store of activations of A")
    parser.add_argument("--b", required=True, type=Path, help="store of activations of B")
    parser.add_argument(
        "--settings", required=True, type=parse(Moments), help="the moments section: a YAML file, or JSON"
    )
    engine.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, a: Path, b: Path, settings: Moments, threads: int, output: Path, engine_name: str = "threads") -> None:
    recorded_a, recorded_b = _sides.read(a, b, "activations", chunks={})

    def layers() -> Iterator[tuple[str, xr.Dataset]]:
        for layer, dataset in recorded_a.layers.items():
            with about(f"{a} and {b}: {layer}"):
                sides = dataset["activation"], recorded_b.layers[layer]["activation"]
                result = moments.between(
                    *sides,
                    precision=settings.precision,
                    permutations=settings.permutations,
                    seed=recorded_a.attributes["probe_seed"],
                    compute=moments.fits(*sides, settings.permutations),
                )
            yield layer, result

    attributes = store.stamp(
        f"Moments between {recorded_a.attributes['snapshot']} (A) and {recorded_b.attributes['snapshot']} (B)",
        "between",
        asdict(settings),
        **_sides.attributes(recorded_a, recorded_b),
    )
    with engine.of(engine_name, threads):
        store.save(layers(), output, "moments_between", attributes)
