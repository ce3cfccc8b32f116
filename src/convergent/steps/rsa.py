"""Compare the dissimilarities of the images in two snapshots, layer by layer."""

import argparse
from pathlib import Path

from convergent import store
from convergent.errors import about
from convergent.measures.rsa import rsa
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--a", required=True, type=Path, help="store of dissimilarities of A")
    parser.add_argument("--b", required=True, type=Path, help="store of dissimilarities of B")
    parser.add_argument("--permutations", type=int, default=200, help="permutations of the images, the null")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, a: Path, b: Path, permutations: int, output: Path) -> None:
    rdms_a, rdms_b = _sides.read(a, b, "rdms")
    of_pair = _sides.attributes(rdms_a, rdms_b)
    layers = {}
    for layer, dataset in rdms_a.layers.items():
        with about(f"{a} and {b}: {layer}"):
            measured = rsa(
                dataset,
                rdms_b.layers[layer],
                permutations=permutations,
                generator=_sides.generator(of_pair, layer),
            )
        layers[layer] = measured.assign_attrs(spatial=dataset.attrs["spatial"], n=dataset.sizes["image"])
    attributes = store.stamp(
        "Comparison of the dissimilarities of the images in A and B",
        "rsa",
        {"permutations": permutations},
        references="Kriegeskorte, Mur, Bandettini 2008, doi 10.3389/neuro.06.004.2008",
        **of_pair,
    )
    store.save(layers, output, "measure", attributes)
