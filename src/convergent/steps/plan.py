"""Say what an experiment would cost before it runs: jobs, bytes, memory and time of every rule."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import zarr

from convergent import networks
from convergent.config import Experiment, Recipe, data_root, layers_of
from convergent.datasets import NAMED
from convergent.declarations import build
from convergent.errors import InputError, about
from convergent.experiments import check_experiment, check_recipes, load_recipe
from convergent.files import read_yaml
from convergent.layers import chosen_layers
from convergent.plan import shapes, stores, table

DEFAULT = Path("config", "config.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", type=Path, help="YAML file of an experiment; laid over config/config.yaml, as Snakemake does"
    )
    parser.add_argument("--json", action="store_true", dest="for_machines", help="rules and totals, bytes and seconds")
    parser.add_argument(
        "--like", type=Path, help="a finished store of activations, of a few images perhaps: they compress as it does"
    )


def run(*, config: Path, for_machines: bool, like: Path | None) -> None:
    experiment: Experiment = build(Experiment, overlaid(_read(DEFAULT), _read(config)), "configuration")
    check_experiment(experiment)
    recipes = {name: load_recipe(Path("config", "networks", f"{name}.yaml")) for name in experiment.networks}
    described = {name: described_network(name, recipe, experiment) for name, recipe in recipes.items()}
    check_recipes(experiment, recipes)
    plan = table.rows(experiment, recipes, described, ratio(like) if like else None)
    print(as_json(plan) if for_machines else table.text(plan))


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration over another, mappings key by key."""
    merged = dict(below)
    for name, value in above.items():
        before = merged.get(name)
        merged[name] = overlaid(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def described_network(name: str, recipe: Recipe, experiment: Experiment) -> shapes.Network:
    """What a plan knows of a network, from meta tensors."""
    known = NAMED.get(recipe.data)
    image_shape = (known.shape if known else None) or _of_size(recipe, name)
    classes = known.classes if known else _classes(recipe)
    architecture = recipe.architecture
    file = Path(architecture.file) if architecture.file else None
    arguments = architecture.name, architecture.arguments, file, classes, image_shape[0]
    with about(name):
        try:
            with torch.device("meta"):
                made = networks.build(*arguments)
        except InputError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise
            # Some, as RegNet, compute with tensors while they are built.
            made = networks.build(*arguments)
        graph = networks.graph(made, image_shape, classes)
    chosen = chosen_layers(name, layers_of(experiment.layers, name), list(graph["nodes"]), graph["relu"])
    return shapes.network(graph, chosen, experiment.recording.positions)


def ratio(path: Path) -> float:
    """Bytes of the activations of a store for each byte of its chunks."""
    if not (path / "zarr.json").is_file():
        raise InputError(f"--like: there is no store {path}")
    group = zarr.open_group(path, mode="r")
    arrays = [array for name, array in group.members(max_depth=None) if name.endswith("/activation")]
    found = [(array.nbytes, array.nbytes_stored()) for array in arrays if isinstance(array, zarr.Array)]
    if not found:
        raise InputError(f"--like: {path} is no store of activations")
    values, stored = (sum(sizes) for sizes in zip(*found, strict=True))
    return float(values / stored)


def as_json(plan: list[table.Row]) -> str:
    """Rows and totals."""
    return json.dumps({"rules": [asdict(row) for row in plan], "totals": table.totals(plan)}, indent=1)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"there is no file {path}; run this in the folder of the project")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a mapping of keys")
    return content


def _of_size(recipe: Recipe, name: str) -> tuple[int, int, int]:
    if recipe.image_size is None:
        raise InputError(
            f"config/networks/{name}.yaml: image_size: needed for {recipe.data}, whose images are of many sizes"
        )
    return 3, recipe.image_size, recipe.image_size


def _classes(recipe: Recipe) -> int:
    """Classes of a folder of images, where it is there."""
    root = data_root()
    folders = (root / recipe.data / "train").glob("*") if root else ()
    return sum(path.is_dir() for path in folders) or stores.CLASSES_OF_FOLDER
