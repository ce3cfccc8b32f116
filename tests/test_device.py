"""What runs on a device against the host: by arrays that refuse to be mixed or copied silently, by NumPy in the place
of CuPy, and by CuPy where it finds a GPU.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
import recorded
import xarray as xr
from sklearn.metrics import adjusted_rand_score

from convergent import device, moments, store
from convergent.__main__ import main
from convergent.errors import InputError
from convergent.measures import lasso, spectral

OTHER = strict.Device("device1")
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@pytest.fixture
def gpu() -> Any:
    """CuPy where it finds a GPU."""
    found = pytest.importorskip("cupy", exc_type=ImportError)
    try:
        devices = found.cuda.runtime.getDeviceCount()
    except RuntimeError:
        devices = 0
    if not devices:
        pytest.skip("CuPy finds no GPU")
    return found


@pytest.fixture(params=["stand-in", "gpu"])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy, or as much of it as moments use, made of NumPy."""
    if request.param == "gpu":
        request.getfixturevalue("gpu")
        return
    runtime = SimpleNamespace(getDeviceCount=lambda: 1)
    copies = {"asarray": np.array, "asnumpy": np.array}
    stand_in = SimpleNamespace(
        **copies, float64=np.float64, isfinite=np.isfinite, cuda=SimpleNamespace(runtime=runtime)
    )
    monkeypatch.setitem(sys.modules, "cupy", stand_in)


def there(values: np.ndarray) -> Any:
    return strict.asarray(values, device=OTHER)


def back(values: Any) -> np.ndarray:
    assert values.device == OTHER
    return np.asarray(values.to_device(strict.Device("CPU_DEVICE")))


def norms(values: np.ndarray) -> np.ndarray:
    """Of each centred unit, [unit]; a comoment is at most the product of two."""
    samples = values.reshape(-1, values.shape[-1]).astype(np.float64)
    return np.asarray(np.linalg.norm(samples - samples.mean(axis=0), axis=0))


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_moments__on_a_device_are_those_of_the_host(
    generator: np.random.Generator, precision: str, offset: float
) -> None:
    a = offset + generator.standard_normal((300, 4, 5, 3)) * [1, 1e-20, 7]  # 6000 samples: two products
    b = generator.standard_normal((300, 4, 5, 2)) - offset
    b[..., 1] = 0.25
    order = moments.displaced(300, generator)
    host = moments.block(a, b, [order], precision, np.arange(300), np.arange(3), np.arange(2))
    mean_a, mean_b, comoment = (back(x) for x in device.moments(there(a), there(b), [there(order)], precision))
    np.testing.assert_allclose(mean_a, host.mean_a, rtol=1e-12)
    np.testing.assert_allclose(mean_b, host.mean_b, rtol=1e-12)
    largest = np.outer(norms(a), norms(b))
    assert (np.abs(comoment - host.comoment) <= TOLERANCE[precision] * largest + 1e-300).all()


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("within", [False, True])
def test_block__is_that_of_the_host(
    cupy: None, generator: np.random.Generator, precision: str, dtype: type, within: bool
) -> None:
    a = np.maximum(generator.standard_normal((300, 4, 5, 3)), 0).astype(dtype)  # 6000 samples: two products
    b = a if within else generator.standard_normal((300, 4, 5, 2)).astype(dtype)
    orders = [] if within else [moments.displaced(300, generator)]
    given = a, None if within else b, orders, precision, np.arange(300), np.arange(3), np.arange(b.shape[-1])
    found, host = device.block(*given), moments.block(*given)
    assert found.n == host.n == 6000
    np.testing.assert_allclose(found.mean_a, host.mean_a, rtol=1e-12)
    np.testing.assert_allclose(found.mean_b, host.mean_b, rtol=1e-12, atol=1e-12)
    assert found.comoment.shape == (1 + len(orders), 3, b.shape[-1])
    assert (np.abs(found.comoment - host.comoment) <= TOLERANCE[precision] * np.outer(norms(a), norms(b))).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_block__refuses_what_is_not_finite_in_the_words_of_the_host(
    cupy: None, generator: np.random.Generator, dtype: type, side: int, value: float
) -> None:
    values = generator.standard_normal((2, 20, 3, 4)).astype(dtype)
    values[side, 11, 2, 1] = value
    names = np.arange(100, 120), np.arange(4), np.arange(4)
    given = *values, [moments.displaced(20, generator)], "float32", *names
    said = []
    for block in (device.block, moments.block):
        with pytest.raises(InputError, match=r"unit 1, image 111: activation (nan|inf) is not finite") as error:
            block(*given)
        said.append(str(error.value))
    assert said[0] == said[1]


