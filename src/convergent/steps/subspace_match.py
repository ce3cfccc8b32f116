"""Match the subspaces that the units of a pair span, at every distance, beside two nulls."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent.config import SubspaceMatch, add_settings
from convergent.measures.subspace_match import subspace_match
from convergent.steps import _pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)
    add_settings(parser, SubspaceMatch, "subspace_match")


def run(*, settings: SubspaceMatch, **stores: Path) -> None:
    _pair.measure(
        "subspace_match",
        lambda layer, moments, generator: subspace_match(moments, **asdict(settings), generator=generator),
        title="Maximum and minimal matches of the subspaces that units of A and B span",
        references="Wang et al. 2018, arXiv 1810.11750",
        settings=asdict(settings),
        **stores,
    )
