"""Cut out what the units shown of a pair look at: patches, attributions and preferred images."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn

from convergent import patches, shown, store
from convergent.config import Patches, Recipe, add_settings, data_root, parse
from convergent.data import Images
from convergent.errors import InputError
from convergent.receptive_fields import receptive_fields
from convergent.steps import _sides, _trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="the recipe: a YAML file, or JSON")
    add_settings(parser, Patches, "patches")
    _sides.add_arguments(parser, "exemplars", "exemplars-")
    for side in "ab":
        parser.add_argument(
            f"--training-{side}", required=True, type=Path, help=f"folder of the step train of {side.upper()}"
        )
    parser.add_argument("--probe", required=True, type=Path, help="store of the step probe")
    parser.add_argument("--matching", type=Path, help="store of matching of the pair, for its best and worst matches")
    parser.add_argument("--subspace-match", type=Path, help="store of subspace_match, for a minimal match")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(
    *,
    recipe: Recipe,
    settings: Patches,
    exemplars_a: Path,
    exemplars_b: Path,
    training_a: Path,
    training_b: Path,
    probe: Path,
    matching: Path | None,
    subspace_match: Path | None,
    threads: int,
    data_root: Path | None,
    output: Path,
) -> None:
    torch.set_num_threads(threads)
    paths = {"a": exemplars_a, "b": exemplars_b}
    sides = _sides.read(exemplars_a, exemplars_b, "exemplars")
    measures = {}
    for name, path in (("matching", matching), ("subspace_match", subspace_match)):
        if path is not None:
            measures[name] = store.read(path, "measure")
            of_sides = [(side, paths[side], opened) for side, opened in zip("ab", sides, strict=True)]
            _sides.check(path, measures[name].attributes, of_sides)
    chosen = _trained.shown(probe, recipe, data_root, threads)
    images = chosen.images
    if chosen.attributes["probe_fingerprint"] != sides[0].attributes["probe_fingerprint"]:
        raise InputError(f"{exemplars_a}: of another probe than {probe}; record it anew")
    index = {images.ids[i]: int(i) for i in chosen.indices.tolist()}
    trained = [
        _network(recipe, images, training, opened, paths[side])
        for side, training, opened in zip("ab", (training_a, training_b), sides, strict=True)
    ]
    fields = receptive_fields(trained[0], list(sides[0].layers), images.shape)  # B's are the same: one recipe

    def layers() -> Iterator[tuple[str, xr.Dataset]]:
        for layer, of_positions in fields.items():
            of_layer = {name: measure.layers[layer] for name, measure in measures.items()}
            made = []
            for side, network, opened in zip("ab", trained, sides, strict=True):
                exemplars = opened.layers[layer].sel(unit=_units(of_layer, settings.units, side)).load()
                found = patches.of_layer(network, layer, of_positions, images, exemplars, index, settings.steps)
                made.append(found.rename({name: f"{name}_{side}" for name in (*found.data_vars, "unit")}))
            yield layer, xr.merge(made, join="exact", combine_attrs="drop_conflicts")

    attributes = store.stamp(
        "Patches of the units shown of A and B",
        "patches",
        asdict(settings),
        references="Li et al. 2016, arXiv 1511.07543, figure 2; Wang et al. 2018, arXiv 1810.11750",
        units=settings.units,
        **_sides.attributes(*sides),
    )
    store.save(layers(), output, "patches", attributes)


def _network(recipe: Recipe, images: Images, training: Path, exemplars: store.Store, path: Path) -> nn.Module:
    """The network of a side, where it is to run, of the weights that the exemplars are of."""
    stage, digest = exemplars.attributes["stage"], exemplars.attributes["checkpoint_digest"]
    network = _trained.network(recipe, images, training, stage)
    found = network.attributes["checkpoint_digest"]
    if found != digest:
        raise InputError(f"{path}: of {stage} {digest}, but {training} holds {found}; record anew")
    return network.module.requires_grad_(False)


def _units(measures: dict[str, xr.Dataset], most: int, side: str) -> np.ndarray:
    """The units of one side that are shown, ascending."""
    found = [np.array([], dtype=np.int64)]
    if "matching" in measures:
        found.append(shown.matched(measures["matching"], most)[f"unit_{side}"].values)
    if "subspace_match" in measures:
        found.append(shown.minimal(measures["subspace_match"], most)[f"unit_{side}"].values)
    return np.unique(np.concatenate(found))
