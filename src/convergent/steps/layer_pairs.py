"""Compare every layer of A with every layer of B unit by unit, on the coarser of their grids."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent import engine, folds, grids, moments, store
from convergent.config import Moments, add_settings
from convergent.errors import about
from convergent.measures.layer_pairs import Indices, indices, layer_pairs
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _sides.add_arguments(parser, "activations")
    add_settings(parser, Moments, "moments")
    engine.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(
    *,
    a: Path,
    b: Path,
    settings: Moments,
    threads: int,
    output: Path,
    engine_name: str = "threads",
    workers: int = 1,
) -> None:
    side_a, side_b = _sides.read(a, b, "activations", same_layers=False, chunks={})
    found: dict[tuple[str, str], Indices] = {}
    compared: dict[tuple[str, str], grids.Grid] = {}
    with engine.of(engine_name, threads, workers):
        for layer_a, of_a in side_a.layers.items():
            for layer_b, of_b in side_b.layers.items():
                pair = layer_a, layer_b
                with about(f"{a}: {layer_a} and {b}: {layer_b}"):
                    *sides, compared[pair] = grids.matched(of_a["activation"], of_b["activation"])
                    # One after the other: together they would hold every chunk until its last use.
                    within_a, within_b = (moments.within(side, precision=settings.precision) for side in sides)
                    seed = side_a.attributes["probe_seed"]
                    between = moments.between(*sides, **asdict(settings), seed=seed)
                    found[pair] = indices(folds.joined(within_a, within_b, between))
    attributes = store.stamp(
        "Every layer of A with every layer of B, unit by unit on matched grids",
        "layer_pairs",
        asdict(settings),
        references="Kornblith et al. 2019, arXiv 1905.00414; Li et al. 2016, arXiv 1511.07543",
        **_sides.attributes(side_a, side_b),
    )
    result = layer_pairs(found, compared).assign_attrs(spatial="positions of the coarser grid")
    store.save({"/": result}, output, "measure", attributes)
