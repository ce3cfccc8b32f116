"""The memory that the plan tells of a job, beside what it holds: every step of a pair, each in a process of its own.

On noise, a layer of maps and a layer of single values, in the settings of config/config.yaml with fewer penalties and
folds.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from benchmarks.memory import mebibytes
from benchmarks.result import Result
from benchmarks.stores import recorded
from convergent import store
from convergent.config import Experiment
from convergent.declarations import build
from convergent.plan import memory
from convergent.plan.shapes import Layer, Network
from convergent.provenance import canonical
from convergent.steps.plan import DEFAULT, overlaid

SHAPES = ((8, 8, 512), (384,))  # of an image, units last
CHANGES = {"probe": {"images": 2000, "folds": 4}, "sparse_prediction": {"alphas": 5}, "rsa": {"images": 1000}}
WITHIN = 1.3


def run() -> Iterator[Result]:
    default = yaml.safe_load((Path(__file__).parents[1] / DEFAULT).read_text(encoding="utf-8"))
    experiment: Experiment = build(Experiment, overlaid(default, CHANGES), "benchmark")
    for shape in SHAPES:
        *grid, units = shape
        layer = Layer(units, grid[0] * grid[1] if grid else 1)
        network = Network((layer,), *[layer.units * layer.positions] * 3, 0, 0)
        held: dict[str, float] = {}
        with tempfile.TemporaryDirectory() as folder:
            for rule, *arguments in commands(Path(folder), shape, experiment):
                held[rule] = max(held.get(rule, 0), mebibytes("convergent", rule, *arguments))
        for rule, mib in held.items():
            planned = memory.peak(rule, network, experiment) / 2**20
            yield Result(
                f"memory of {rule}, {layer.units} units × {layer.positions}: planned beside held, larger / smaller",
                max(planned / mib, mib / planned),
                WITHIN,
                at_most=True,
                details={"MiB planned": planned, "MiB held": mib},
            )


def commands(folder: Path, shape: tuple[int, ...], experiment: Experiment) -> Iterator[list[str]]:
    """The steps in order, each with what those before it wrote; the recordings are written here."""

    def at(name: str) -> str:
        return str(folder / f"{name}.zarr")

    def sides(kind: str, prefix: str = "") -> list[str]:
        return [f"--{prefix}a", at(f"{kind}_a"), f"--{prefix}b", at(f"{kind}_b")]

    def settings(section: str) -> list[str]:
        return ["--settings", canonical(asdict(getattr(experiment, section)))]

    pair = [*sides("within"), "--between", at("between")]
    rows = [*pair, *sides("pooled", "pooled-")]
    coded = [*pair, *sides("activations", "activations-"), *sides("edges", "edges-")]
    for seed, side in enumerate("ab"):
        path = folder / f"activations_{side}.zarr"
        recorded(path, experiment.probe.images, shape, seed, experiment.probe.folds)
        pool(path, folder / f"pooled_{side}.zarr")
        one = ["--activations", at(f"activations_{side}")]
        for step, more in {
            "within": ["--precision", experiment.moments.precision],
            "edges": settings("mutual_information"),
            "rdm": ["--images", str(experiment.rsa.images)],
            "exemplars": ["--images", str(experiment.patches.images)],
            "statistics": ["--moments", at(f"within_{side}")],
        }.items():
            yield [step, *one, *more, "--output", at(f"{step}_{side}")]
    for step, arguments in {
        "between": [*sides("activations"), *settings("moments")],
        "correlation": pair,
        "mutual_information": [*coded, "--permutations", str(experiment.moments.permutations)],
        "matching": [*rows, *settings("matching")],
        "sparse_prediction": [*pair, *settings("sparse_prediction")],
        "clustering": [*pair, "--sparse-prediction", at("sparse_prediction"), *settings("clustering")],
        "subspace_match": [*pair, *settings("subspace_match")],
        "subspace_match_sampled": [*sides("activations"), *settings("subspace_match_sampled")],
        "similarity": [*rows, *settings("similarity")],
        "cross_layer": sides("pooled"),
        "layer_pairs": [*sides("activations"), *settings("moments")],
        "rsa": [*sides("rdm"), "--permutations", str(experiment.rsa.permutations)],
        "maps": [*pair, *settings("stitching")],
    }.items():
        yield [step, *arguments, "--output", at(step)]


def pool(activations: Path, output: Path) -> None:
    """The spatial means of a recording, as `record` writes them."""
    recording = store.read(activations, "activations")
    layers = {}
    for name, dataset in recording.layers.items():
        grid = [dim for dim in ("y", "x") if dim in dataset.dims]
        layers[name] = dataset.mean(grid).astype(np.float32).assign_attrs(spatial="mean")
    store.save(layers, output, "pooled", recording.attributes)
