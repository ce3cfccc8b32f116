"""Sum the activations of one snapshot up into its moments, for each fold."""

import argparse
from typing import Any

from convergent import moments
from convergent.steps import _snapshot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _snapshot.add_arguments(parser)
    parser.add_argument("--precision", choices=["float64", "float32"], default="float64", help="type of the products")


def run(*, precision: str, **arguments: Any) -> None:
    _snapshot.derive(
        "within",
        "moments_within",
        lambda layer, activation: moments.within(
            activation, precision=precision, compute=moments.fits(activation, activation)
        ),
        title="Moments",
        references="Chan, Golub, LeVeque 1979",
        settings={"precision": precision},
        **arguments,
    )
