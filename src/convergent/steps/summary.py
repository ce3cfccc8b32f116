"""Gather every result in one tidy table, and say it in words."""

import argparse
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from convergent import store, tables
from convergent.config import OF_ANSWERS
from convergent.reading import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--comparisons",
        required=True,
        type=json.loads,
        help='JSON: a list of {"name", "pairs": [[a, b], …], "untrained": the same or null, "measures": […]}',
    )
    parser.add_argument("--folder", required=True, type=Path, help="folder of the stores, {measure}/{pair}.zarr")
    parser.add_argument("--table", required=True, type=Path, help="CSV file to write")
    parser.add_argument("--reading", required=True, type=Path, help="text file to write (reStructuredText)")


def run(*, comparisons: list[dict[str, Any]], folder: Path, table: Path, reading: Path) -> None:
    summary = tables.summarise(_results(comparisons, folder))
    table.parent.mkdir(parents=True, exist_ok=True)
    summary.to_csv(table, index=False, float_format="%.10g")
    reading.write_text(write(summary, comparisons), encoding="utf-8")


def _results(comparisons: list[dict[str, Any]], folder: Path) -> Iterator[tables.Result]:
    @cache
    def opened(measure: str, name: str) -> store.Store:
        return store.read(folder / measure / f"{name}.zarr", "measure")

    for comparison in comparisons:
        for measure in comparison["measures"]:
            names, untrained = (_names(comparison[key], measure) for key in ("pairs", "untrained"))
            for i, name in enumerate(names):
                null = opened(measure, untrained[i]) if untrained and measure not in OF_ANSWERS else None
                yield tables.Result(comparison["name"], name, measure, opened(measure, name), null)


def _names(pairs: list[list[str]] | None, measure: str) -> list[str]:
    """Names of the stores of a measure: of snapshots for statistics, of pairs for the others."""
    if measure == "statistics":
        return list(dict.fromkeys(snapshot for pair in pairs or [] for snapshot in pair))
    return ["--".join(pair) for pair in pairs or []]
