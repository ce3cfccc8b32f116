"""Name the layers of a network, with their shapes, without computing anything."""

import argparse
import difflib
import json
from pathlib import Path
from typing import Any

from convergent import data, networks
from convergent.config import Recipe, parse
from convergent.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", required=True, help="name of the network")
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="a recipe: a YAML file, or JSON")
    parser.add_argument(
        "--layers", type=json.loads, default='"all"', help='JSON: "all" post-ReLU nodes, or a list of nodes'
    )
    parser.add_argument("--data-root", type=Path, help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")


def run(*, network: str, recipe: Recipe, layers: Any, data_root: Path | None, output: Path) -> None:
    images = data.load(recipe.data, "training", data_root, recipe.image_size)
    made = networks.of_recipe(recipe, images)
    every, relu = networks.nodes(made)
    chosen = relu if layers == "all" else layers
    for layer in chosen:
        if layer not in every:
            close = difflib.get_close_matches(layer, every, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{network} has no layer {layer!r}; its post-ReLU layers are {', '.join(relu)}{hint}")
    if not chosen:
        raise InputError(f"{network} has no post-ReLU layers; name nodes of its graph under layers: {', '.join(every)}")
    parameters = sum(p.numel() for p in made.parameters())
    content = {
        "network": network,
        "parameters": parameters,
        "image_shape": images.shape,
        "layers": networks.shapes(made, chosen, images.shape),
        "nodes": every,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
