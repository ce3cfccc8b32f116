"""Sum the activations of two snapshots up into their moments, as they are and with the images of B permuted."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent import engine, moments, store
from convergent.config import Moments, parse
from convergent.errors import InputError, about


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--a", required=True, type=Path, help="store of activations of A")
    parser.add_argument("--b", required=True, type=Path, help="store of activations of B")
    parser.add_argument(
        "--settings", required=True, type=parse(Moments), help="the moments section: a YAML file, or JSON"
    )
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, a: Path, b: Path, settings: Moments, threads: int, output: Path) -> None:
    recorded_a, recorded_b = (store.read(path, "activations", chunks={}) for path in (a, b))
    if list(recorded_a.layers) != list(recorded_b.layers):
        raise InputError(f"{a} and {b} hold different layers: {list(recorded_a.layers)} and {list(recorded_b.layers)}")
    if recorded_a.attributes["probe_fingerprint"] != recorded_b.attributes["probe_fingerprint"]:
        raise InputError(f"{a} and {b} were recorded on different probes; record both on one")
    with engine.threads(threads):
        layers = {}
        for layer, dataset in recorded_a.layers.items():
            with about(f"{a} and {b}: {layer}"):
                layers[layer] = moments.between(
                    dataset["activation"],
                    recorded_b.layers[layer]["activation"],
                    precision=settings.precision,
                    permutations=settings.permutations,
                    seed=recorded_a.attributes["probe_seed"],
                )
    attributes = store.stamp(
        f"Moments between {recorded_a.attributes['snapshot']} (A) and {recorded_b.attributes['snapshot']} (B)",
        "between",
        asdict(settings),
        snapshot_a=recorded_a.attributes["snapshot"],
        snapshot_b=recorded_b.attributes["snapshot"],
        checkpoint_digest_a=recorded_a.attributes["checkpoint_digest"],
        checkpoint_digest_b=recorded_b.attributes["checkpoint_digest"],
        probe_fingerprint=recorded_a.attributes["probe_fingerprint"],
        data=recorded_a.attributes["data"],
    )
    store.save(layers, output, "moments_between", attributes)
