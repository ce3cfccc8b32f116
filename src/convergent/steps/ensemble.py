"""Average the answers of both networks of a pair, and say what that gains."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent import store
from convergent.config import Ensemble, add_settings
from convergent.measures.ensemble import ensemble
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _sides.add_arguments(parser, "predictions")
    add_settings(parser, Ensemble, "ensemble")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, a: Path, b: Path, settings: Ensemble, output: Path) -> None:
    sides = _sides.read(a, b, "predictions")
    of_pair = _sides.attributes(*sides)
    answers = [side.layers["/"].load() for side in sides]
    result = ensemble(*answers, generator=_sides.generator(of_pair, "/"), **asdict(settings))
    attributes = store.stamp(
        "Accuracy of the mean answer of A and B",
        "ensemble",
        asdict(settings),
        references="Hansen, Salamon 1990; Dietterich 2000",
        **of_pair,
    )
    store.save({"/": result.assign_attrs(n=answers[0].sizes["image"])}, output, "measure", attributes)
