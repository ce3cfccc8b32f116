"""Record the activations of one snapshot on the probe, in full and as spatial means."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from convergent import networks, recording, store
from convergent.config import Recipe, Recording, add_settings, data_root, parse, parse_layers
from convergent.files import read_json
from convergent.layers import chosen_layers
from convergent.steps import _trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="the recipe: a YAML file, or JSON")
    add_settings(parser, Recording, "recording")
    parser.add_argument("--inspected", required=True, type=Path, help="JSON file of the step inspect")
    parser.add_argument(
        "--layers", type=parse_layers(list), default='"all"', help='JSON: "all" post-ReLU nodes, or a list of nodes'
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
    graph = read_json(inspected, "network", "nodes", "relu")
    names = chosen_layers(graph["network"], layers, list(graph["nodes"]), graph["relu"])
    shapes = {layer: graph["nodes"][layer] for layer in names}
    chosen = _trained.shown(probe, recipe, data_root, threads)
    network = _trained.network(recipe, chosen.images, training, stage)
    attributes = store.stamp(
        f"Activations of {network.attributes['snapshot']}",
        "record",
        asdict(settings),
        probe_fingerprint=chosen.attributes["probe_fingerprint"],
        probe_seed=chosen.attributes["probe_seed"],
        data=recipe.data,
        autocast=settings.autocast,
        positions=settings.positions,
        **network.attributes,
    )
    recording.record(
        networks.extractor(network.module, list(shapes)),
        chosen.batches(settings.batch),
        shapes,
        chosen.dataset,
        settings,
        chosen.attributes["probe_seed"],
        activations,
        pooled,
        attributes,
        max(threads, 2) if torch.cuda.is_available() else threads,
    )
