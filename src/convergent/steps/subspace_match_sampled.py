"""Match the subspaces of a pair on samples drawn at random, as published."""

import argparse
from dataclasses import asdict
from pathlib import Path

import xarray as xr

from convergent import engine, samples
from convergent.config import SubspaceMatchSampled, add_settings
from convergent.measures.subspace_match_sampled import subspace_match_sampled
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _sides.add_arguments(parser, "activations")
    add_settings(parser, SubspaceMatchSampled, "subspace_match_sampled")
    engine.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(
    *, settings: SubspaceMatchSampled, threads: int, engine_name: str = "threads", workers: int = 1, **stores: Path
) -> None:
    recorded = _sides.read(stores["a"], stores["b"], "activations", chunks={})
    draw = {"positions": settings.positions, "draws": settings.draws, "seed": settings.seed}

    def measured(layer: str, a: xr.Dataset, b: xr.Dataset) -> xr.Dataset:
        drawn = samples.between(a["activation"], b["activation"], **draw)
        return subspace_match_sampled(drawn, epsilons=settings.epsilons, ridge=settings.ridge, dead=settings.dead)

    with engine.of(engine_name, threads, workers):
        _sides.derive(
            "subspace_match_sampled",
            "measure",
            measured,
            recorded,
            title="Maximum matches of the subspaces that units of A and B span, on samples drawn at random",
            references="Wang et al. 2018, arXiv 1810.11750, section 5",
            settings=asdict(settings),
            **stores,
        )
