"""Match the units of a pair, each with its best partner and one to one, beside its nulls."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent.config import Matching, add_settings
from convergent.measures.matching import matching
from convergent.steps import _pair, _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)
    _sides.add_arguments(parser, "spatial means", "pooled-")
    add_settings(parser, Matching, "matching")


def run(*, settings: Matching, pooled_a: Path, pooled_b: Path, **stores: Path) -> None:
    rows = _pair.pooled(stores["between"], pooled_a, pooled_b)
    _pair.measure(
        "matching",
        lambda layer, moments, generator: matching(moments, *rows(layer), generator=generator, **asdict(settings)),
        title="Matching of the units of A and B by signed correlation",
        references="Li et al. 2016, arXiv 1511.07543, section 3",
        settings=asdict(settings),
        **stores,
    )
