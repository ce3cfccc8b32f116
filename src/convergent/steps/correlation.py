"""Correlate all units of a pair, with standard errors over images."""

import argparse
from pathlib import Path

from convergent.measures.correlation import correlation
from convergent.steps import _pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)


def run(**stores: Path) -> None:
    _pair.measure(
        "correlation",
        lambda layer, moments, generator: correlation(moments),
        title="Pearson correlation of all units of A with all units of B, and within each",
        references="Li et al. 2016, arXiv 1511.07543, section 2",
        settings={},
        **stores,
    )
