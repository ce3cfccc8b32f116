"""Record the activations of one snapshot on the probe, in full and as spatial means."""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from convergent import data, networks, recording, store
from convergent.config import Recipe, Recording, add_settings, check_layers, data_root, parse
from convergent.errors import InputError
from convergent.files import read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="the recipe: a YAML file, or JSON")
    add_settings(parser, Recording, "recording")
    parser.add_argument("--inspected", required=True, type=Path, help="JSON file of the step inspect")
    parser.add_argument(
        "--layers", type=json.loads, default='"all"', help='JSON: "all" post-ReLU nodes, or a list of nodes'
    )
    parser.add_argument("--training", required=True, type=Path, help="folder of the step train")
    parser.add_argument("--stage", required=True, help="the stage to record")
    parser.add_argument("--probe", required=True, type=Path, help="store of the step probe")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--activations", required=True, type=Path, help="store to write")
    parser.add_argument("--pooled", required=True, type=Path, help="store of spatial means to write")


def run(
    *,
    recipe: Recipe,
    settings: Recording,
    inspected: Path,
    layers: Any,
    training: Path,
    stage: str,
    probe: Path,
    threads: int,
    data_root: Path | None,
    activations: Path,
    pooled: Path,
) -> None:
    torch.set_num_threads(1)  # of one batch; as many batches run side by side
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = False  # float32 means float32
    graph = read_json(inspected, "network", "nodes", "relu")
    check_layers(graph["network"], layers, list(graph["nodes"]), graph["relu"])
    shapes = {layer: graph["nodes"][layer] for layer in (graph["relu"] if layers == "all" else layers)}
    trained = read_json(training / "training.json", "checkpoints", "seed", "held_out_accuracy")
    chosen = store.read(probe, "probe")
    dataset = chosen.layers["/"]
    images = data.load(recipe.data, "held_out", data_root, recipe.image_size)
    indices = torch.from_numpy(dataset["source_index"].values)
    found = data.fingerprint(images, indices.numpy())
    if found != chosen.attributes["probe_fingerprint"]:
        raise InputError(
            f"{probe}: the images of {recipe.data} have changed since the probe was chosen; make the probe anew"
        )
    if not isinstance(trained["checkpoints"], dict) or stage not in trained["checkpoints"]:
        raise InputError(f"{training / 'training.json'}: no stage {stage}, but {trained['checkpoints']}")
    network = networks.of_recipe(recipe, images)
    weights = (training / f"{stage}.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest()[:16] != trained["checkpoints"][stage]:
        raise InputError(f"{training}: {stage}.safetensors is not what the training wrote; train again")
    try:
        network.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{training}: {stage}.safetensors holds no weights of this recipe: {told}") from None
    # Channels last, as they are stored: the convolutions are no slower, and no block is transposed.
    network.to("cuda" if torch.cuda.is_available() else "cpu", memory_format=torch.channels_last)  # type: ignore[call-overload]
    snapshot = f"{training.name}-{stage}"
    attributes = store.stamp(
        f"Activations of {snapshot}",
        "record",
        asdict(settings),
        snapshot=snapshot,
        seed=trained["seed"],
        stage=stage,
        checkpoint_digest=trained["checkpoints"][stage],
        probe_fingerprint=found,
        probe_seed=chosen.attributes["probe_seed"],
        data=recipe.data,
        autocast=settings.autocast,
        positions=settings.positions,
        **({"held_out_accuracy": trained["held_out_accuracy"]} if stage == "final" else {}),
    )
    batches = (images.normalised(batch) for batch in indices.split(settings.batch))
    extractor = networks.extractor(network, list(shapes))
    recording.record(
        extractor,
        batches,
        shapes,
        dataset,
        settings,
        chosen.attributes["probe_seed"],
        activations,
        pooled,
        attributes,
        max(threads, 2) if torch.cuda.is_available() else threads,
    )
