"""Measure the mutual information of all units of a pair, and how far it matches them as correlation does."""

import argparse
import json
from pathlib import Path

import numpy as np
import xarray as xr

from convergent import engine, joint_histograms, store
from convergent.errors import InputError
from convergent.measures.mutual_information import mutual_information
from convergent.steps import _pair, _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for side in "ab":
        parser.add_argument(
            f"--activations-{side}", required=True, type=Path, help=f"store of activations of {side.upper()}"
        )
        parser.add_argument(f"--edges-{side}", required=True, type=Path, help=f"store of edges of {side.upper()}")
    _pair.add_arguments(parser)
    parser.add_argument(
        "--permutations", required=True, type=int, help="replicates of the permuted null, as in the moments"
    )
    engine.add_arguments(parser)


def run(
    *,
    activations_a: Path,
    activations_b: Path,
    edges_a: Path,
    edges_b: Path,
    permutations: int,
    threads: int,
    engine_name: str = "threads",
    workers: int = 1,
    between: Path,
    **stores: Path,
) -> None:
    recorded_a, recorded_b = (store.read(path, "activations", chunks={}) for path in (activations_a, activations_b))
    cut_a, cut_b = (store.read(path, "edges") for path in (edges_a, edges_b))
    pair = store.read(between, "moments_between").attributes
    sides = [("a", activations_a, recorded_a), ("b", activations_b, recorded_b), ("a", edges_a, cut_a)]
    _sides.check(between, pair, [*sides, ("b", edges_b, cut_b)])
    cut_by, cut_b_by = (json.loads(cut.attributes["parameters"]) for cut in (cut_a, cut_b))
    if cut_by != cut_b_by:
        raise InputError(f"{edges_a} was cut by {cut_by}, {edges_b} by {cut_b_by}; cut both alike")

    def measured(layer: str, moments: xr.Dataset, generator: np.random.Generator) -> xr.Dataset:
        histograms = joint_histograms.between(
            recorded_a.layers[layer]["activation"],
            recorded_b.layers[layer]["activation"],
            cut_a.layers[layer],
            cut_b.layers[layer],
            permutations=permutations,
            seed=recorded_a.attributes["probe_seed"],
        )
        return mutual_information(histograms, moments)

    with engine.of(engine_name, threads, workers):
        _pair.measure(
            "mutual_information",
            measured,
            title="Mutual information of the units of A and B, and the matching by it",
            references="Li et al. 2016, arXiv 1511.07543, section 3.2; Miller 1955 (bias)",
            settings=cut_by | {"permutations": permutations},
            between=between,
            **stores,
        )
