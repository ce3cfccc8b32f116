"""Sum the activations of one snapshot up into its moments, for each fold."""

import argparse
from pathlib import Path

from convergent import engine, moments, store
from convergent.errors import about

INHERITED = ("snapshot", "seed", "stage", "checkpoint_digest", "probe_fingerprint", "probe_seed", "data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--activations", required=True, type=Path, help="store of activations")
    parser.add_argument("--precision", choices=["float64", "float32"], default="float64", help="type of the products")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, activations: Path, precision: str, threads: int, output: Path) -> None:
    recorded = store.read(activations, "activations", chunks={})
    with engine.threads(threads):
        layers = {}
        for layer, dataset in recorded.layers.items():
            with about(f"{activations}: {layer}"):
                layers[layer] = moments.within(dataset["activation"], precision=precision)
    attributes = store.stamp(
        f"Moments of {recorded.attributes['snapshot']}",
        "within",
        {"precision": precision},
        **{name: recorded.attributes[name] for name in INHERITED},
    )
    store.save(layers, output, "moments_within", attributes)
