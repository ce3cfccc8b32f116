"""What the steps that run trained networks share: the images of the probe and the network of a snapshot."""

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from convergent import data, networks, store
from convergent.config import Recipe, data_root, parse
from convergent.errors import InputError
from convergent.files import read_sealed

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="the recipe: a YAML file, or JSON")
    parser.add_argument("--stage", required=True, help="the stage of the networks")
    parser.add_argument("--probe", required=True, type=Path, help="store of the step probe")
    parser.add_argument("--batch", type=int, default=100, help="images in one forward pass")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def shown(probe: Path, recipe: Recipe, data_root: Path | None, threads: int) -> Shown:
    """The images of a probe, those on disk decoded by `threads`.

    Raises
    ------
    InputError : where they are no longer what was chosen
    """
    chosen = store.read(probe, "probe")
    dataset = chosen.layers["/"].load()
    images = data.load(recipe.data, "held_out", data_root, recipe.image_size, threads)
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
    trained = read_sealed(training / "training.json", "checkpoints", "seed", "held_out_accuracy")
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
