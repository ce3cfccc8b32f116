"""What the steps that alter the networks of a pair share: both networks, and the layers to work on."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convergent import store
from convergent.config import Recipe, parse_layers
from convergent.files import read_json
from convergent.layers import chosen_layers
from convergent.steps import _sides, _trained
from convergent.steps._trained import Network, Shown


@dataclass(frozen=True)
class Pair:
    """Both networks of a pair, and what they are shown.

    Attributes
    ----------
    recipe : of both
    a, b : the networks
    chosen : the images of the probe
    layers : to work on, in order
    relu : those that follow a ReLU
    batch : images at a time
    """

    recipe: Recipe
    a: Network
    b: Network
    chosen: Shown
    layers: list[str]
    relu: set[str]
    batch: int

    @property
    def attributes(self) -> dict[str, Any]:
        """What a store made of both says of them."""
        return _sides.attributes(*(self._on_probe(side) for side in (self.a, self.b)))

    def check(self, path: Path, opened: store.Store, sides: Mapping[str, Network]) -> None:
        """Refuse a store of a pair that is not of these networks, by side, on this probe."""
        networks_of = ((side, one.training, self._on_probe(one)) for side, one in sides.items())
        _sides.check(path, opened.attributes, networks_of)

    def _on_probe(self, network: Network) -> store.Store:
        """As a store that is made of a network and the images."""
        shared = {"probe_fingerprint": self.chosen.attributes["probe_fingerprint"], "data": self.recipe.data}
        return store.Store({}, network.attributes | shared)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _trained.add_arguments(parser)
    parser.add_argument("--inspected", required=True, type=Path, help="JSON file of the step inspect")
    parser.add_argument(
        "--layers", type=parse_layers(list), default='"all"', help='JSON: "all" post-ReLU nodes, or a list of nodes'
    )
    for side in "ab":
        parser.add_argument(f"--training-{side}", required=True, type=Path, help=f"folder of {side.upper()} by train")


def load(
    *,
    recipe: Recipe,
    stage: str,
    probe: Path,
    batch: int,
    threads: int,
    data_root: Path | None,
    inspected: Path,
    layers: Any,
    training_a: Path,
    training_b: Path,
) -> Pair:
    """Both networks of a pair."""
    torch.set_num_threads(threads)
    graph = read_json(inspected, "network", "nodes", "relu")
    names = chosen_layers(graph["network"], layers, list(graph["nodes"]), graph["relu"])
    chosen = _trained.shown(probe, recipe, data_root, threads)
    a, b = (_trained.network(recipe, chosen.images, training, stage) for training in (training_a, training_b))
    return Pair(recipe, a, b, chosen, names, set(graph["relu"]), batch)
