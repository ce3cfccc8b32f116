"""Name the layers of a network, with their shapes; only whether its graph is true is tried, on two images of noise."""

import argparse
from pathlib import Path

from convergent import data, networks
from convergent.config import Recipe, data_root, layers_of, network_identity, parse, parse_layers
from convergent.errors import about
from convergent.files import write_json
from convergent.layers import chosen_layers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", required=True, help="name of the network")
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="a recipe: a YAML file, or JSON")
    parser.add_argument(
        "--layers",
        type=parse_layers(dict),
        default='"all"',
        help='layers to refuse unless they exist, JSON: "all" post-ReLU nodes, or {network: [node, …]}',
    )
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")


def run(
    *, network: str, recipe: Recipe, layers: str | dict[str, list[str]], data_root: Path | None, output: Path
) -> None:
    # The held-out images have the same shape and classes, and are fewer to list.
    images = data.load(recipe.data, "held_out", data_root, recipe.image_size)
    with about(network):
        graph = networks.graph(networks.of_recipe(recipe, images), images.shape, len(images.class_names))
        networks.check_graph(networks.of_recipe(recipe, images), images.shape)
    chosen_layers(network, layers_of(layers, network), list(graph["nodes"]), graph["relu"])
    identity = network_identity(recipe, Path())
    write_json({"network": network, "image_shape": images.shape, "identity": identity} | graph, output)
