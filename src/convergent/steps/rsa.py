"""Compare the dissimilarities of the images in two snapshots, layer by layer."""

import argparse
from pathlib import Path

import numpy as np

from convergent import store
from convergent.errors import InputError
from convergent.measures.rsa import rsa


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--a", required=True, type=Path, help="store of dissimilarities of A")
    parser.add_argument("--b", required=True, type=Path, help="store of dissimilarities of B")
    parser.add_argument("--permutations", type=int, default=200, help="permutations of the images, the null")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, a: Path, b: Path, permutations: int, output: Path) -> None:
    rdms_a, rdms_b = (store.read(path, "rdms") for path in (a, b))
    if list(rdms_a.layers) != list(rdms_b.layers):
        raise InputError(f"{a} and {b} hold different layers: {list(rdms_a.layers)} and {list(rdms_b.layers)}")
    if rdms_a.attributes["probe_fingerprint"] != rdms_b.attributes["probe_fingerprint"]:
        raise InputError(f"{a} and {b} were recorded on different probes; record both on one")
    sides = {"a": rdms_a.attributes, "b": rdms_b.attributes}
    pair = "--".join(attributes["snapshot"] for attributes in sides.values())
    layers = {}
    for layer, dataset in rdms_a.layers.items():
        generator = np.random.default_rng([*pair.encode(), *layer.encode()])
        measured = rsa(dataset, rdms_b.layers[layer], permutations=permutations, generator=generator)
        layers[layer] = measured.assign_attrs(spatial=dataset.attrs["spatial"], n=dataset.sizes["image"])
    attributes = store.stamp(
        "Comparison of the dissimilarities of the images in A and B",
        "rsa",
        {"permutations": permutations},
        references="Kriegeskorte, Mur, Bandettini 2008, doi 10.3389/neuro.06.004.2008",
        **{f"snapshot_{side}": attributes["snapshot"] for side, attributes in sides.items()},
        **{f"checkpoint_digest_{side}": attributes["checkpoint_digest"] for side, attributes in sides.items()},
        probe_fingerprint=rdms_a.attributes["probe_fingerprint"],
        data=rdms_a.attributes["data"],
    )
    store.save(layers, output, "measure", attributes)
