"""Predict each unit of one network from few units of the other: exact LASSO paths, cross-validated by folds."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent import engine
from convergent.config import SparsePrediction, add_settings
from convergent.measures.held_out import in_turn
from convergent.measures.sparse_prediction import sparse_prediction
from convergent.steps import _pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)
    add_settings(parser, SparsePrediction, "sparse_prediction")
    engine.add_arguments(parser)


def run(
    *, settings: SparsePrediction, threads: int, engine_name: str = "threads", workers: int = 1, **stores: Path
) -> None:
    # One thread: tasks would only cost.
    in_tasks = threads > 1 or engine_name != "threads"
    with engine.of(engine_name, threads, workers):
        _pair.measure(
            "sparse_prediction",
            lambda layer, moments, generator: sparse_prediction(
                moments,
                alphas=settings.alphas,
                smallest=settings.smallest,
                run=engine.map if in_tasks else in_turn,
                array=engine.array(engine_name),
            ),
            title="LASSO prediction of every unit from the units of the other network",
            references="Li et al. 2016, arXiv 1511.07543, section 4",
            settings=asdict(settings),
            **stores,
        )
