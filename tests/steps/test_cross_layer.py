"""The step cross_layer: two stores of spatial means in, one matrix out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convergent import store
from convergent.errors import InputError
from convergent.measures.cross_layer import cross_layer
from convergent.steps import cross_layer as step

Layer = Callable[..., xr.DataArray]


def save(path: Path, layers: dict[str, xr.DataArray], fingerprint: str = "f") -> None:
    datasets = {name: rows.compute().to_dataset(name="activation") for name, rows in layers.items()}
    names = {"snapshot": path.stem, "checkpoint_digest": "d", "probe_fingerprint": fingerprint, "data": "digits"}
    store.save(datasets, path, "pooled", names)


@pytest.fixture
def layers(layer: Layer, generator: np.random.Generator) -> dict[str, xr.DataArray]:
    return {
        name: layer(generator.standard_normal((20, units)).astype(np.float32))
        for name, units in (("one", 3), ("two", 4))
    }


def test_run__writes_one_matrix(tmp_path: Path, layers: dict[str, xr.DataArray]) -> None:
    other = {name: rows**2 for name, rows in layers.items()}
    paths = {name: tmp_path / f"{name}.zarr" for name in ("a", "b", "output")}
    save(paths["a"], layers)
    save(paths["b"], other)
    step.run(**paths)
    found = store.read(paths["output"], "measure")
    assert list(found.layers) == ["/"]
    xr.testing.assert_allclose(found.layers["/"].load(), cross_layer(layers, other))
    assert (found.layers["/"].attrs["spatial"], found.layers["/"].attrs["n"]) == ("mean", 20)
    assert (found.attributes["snapshot_a"], found.attributes["snapshot_b"]) == ("a", "b")


def test_run__refuses_another_probe(tmp_path: Path, layers: dict[str, xr.DataArray]) -> None:
    paths = {name: tmp_path / f"{name}.zarr" for name in ("a", "b", "output")}
    save(paths["a"], layers)
    save(paths["b"], layers, "another")
    with pytest.raises(InputError, match=r"a\.zarr and .*b\.zarr were recorded on different probes"):
        step.run(**paths)
    assert not paths["output"].exists()
