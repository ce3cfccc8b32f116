"""Draw one figure of a comparison."""

import argparse
import importlib
from collections import defaultdict
from pathlib import Path

from convergent import figures, store

SHARED = {"style", "bands", "by_depth", "layer_map", "mosaic", "order"}
FIGURES = sorted({path.stem for path in Path(figures.__file__).parent.glob("[a-z]*.py")} - SHARED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--figure", required=True, choices=FIGURES, help="what to draw")
    parser.add_argument(
        "--stores", required=True, nargs="+", type=Path, help="stores of the measures it draws, in order of pairs"
    )
    parser.add_argument(
        "--untrained", nargs="*", type=Path, default=[], help="the same stores of the same seeds untrained"
    )
    parser.add_argument(
        "--output", required=True, nargs="+", type=Path, help="files to write; the suffix tells the format"
    )


def run(*, figure: str, stores: list[Path], untrained: list[Path], output: list[Path]) -> None:
    module = importlib.import_module(f"convergent.figures.{figure}")
    drawn = module.draw(_by_measure(stores), _by_measure(untrained))
    for path in output:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date, equal results give equal files.
        drawn.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _by_measure(paths: list[Path]) -> dict[str, list[store.Store]]:
    """Open stores, sorted by the measure, the name of their folder."""
    opened: dict[str, list[store.Store]] = defaultdict(list)
    for path in paths:
        measure = path.parent.name
        opened[measure].append(store.read(path, "patches" if measure == "patches" else "measure"))
    return opened
