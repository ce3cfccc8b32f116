"""Gather every result in one tidy table, and say it in words."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from convergent import gain, setting, store, tables
from convergent.config import Recipe, of_json
from convergent.declarations import build
from convergent.files import read_sealed
from convergent.measure_kinds import ALIKE, OF_ANSWERS
from convergent.reading import of_store, write
from convergent.snapshots import network_of

# What is opened of a store: for the table, the words and the dissimilarity.
VARIABLES = (*tables.VARIABLES, "minimal_size", "r_one_to_one", "layer_a", "layer_b")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--comparisons",
        required=True,
        type=_comparisons,
        help='JSON, or - to read it from standard input: a list of {"name", "pairs": [[a, b], …], "untrained": name of '
        'the comparison that is its null, or null, "measures": […], "figures": […]}',
    )
    parser.add_argument("--name", help="name of the experiment; none: the default one")
    parser.add_argument("--trainings", required=True, nargs="+", type=Path, help="folders of the step train")
    parser.add_argument("--probes", required=True, nargs="+", type=Path, help="stores of the step probe")
    parser.add_argument("--folder", required=True, type=Path, help="folder of the stores, {measure}/{pair}.zarr")
    parser.add_argument("--table", required=True, type=Path, help="CSV file to write")
    parser.add_argument("--reading", required=True, type=Path, help="text file to write (reStructuredText)")


def _comparisons(text: str) -> Any:
    return of_json(sys.stdin.read() if text == "-" else text, "--comparisons")


def run(
    *,
    comparisons: list[dict[str, Any]],
    name: str | None,
    trainings: list[Path],
    probes: list[Path],
    folder: Path,
    table: Path,
    reading: Path,
) -> None:
    details = {}

    def results() -> Iterator[tables.Result]:
        for result in _results(comparisons, folder):
            details[result.comparison, network_of(result.pair), result.measure] = of_store(result.store)
            yield result

    trained = [_training(path) for path in trainings]
    summary = tables.summarise(results())
    correlations = gain.correlations(summary, {training.network: training.data for training in trained})
    if correlations:  # an empty table has columns of objects, and would make all of them so
        summary = pd.concat([summary, gain.rows(correlations)], ignore_index=True)
    table.parent.mkdir(parents=True, exist_ok=True)
    summary.to_csv(table, index=False, float_format="%.10g")
    opening = setting.write(name, trained, [_probe(path) for path in probes], comparisons)
    reading.write_text(write(summary, details, comparisons, opening, correlations), encoding="utf-8")


def _training(path: Path) -> setting.Training:
    content = read_sealed(path / "training.json", "recipe", "seed", "held_out_accuracy")
    recipe = build(Recipe, content["recipe"], f"{path / 'training.json'}: recipe")
    return setting.Training(
        network=path.name.rpartition("-s")[0],
        seed=content["seed"],
        data=recipe.data,
        architecture=recipe.architecture.name,
        epochs=recipe.training.epochs,
        accuracy=content["held_out_accuracy"],
    )


def _probe(path: Path) -> setting.Probe:
    opened = store.read(path, "probe")
    images = opened.layers["/"]
    classes, folds = (len(set(images[name].values.tolist())) for name in ("label", "fold"))
    return setting.Probe(opened.attributes["data"], images.sizes["image"], classes, folds)


def _results(comparisons: list[dict[str, Any]], folder: Path) -> Iterator[tables.Result]:
    """One at a time: a store that is a null too is opened twice, which costs less than to keep it."""

    def opened(measure: str, name: str) -> store.Store:
        return store.read(folder / measure / f"{name}.zarr", "measure", variables=VARIABLES)

    pairs = {comparison["name"]: comparison["pairs"] for comparison in comparisons}
    for comparison in comparisons:
        measures = comparison["measures"]
        for measure in measures:
            names = _names(comparison["pairs"], measure)
            untrained = _names(pairs.get(comparison["untrained"], []), measure)
            for i, name in enumerate(names):
                null = opened(measure, untrained[i]) if untrained and measure not in OF_ANSWERS else None
                yield tables.Result(comparison["name"], name, measure, opened(measure, name), null)
        alike = next((measure for measure in ALIKE if measure in measures), None)
        if "ensemble" in measures and alike:
            for name in _names(comparison["pairs"], "ensemble"):
                yield tables.Result(comparison["name"], name, "ensemble", gain.of_pair(opened(alike, name)), None)


def _names(pairs: list[list[str]], measure: str) -> list[str]:
    """Names of the stores of a measure: of snapshots for statistics, of pairs for the others."""
    if measure == "statistics":
        return list(dict.fromkeys(snapshot for pair in pairs for snapshot in pair))
    return ["--".join(pair) for pair in pairs]
