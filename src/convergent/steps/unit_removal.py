"""Remove units of every layer by how much they are shared with the other network, and count what is lost."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from convergent import store, surgery
from convergent.config import UnitRemoval, add_settings
from convergent.errors import InputError
from convergent.folds import Array
from convergent.measures.unit_removal import masks, shares_of, unit_removal, units
from convergent.steps import _sides, _trained, _trained_pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _trained_pair.add_arguments(parser)
    for side in "ab":
        parser.add_argument(f"--{side}", required=True, type=Path, help=f"moments within {side.upper()}")
    parser.add_argument("--matching", required=True, type=Path, help="store of matching of the pair")
    add_settings(parser, UnitRemoval, "unit_removal")


def run(*, a: Path, b: Path, matching: Path, settings: UnitRemoval, output: Path, **options: Any) -> None:
    pair = _trained_pair.load(**options)
    matched = store.read(matching, "measure")
    within = {side: store.read(path, "moments_within") for side, path in (("a", a), ("b", b))}
    _sides.check(matching, matched.attributes, [("a", a, within["a"]), ("b", b, within["b"])])
    pair.check(matching, matched, {"a": pair.a, "b": pair.b})
    if missing := [layer for layer in pair.layers if layer not in matched.layers]:
        raise InputError(f"{matching}: holds no matching of {', '.join(missing)}; make it anew")
    generators = {layer: _sides.generator(pair.attributes, layer) for layer in pair.layers}
    shares = shares_of(settings.shares)
    r = {layer: [matched.layers[layer][f"r_one_to_one_{side}"].values for side in "ab"] for layer in pair.layers}
    known = {layer: [units(within[side].layers[layer].compute()) for side in "ab"] for layer in pair.layers}
    found = []
    for i, network in enumerate((pair.a, pair.b)):
        chosen = {
            layer: masks(r[layer][i], known[layer][i][1], shares, settings.draws, generators[layer])
            for layer in pair.layers
        }
        means = {layer: known[layer][i][0] for layer in pair.layers}
        found.append(_scores(pair, network, chosen, means))
    layers = {}
    for layer in pair.layers:
        dims = ("side", "order", "share", "fold")
        accuracy = xr.DataArray(np.stack([of_side[layer] for of_side in found]), {"share": shares}, dims)
        result = unit_removal(accuracy, r[layer], [variance for _, variance in known[layer]])
        images = len(pair.chosen.indices)
        layers[layer] = result.assign_attrs(spatial=within["a"].layers[layer].attrs["spatial"], n=images)
    attributes = store.stamp(
        "Accuracy of A and of B with units of a layer removed",
        "unit_removal",
        asdict(settings) | {"batch": pair.batch},
        references="Morcos et al. 2018, arXiv 1803.06959; Li et al. 2016, arXiv 1511.07543",
        **pair.attributes,
    )
    store.save(layers, output, "measure", attributes)


def _scores(
    pair: _trained_pair.Pair, network: _trained.Network, chosen: dict[str, np.ndarray], means: dict[str, Array]
) -> dict[str, Array]:
    """Accuracy by layer, [order, share, fold], each set of units once."""
    once = {layer: np.unique(of.reshape(-1, of.shape[-1]), axis=0, return_inverse=True) for layer, of in chosen.items()}
    sets = {layer: torch.from_numpy(of).to(_trained.DEVICE) for layer, (of, _) in once.items()}
    at = {layer: torch.from_numpy(of.astype(np.float32)).to(_trained.DEVICE) for layer, of in means.items()}

    def altered(layer: str, fold: int, activation: torch.Tensor) -> Iterator[torch.Tensor]:
        return surgery.removed(activation, sets[layer], at[layer])

    batches = pair.chosen.of_folds(pair.batch)
    found = surgery.accuracies(network.module, network.module, pair.layers, altered, batches)
    return {layer: of[once[layer][1].ravel()].reshape(*chosen[layer].shape[:2], -1) for layer, of in found.items()}
