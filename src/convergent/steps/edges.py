"""Cut the activations of every unit of a snapshot into bins, for mutual information."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent import bins, engine, store
from convergent.config import MutualInformation, parse

INHERITED = ("snapshot", "seed", "stage", "checkpoint_digest", "probe_fingerprint", "data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--activations", required=True, type=Path, help="store of activations")
    parser.add_argument(
        "--settings",
        required=True,
        type=parse(MutualInformation),
        help="the mutual_information section: a YAML file, or JSON",
    )
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, activations: Path, settings: MutualInformation, threads: int, output: Path) -> None:
    recorded = store.read(activations, "activations", chunks={})
    with engine.threads(threads):
        layers = {
            layer: bins.edges(dataset["activation"], **asdict(settings)) for layer, dataset in recorded.layers.items()
        }
    attributes = store.stamp(
        f"Bins of the activations of {recorded.attributes['snapshot']}",
        "edges",
        asdict(settings),
        **{name: recorded.attributes[name] for name in INHERITED},
    )
    store.save(layers, output, "edges", attributes)
