"""Mean, spread, zeros, maximum and histogram of every unit of one snapshot."""

import argparse
from pathlib import Path

from convergent import engine, histograms, store
from convergent.measures.statistics import statistics

INHERITED = ("snapshot", "seed", "stage", "checkpoint_digest", "probe_fingerprint", "data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--activations", required=True, type=Path, help="store of activations")
    parser.add_argument("--moments", required=True, type=Path, help="moments within the snapshot")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, activations: Path, moments: Path, threads: int, output: Path) -> None:
    recorded = store.read(activations, "activations", chunks={})
    summed = store.read(moments, "moments_within")
    with engine.threads(threads):
        layers = {
            layer: statistics(dataset, histograms.of_units(recorded.layers[layer]["activation"])).assign_attrs(
                spatial=dataset.attrs["spatial"]
            )
            for layer, dataset in summed.layers.items()
        }
    attributes = store.stamp(
        f"Activation statistics of {summed.attributes['snapshot']}",
        "statistics",
        {},
        references="Li et al. 2016, arXiv 1511.07543, supplement",
        **{name: summed.attributes[name] for name in INHERITED},
    )
    store.save(layers, output, "measure", attributes)
