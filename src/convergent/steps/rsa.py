"""Compare the dissimilarities of the images in two snapshots, layer by layer."""

import argparse
from pathlib import Path

import xarray as xr

from convergent.measures.rsa import rsa
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _sides.add_arguments(parser, "dissimilarities")
    parser.add_argument("--permutations", type=int, default=200, help="permutations of the images, the null")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, permutations: int, **stores: Path) -> None:
    sides = _sides.read(stores["a"], stores["b"], "rdms")
    of_pair = _sides.attributes(*sides)

    def measured(layer: str, a: xr.Dataset, b: xr.Dataset) -> xr.Dataset:
        found = rsa(a.compute(), b.compute(), permutations=permutations, generator=_sides.generator(of_pair, layer))
        return found.assign_attrs(spatial=a.attrs["spatial"], n=a.sizes["image"])

    _sides.derive(
        "rsa",
        "measure",
        measured,
        sides,
        title="Comparison of the dissimilarities of the images in A and B",
        references="Kriegeskorte, Mur, Bandettini 2008, doi 10.3389/neuro.06.004.2008",
        settings={"permutations": permutations},
        **stores,
    )
