"""Record what a snapshot answers to the probe."""

import argparse
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from convergent import store, surgery
from convergent.config import Recipe
from convergent.steps import _trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _trained.add_arguments(parser)
    parser.add_argument("--training", required=True, type=Path, help="folder of the step train")


def run(
    *,
    recipe: Recipe,
    training: Path,
    stage: str,
    probe: Path,
    batch: int,
    threads: int,
    data_root: Path | None,
    output: Path,
) -> None:
    torch.set_num_threads(threads)
    chosen = _trained.shown(probe, recipe, data_root, threads)
    network = _trained.network(recipe, chosen.images, training, stage)
    dataset = xr.Dataset(
        {"logit": (("image", "class"), surgery.logits(network.module, chosen.batches(batch)), {"long_name": "logit"})},
        {name: chosen.dataset[name] for name in ("image_id", "label", "fold")}
        | {"class": np.array(chosen.images.class_names, dtype=np.dtypes.StringDType())},
    )
    attributes = store.stamp(
        f"Answers of {network.attributes['snapshot']}",
        "predictions",
        {"batch": batch},
        probe_fingerprint=chosen.attributes["probe_fingerprint"],
        probe_seed=chosen.attributes["probe_seed"],
        data=recipe.data,
        **network.attributes,
    )
    store.save({"/": dataset}, output, "predictions", attributes)
