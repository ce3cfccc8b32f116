"""Replace every layer of one network by that of the other, and count what is still answered right."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from convergent import store, surgery
from convergent.errors import InputError
from convergent.measures.stitching import stitching
from convergent.steps import _trained, _trained_pair

NAMES = {"ab": "a_to_b", "ba": "b_to_a"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _trained_pair.add_arguments(parser)
    parser.add_argument("--maps", required=True, type=Path, help="store of the step maps of the pair")
    parser.add_argument(
        "--untrained",
        nargs="*",
        type=Path,
        default=[],
        help="the same from A untrained to B, and from B untrained to A; none: without that control",
    )


def run(*, maps: Path, untrained: list[Path], output: Path, **options: Any) -> None:
    if len(untrained) not in (0, 2):
        raise InputError(f"--untrained: {len(untrained)} given, but a store for each direction is needed, or none")
    pair = _trained_pair.load(**options)
    scores = _directions([_scores(pair, pair.a, pair.b, maps, "ab"), _scores(pair, pair.b, pair.a, maps, "ba")])
    null: dict[str, xr.Dataset] = {}
    if untrained:
        before = [_trained.network(pair.recipe, pair.chosen.images, side.training, "init") for side in (pair.a, pair.b)]
        sides = zip(before, (pair.b, pair.a), untrained, strict=True)
        null = _directions([_scores(pair, sender, receiver, path, "ab") for sender, receiver, path in sides])
    labels = pair.chosen.dataset["label"].values
    guessed = float(np.bincount(labels).max() / len(labels))
    layers = {
        layer: stitching(of_layer, guessed, null.get(layer)).assign_attrs(
            of_layer.attrs | {"n": len(labels), "bypassed": int(surgery.bypassed(surgery.after(pair.b.module, layer)))}
        )
        for layer, of_layer in scores.items()
    }
    attributes = store.stamp(
        "Accuracy of each network with a layer of the other in the place of its own",
        "stitching",
        {"batch": pair.batch},
        references="Lenc, Vedaldi 2015, arXiv 1411.5908; Bansal et al. 2021, arXiv 2106.07682",
        untrained_sender="the same seed at init" if untrained else "left out: no stage init but that of the pair",
        **pair.attributes,
    )
    store.save(layers, output, "measure", attributes)


def _scores(
    pair: _trained_pair.Pair, sender: _trained.Network, receiver: _trained.Network, path: Path, direction: str
) -> dict[str, xr.Dataset]:
    """Accuracy of one direction by layer: stitched [map, fold], intact [fold]; and the numbers of weights [map]."""
    fitted = store.read(path, "maps")
    pair.check(path, fitted, {direction[0]: sender, direction[1]: receiver})
    if missing := [layer for layer in pair.layers if layer not in fitted.layers]:
        raise InputError(f"{path}: holds no maps of {', '.join(missing)}; make it anew")
    held = {layer: fitted.layers[layer] for layer in pair.layers}
    names = [f"{name}_{direction}" for name in ("weight", "intercept")]
    tensors = {
        layer: [torch.from_numpy(dataset[name].values.astype(np.float32)).to(_trained.DEVICE) for name in names]
        for layer, dataset in held.items()
    }
    half_of = {layer: dataset["half_of"].values for layer, dataset in held.items()}

    def altered(layer: str, fold: int, activation: torch.Tensor) -> Iterator[torch.Tensor]:
        unseen = 1 - int(half_of[layer][fold])
        weight, intercept = (values[unseen] for values in tensors[layer])
        given = surgery.mapped(activation, weight, intercept)
        return (values.relu() for values in given) if layer in pair.relu else given

    chosen, size = pair.chosen, pair.batch
    found = surgery.accuracies(sender.module, receiver.module, pair.layers, altered, chosen.of_folds(size))
    intact = surgery.intact(receiver.module, chosen.of_folds(size))
    return {
        layer: xr.Dataset(
            {
                "accuracy": (("map", "fold"), found[layer]),
                "intact": ("fold", intact),
                "n_weights": dataset[f"n_weights_{direction}"].mean("half"),
            },
            {name: dataset[name] for name in ("map", "alpha", "half_of")},
            {"spatial": dataset.attrs["spatial"]},
        )
        for layer, dataset in held.items()
    }


def _directions(both: list[dict[str, xr.Dataset]]) -> dict[str, xr.Dataset]:
    """The scores of both directions of every layer in one dataset."""
    names = xr.Variable("direction", np.array(list(NAMES.values()), dtype=np.dtypes.StringDType()))
    ab, ba = both
    return {layer: xr.concat([ab[layer], ba[layer]], names, join="exact", combine_attrs="override") for layer in ab}
