"""What the tests of steps share: the stores that the steps before them write, of a pair with two layers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convergent import moments, store

Layers = dict[str, xr.DataArray]
PROBE = {"probe_fingerprint": "f", "data": "digits"}


@pytest.fixture
def layers(layer: Callable[..., xr.DataArray], generator: np.random.Generator) -> list[Layers]:
    """Two networks with a convolutional layer and a fully connected one."""
    seen = generator.standard_normal((20, 2, 2, 4))
    both = (np.maximum(seen + 0.5 * generator.standard_normal((20, 2, 2, 4)), 0) for _ in range(2))
    return [{"conv": layer(conv), "fc": layer(conv.reshape(20, -1)[:, :6])} for conv in both]


@pytest.fixture
def of_pair() -> dict[str, str]:
    """The attributes of moments between the two networks."""
    sides = {f"snapshot_{side}": f"net-{side}" for side in "ab"}
    return sides | {f"checkpoint_digest_{side}": f"digest {side}" for side in "ab"} | PROBE


@pytest.fixture
def stores(layers: list[Layers], of_pair: dict[str, str], tmp_path: Path) -> dict[str, Path]:
    """Moments, activations and spatial means of both sides, by name."""
    for name, network in zip("ab", layers, strict=True):
        attributes = PROBE | {"snapshot": f"net-{name}", "checkpoint_digest": f"digest {name}"}
        within = {layer: moments.within(x) for layer, x in network.items()}
        store.save(within, tmp_path / f"{name}.zarr", "moments_within", attributes)
        of_training = {"seed": 0, "stage": "final", "probe_seed": 0}
        recorded = {layer: x.compute().to_dataset(name="activation") for layer, x in network.items()}
        store.save(recorded, tmp_path / f"activations_{name}.zarr", "activations", attributes | of_training)
        means = {layer: x.mean(("y", "x")) if "y" in x.dims else x for layer, x in recorded.items()}
        store.save(means, tmp_path / f"pooled_{name}.zarr", "pooled", attributes)
    between = {layer: moments.between(x, layers[1][layer]) for layer, x in layers[0].items()}
    store.save(between, tmp_path / "between.zarr", "moments_between", of_pair)
    names = ("a", "b", "between", "activations_a", "activations_b", "pooled_a", "pooled_b", "output")
    return {name: tmp_path / f"{name}.zarr" for name in names}
