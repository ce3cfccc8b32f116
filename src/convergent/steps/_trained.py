"""What the steps that run networks share: the images of the probe as chosen, and weights as the training wrote them."""

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from convergent import data, networks, store
from convergent.config import Recipe
from convergent.errors import InputError
from convergent.files import read_json


def probe(recipe: Recipe, path: Path, data_root: Path | None) -> tuple[data.Images, store.Store]:
    """The held-out images of a recipe, and the store of those that were chosen.

    Raises
    ------
    InputError : where the images have changed since
    """
    chosen = store.read(path, "probe")
    images = data.load(recipe.data, "held_out", data_root, recipe.image_size)
    found = data.fingerprint(images, chosen.layers["/"]["source_index"].values)
    if found != chosen.attributes["probe_fingerprint"]:
        raise InputError(
            f"{path}: the images of {recipe.data} have changed since the probe was chosen; make the probe anew"
        )
    return images, chosen


def network(recipe: Recipe, images: data.Images, training: Path, stage: str) -> tuple[nn.Module, dict[str, Any]]:
    """The network of one stage of a training, and the description of that.

    Parameters
    ----------
    recipe, images : it was trained by, and of its data
    training : folder of the step train
    stage : one that was kept

    Raises
    ------
    InputError : where the stage was not kept, or its weights are not what the training wrote
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
    return made, trained
