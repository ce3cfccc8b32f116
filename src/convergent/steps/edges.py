"""Cut the activations of every unit of a snapshot into bins, for mutual information."""

import argparse
from dataclasses import asdict
from typing import Any

from convergent import bins
from convergent.config import MutualInformation, add_settings
from convergent.steps import _snapshot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _snapshot.add_arguments(parser)
    add_settings(parser, MutualInformation, "mutual_information")


def run(*, settings: MutualInformation, **arguments: Any) -> None:
    _snapshot.derive(
        "edges",
        "edges",
        lambda layer, activation: bins.edges(activation, **asdict(settings)),
        title="Bins of the activations",
        references="Li et al. 2016, arXiv 1511.07543, section 3.2",
        settings=asdict(settings),
        **arguments,
    )
