"""Compare every layer of A with every layer of B by CKA of their spatial means."""

import argparse
from pathlib import Path

from convergent import store
from convergent.measures.cross_layer import cross_layer
from convergent.snapshots import network_of
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _sides.add_arguments(parser, "spatial means")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, a: Path, b: Path, output: Path) -> None:
    pooled_a, pooled_b = _sides.read(a, b, "pooled", same_layers=False)
    rows_a, rows_b = (
        {layer: dataset["activation"] for layer, dataset in pooled.layers.items()} for pooled in (pooled_a, pooled_b)
    )
    attributes = store.stamp(
        "Linear CKA of every layer of A with every layer of B",
        "cross_layer",
        {},
        references="Kornblith et al. 2019, arXiv 1905.00414",
        **_sides.attributes(pooled_a, pooled_b),
    )
    one_recipe = network_of(attributes["snapshot_a"]) == network_of(attributes["snapshot_b"])
    store.save({"/": cross_layer(rows_a, rows_b, one_recipe=one_recipe)}, output, "measure", attributes)
