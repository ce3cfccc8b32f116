"""Compute the dissimilarities of the images in every layer of one snapshot."""

import argparse
from typing import Any

import numpy as np

from convergent import rdms
from convergent.steps import _snapshot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _snapshot.add_arguments(parser)
    parser.add_argument("--images", type=int, default=2000, help="images, at most: the first of the probe")


def run(*, images: int, **arguments: Any) -> None:
    _snapshot.derive(
        "rdm",
        "rdms",
        # Whole matrices are what xarray's users expect; of float32, they take no more than a triangle of float64.
        lambda layer, activation: rdms.of(activation, images).astype(np.float32),
        title="Dissimilarities of the images",
        references="Kriegeskorte, Mur, Bandettini 2008, doi 10.3389/neuro.06.004.2008",
        settings={"images": images},
        **arguments,
    )
