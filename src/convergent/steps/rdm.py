"""Compute the dissimilarities of the images in every layer of one snapshot."""

import argparse
from pathlib import Path

import numpy as np

from convergent import engine, rdms, store

INHERITED = ("snapshot", "seed", "stage", "checkpoint_digest", "probe_fingerprint", "probe_seed", "data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--activations", required=True, type=Path, help="store of activations")
    parser.add_argument("--images", type=int, default=2000, help="images, at most: the first of the probe")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, activations: Path, images: int, threads: int, output: Path) -> None:
    recorded = store.read(activations, "activations", chunks={})
    with engine.threads(threads):
        # Whole matrices are what xarray's users expect; of float32, they take no more than a triangle of float64.
        layers = {
            layer: rdms.of(dataset["activation"], images).astype(np.float32)
            for layer, dataset in recorded.layers.items()
        }
    attributes = store.stamp(
        f"Dissimilarities of the images in {recorded.attributes['snapshot']}",
        "rdm",
        {"images": images},
        references="Kriegeskorte, Mur, Bandettini 2008, doi 10.3389/neuro.06.004.2008",
        **{name: recorded.attributes[name] for name in INHERITED},
    )
    store.save(layers, output, "rdms", attributes)