def stores(folder: Path, generator: np.random.Generator) -> None:
    """Two snapshots with a convolutional layer and a fully connected one."""
    for side in "ab":
        shapes = {"conv": (4 * recorded.FOLD, 3, 3, 4), "fc": (4 * recorded.FOLD, 7)}
        values = {name: np.maximum(generator.standard_normal(shape), 0) for name, shape in shapes.items()}
        recorded.write(folder / f"{side}.zarr", {name: x.astype(np.float16) for name, x in values.items()})


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("step", ["within", "between"])
def test_cuda__gives_the_moments_of_threads(
    cupy: None,
    generator: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: str,
    precision: str,
) -> None:
    """The whole step, its layers in several blocks of units."""
    stores(tmp_path, generator)
    settings = json.dumps({"precision": precision, "permutations": 1})
    words = {
        "within": ["--activations", f"{tmp_path}/a.zarr", "--precision", precision],
        "between": ["--a", f"{tmp_path}/a.zarr", "--b", f"{tmp_path}/b.zarr", "--settings", settings],
    }

    def made(engine: str) -> xr.DataTree:
        output = tmp_path / f"{engine}.zarr"
        main([step, *words[step], "--engine", engine, "--threads", "2", "--output", str(output)])
        return xr.load_datatree(output, engine="zarr")

    monkeypatch.setitem(getattr(moments, step).__kwdefaults__, "memory", 200)
    expected = made("threads")
    monkeypatch.setattr(moments, "block", None)  # of the host
    found = made("cuda")
    assert found.attrs | {store.SEAL: ""} == expected.attrs | {store.SEAL: ""}
    for layer in ("conv", "fc"):
        for name, values in expected[layer].data_vars.items():
            largest = np.abs(values).max().item()
            np.testing.assert_allclose(found[layer][name], values, rtol=0, atol=TOLERANCE[precision] * largest)


def test_solve__on_a_gpu_is_that_of_the_host(gpu: Any, generator: np.random.Generator) -> None:
    x = generator.standard_normal((300, 40)) @ generator.standard_normal((40, 40))
    w = generator.standard_normal((40, 6)) * (generator.random((40, 6)) < 0.2)
    y = x @ w + x.std() * generator.standard_normal((300, 6))
    x, y = ((side - side.mean(axis=0)) / side.std(axis=0) for side in (x, y))
    within, between, grid = x.T @ x / len(x), x.T @ y / len(x), np.array([0.5, 0.2, 0.05, 0.01, 0])
    host, found = lasso.solve(within, between, grid), lasso.solve(within, between, grid, array=gpu.asarray)
    assert (lasso.duality_gap(within, between, found, grid) <= lasso.LARGEST_GAP).all()
    # Two solutions are as near as their gaps say: of each, ½ mean (Xw − Xw*)² ≤ gap.
    assert np.sqrt((((found - host) @ x.T) ** 2).mean(axis=-1)).max() <= 2 * np.sqrt(2 * lasso.LARGEST_GAP)


@pytest.mark.parametrize("variant", [spectral.normalised, spectral.li2016])
def test_variants__on_a_gpu_find_the_clusters_of_the_host(
    gpu: Any, generator: np.random.Generator, variant: Any
) -> None:
    x = np.repeat(generator.standard_normal((300, 4)), 5, axis=1) + 0.5 * generator.standard_normal((300, 20))
    affinity = spectral.affinities(np.corrcoef(x, rowvar=False), 0.0)
    seeds = np.array([0, 1])
    host, found = variant(affinity, 4, seeds), variant(affinity, 4, seeds, gpu.asarray)
    assert [adjusted_rand_score(*pair) for pair in zip(host, found, strict=True)] == [1, 1]
    assert adjusted_rand_score(host[0], np.repeat(range(4), 5)) == 1
