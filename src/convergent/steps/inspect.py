"""Name the layers of a network, with their shapes, without computing anything."""

import argparse
import json
from pathlib import Path

from convergent import data, networks
from convergent.config import Recipe, check_layers, data_root, layers_of, network_identity, parse
from convergent.errors import InputError
from convergent.files import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", required=True, help="name of the network")
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="a recipe: a YAML file, or JSON")
    parser.add_argument(
        "--layers",
        type=json.loads,
        default='"all"',
        help='layers to refuse unless they exist, JSON: "all" post-ReLU nodes, or {network: [node, …]}',
    )
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")


def run(
    *, network: str, recipe: Recipe, layers: str | dict[str, list[str]], data_root: Path | None, output: Path
) -> None:
    images = data.load(recipe.data, "training", data_root, recipe.image_size)
    made = networks.of_recipe(recipe, images)
    try:
        shapes, relu = networks.nodes(made, images.shape)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{network} does not take images of {recipe.data}, {images.shape}: {reason}") from None
    check_layers(network, layers_of(layers, network), list(shapes), relu)
    content = {
        "network": network,
        "parameters": sum(p.numel() for p in made.parameters()),
        "image_shape": images.shape,
        "identity": network_identity(recipe, Path()),
        "nodes": shapes,
        "relu": relu,
    }
    write_json(content, output)
