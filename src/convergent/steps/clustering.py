"""Cluster the units of both networks together, by correlation and by sparse prediction."""

import argparse
import importlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from convergent import engine, store
from convergent.config import Clustering, add_settings
from convergent.measures.clustering import clustering
from convergent.steps import _pair, _sides

NYSTROEM = "measures.nystroem"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)
    parser.add_argument("--sparse-prediction", required=True, type=Path, help="store of sparse_prediction of the pair")
    add_settings(parser, Clustering, "clustering")
    parser.add_argument(
        "--engine",
        dest="engine_name",
        choices=("threads", "cuda"),
        default="threads",
        help="where eigenproblems are solved: on the cores of the job, or on a GPU; above widest_exact units they are"
        " small (Nyström) and stay on the cores",
    )


def run(*, settings: Clustering, sparse_prediction: Path, engine_name: str = "threads", **stores: Path) -> None:
    predicted = store.read(sparse_prediction, "measure")
    sides = [(side, stores[side], store.read(stores[side], "moments_within")) for side in "ab"]
    _sides.check(sparse_prediction, predicted.attributes, sides)
    array = engine.array(engine_name)
    _pair.measure(
        "clustering",
        lambda layer, moments, generator: clustering(
            moments,
            predicted.layers[layer]["coefficient_ab"],
            approximate=_nystroem,
            array=array,
            generator=generator,
            **asdict(settings),
        ),
        title="Clusters of units of A and B together",
        references="Li et al. 2016, arXiv 1511.07543, section 4; Ng, Jordan, Weiss 2001",
        settings=asdict(settings),
        modules=[NYSTROEM],
        **stores,
    )


def _nystroem(*arguments: Any) -> np.ndarray:
    """`nystroem.normalised`, imported where a layer is that wide: dask-ml takes half a second."""
    return np.asarray(importlib.import_module(f"convergent.{NYSTROEM}").normalised(*arguments))
