"""Find the images that excite every unit of a snapshot most."""

import argparse
from typing import Any

from convergent import exemplars
from convergent.steps import _snapshot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _snapshot.add_arguments(parser)
    parser.add_argument("--images", type=int, default=9, help="images of each unit, at most")


def run(*, images: int, **arguments: Any) -> None:
    _snapshot.derive(
        "exemplars",
        "exemplars",
        lambda layer, activation: exemplars.of_units(activation, images=images),
        title="Images that excite the units most",
        references="Li et al. 2016, arXiv 1511.07543, figure 2; Zeiler and Fergus 2014, arXiv 1311.2901",
        settings={"images": images},
        **arguments,
    )
