"""The step similarity: the layers of the stores of one pair, and no other's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convergent import config, folds, moments, store
from convergent.errors import InputError
from convergent.measures.similarity import similarity
from convergent.steps import similarity as step

SETTINGS = config.Similarity(0.9, 30)
Layer = Callable[..., xr.DataArray]


@pytest.fixture
def layers(layer: Layer, generator: np.random.Generator) -> list[dict[str, xr.DataArray]]:
    """Two networks with a convolutional layer and a fully connected one."""
    seen = generator.standard_normal((20, 2, 2, 4))
    both = (np.maximum(seen + 0.5 * generator.standard_normal((20, 2, 2, 4)), 0) for _ in range(2))
    return [{"conv": layer(conv), "fc": layer(conv.reshape(20, -1)[:, :6])} for conv in both]


@pytest.fixture
def stores(layers: list[dict[str, xr.DataArray]], tmp_path: Path) -> dict[str, Path]:
    """What the steps before write."""
    snapshot = {"probe_fingerprint": "f", "data": "digits"}
    for name, network in zip("ab", layers, strict=True):
        attributes = snapshot | {"snapshot": f"net-{name}", "checkpoint_digest": f"digest {name}"}
        means = {layer: x.mean(("y", "x")) if x.ndim > 2 else x for layer, x in network.items()}
        pooled = {layer: x.compute().to_dataset(name="activation") for layer, x in means.items()}
        store.save(pooled, tmp_path / f"pooled_{name}.zarr", "pooled", attributes)
        within = {layer: moments.within(x) for layer, x in network.items()}
        store.save(within, tmp_path / f"{name}.zarr", "moments_within", attributes)
    between = {layer: moments.between(x, layers[1][layer]) for layer, x in layers[0].items()}
    pair = {
        f"{key}_{side}": value.format(side)
        for side in "ab"
        for key, value in (("snapshot", "net-{}"), ("checkpoint_digest", "digest {}"))
    }
    store.save(between, tmp_path / "between.zarr", "moments_between", snapshot | pair)
    return {name: tmp_path / f"{name}.zarr" for name in ("a", "b", "between", "pooled_a", "pooled_b", "output")}


def test_run__measures_each_layer(stores: dict[str, Path], layers: list[dict[str, xr.DataArray]]) -> None:
    step.run(settings=SETTINGS, **stores)
    found = store.read(stores["output"], "measure")
    assert list(found.layers) == ["conv", "fc"]
    assert found.attributes["snapshot_b"] == "net-b"
    for name, spatial, n in (("conv", "positions", 80), ("fc", "images", 20)):
        sides = [network[name] for network in layers]
        joined = folds.joined(moments.within(sides[0]), moments.within(sides[1]), moments.between(*sides))
        rows = [x.mean(("y", "x")) if x.ndim > 2 else x for x in sides]
        expected = similarity(joined, *rows, svcca_variance=0.9, permutations=30)
        measured = found.layers[name]
        assert (measured.attrs["spatial"], measured.attrs["n"]) == (spatial, n)
        assert measured.sizes["permutation"] == 30
        for variable in ("summary", "summary_standard_error", "summary_null"):
            xr.testing.assert_allclose(measured[variable], expected[variable])
        xr.testing.assert_equal(measured["definition"], expected["definition"])


@pytest.mark.parametrize("side", ["a", "b"])
def test_run__refuses_the_means_of_another_snapshot(stores: dict[str, Path], side: str) -> None:
    other = {"a": "b", "b": "a"}[side]
    with pytest.raises(
        InputError, match=rf"between\.zarr compares snapshot net-{side}, but .*pooled_{other}\.zarr holds net-{other}"
    ):
        step.run(settings=SETTINGS, **stores | {f"pooled_{side}": stores[f"pooled_{other}"]})
    assert not stores["output"].exists()
