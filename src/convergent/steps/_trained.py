"""What the steps that run trained networks share: the images of the probe, the network of a snapshot, pairs."""

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from convergent import data, networks, store
from convergent.config import Recipe, check_layers, data_root, parse
from convergent.errors import InputError
from convergent.files import read_json
from convergent.steps import _sides

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Shown:
    """The images of a probe.

    Attributes
    ----------
    images : the held-out images of its data set
    dataset : the probe, with ``image_id``, ``label`` and ``fold`` along ``image``
    indices : of its images among all that are held out, [image]
    attributes : of its store
    """

    images: data.Images
    dataset: xr.Dataset
    indices: torch.Tensor
    attributes: dict[str, Any]

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """The images in order, normalised."""
        return (self.images.normalised(batch) for batch in self.indices.split(size))

    def of_folds(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
        """Batches of one fold each, on the device: normalised images, labels, the fold."""
        fold = torch.from_numpy(self.dataset["fold"].values)
        for index in fold.unique().tolist():
            for batch in self.indices[fold == index].split(size):
                yield self.images.normalised(batch).to(DEVICE), self.images.labels[batch].to(DEVICE), index


@dataclass(frozen=True)
class Network:
    """The network of a snapshot on the device, the folder of its training, and what a store says of it."""

    module: nn.Module
    training: Path
    attributes: dict[str, Any]


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
        shared = {"probe_fingerprint": self.chosen.attributes["probe_fingerprint"], "data": self.recipe.data}
        return _sides.attributes(*(store.Store({}, side.attributes | shared) for side in (self.a, self.b)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="the recipe: a YAML file, or JSON")
    parser.add_argument("--stage", required=True, help="the stage of the networks")
    parser.add_argument("--probe", required=True, type=Path, help="store of the step probe")
    parser.add_argument("--batch", type=int, default=100, help="images in one forward pass")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def add_arguments_of_pair(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--inspected", required=True, type=Path, help="JSON file of the step inspect")
    parser.add_argument(
        "--layers", type=json.loads, default='"all"', help='JSON: "all" post-ReLU nodes, or a list of nodes'
    )
    for side in "ab":
        parser.add_argument(f"--training-{side}", required=True, type=Path, help=f"folder of {side.upper()} by train")


def pair(
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
    check_layers(graph["network"], layers, list(graph["nodes"]), graph["relu"])
    chosen = shown(probe, recipe, data_root)
    a, b = (network(recipe, chosen.images, training, stage) for training in (training_a, training_b))
    names = graph["relu"] if layers == "all" else layers
    return Pair(recipe, a, b, chosen, list(names), set(graph["relu"]), batch)


def check(path: Path, opened: store.Store, sides: Mapping[str, Network]) -> None:
    """Refuse a store of a pair that is not of these networks, by side."""
    networks_of = ((side, one.training, store.Store({}, one.attributes)) for side, one in sides.items())
    _sides.check(path, opened.attributes, networks_of)


def shown(probe: Path, recipe: Recipe, data_root: Path | None) -> Shown:
    """The images of a probe.

    Raises
    ------
    InputError : where they are no longer what was chosen
    """
    chosen = store.read(probe, "probe")
    dataset = chosen.layers["/"].load()
    images = data.load(recipe.data, "held_out", data_root, recipe.image_size)
    indices = torch.from_numpy(dataset["source_index"].values)
    if data.fingerprint(images, indices.numpy()) != chosen.attributes["probe_fingerprint"]:
        raise InputError(
            f"{probe}: the images of {recipe.data} have changed since the probe was chosen; make the probe anew"
        )
    return Shown(images, dataset, indices, chosen.attributes)


def network(recipe: Recipe, images: data.Images, training: Path, stage: str) -> Network:
    """The network of a snapshot.

    Raises
    ------
    InputError : where the training kept no such stage, or its weights are not those that it wrote
    """
    trained = read_json(training / "training.json", "checkpoints", "seed", "held_out_accuracy")
    if not isinstance(trained["checkpoints"], dict) or stage not in trained["checkpoints"]:
        raise InputError(f"{training / 'training.json'}: no stage {stage}, but {trained['checkpoints']}")
    made = networks.of_recipe(recipe, images)
    weights = (training / f"{stage}.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest()[:16] != trained["checkpoints"][stage]:
        raise InputError(f"{training}: {stage}.safetensors is not what the training wrote; train again")
    try:
        made.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{training}: {stage}.safetensors holds no weights of this recipe: {told}") from None
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = False  # float32 means float32
    # Channels last, as they are stored: the convolutions are no slower, and no block is transposed.
    made.to(DEVICE, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    attributes = {
        "snapshot": f"{training.name}-{stage}",
        "seed": trained["seed"],
        "stage": stage,
        "checkpoint_digest": trained["checkpoints"][stage],
        **({"held_out_accuracy": trained["held_out_accuracy"]} if stage == "final" else {}),
    }
    return Network(made, training, attributes)
