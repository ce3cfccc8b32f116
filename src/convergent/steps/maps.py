"""Fit the maps that put the units of one network in the place of those of the other, for stitching."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent.config import Stitching, add_settings
from convergent.measures.maps import maps
from convergent.steps import _pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)
    add_settings(parser, Stitching, "stitching")


def run(*, settings: Stitching, **stores: Path) -> None:
    _pair.measure(
        "maps",
        lambda layer, moments, generator: maps(moments, alphas=settings.alphas),
        title="Affine maps between the units of A and B",
        references="Li et al. 2016, arXiv 1511.07543",
        settings=asdict(settings),
        **stores,
    )
