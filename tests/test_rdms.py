"""Dissimilarities of images against SciPy on raw activations, whatever the chunks and panels."""

import tracemalloc
from collections import Counter
from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import pdist, squareform

from convergent import rdms
from convergent.errors import InputError

Layer = Callable[..., xr.DataArray]
IMAGES, FOLDS = 24, 4


@pytest.fixture
def labelled(layer: Layer) -> Layer:
    def of(values: np.ndarray, folds: int = FOLDS, chunk: int | None = None) -> xr.DataArray:
        return layer(values, folds, chunk).assign_coords(label=("image", np.arange(len(values)) % 3))

    return of


def activations(seed: int, offset: float = 0.0, grid: tuple[int, ...] = (2, 3), units: int = 4) -> np.ndarray:
    return offset + np.random.default_rng(seed).standard_normal((IMAGES, *grid, units))


def expected(values: np.ndarray, metric: str) -> np.ndarray:
    return squareform(pdist(values.reshape(len(values), -1).astype(np.float64), metric))


def held(monkeypatch: pytest.MonkeyPatch, values: np.ndarray, images: int) -> None:
    """Hold the features of so many images at once."""
    monkeypatch.setattr(rdms, "HELD_BYTES", 8 * images * values[0].size)


@pytest.mark.parametrize("grid", [(), (2, 3)])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize(("chunk", "panel"), [(6, 24), (3, 6), (1, 5), (24, 1), (5, 7)])
def test_of__agrees_with_scipy_in_any_chunks_and_panels(
    labelled: Layer,
    monkeypatch: pytest.MonkeyPatch,
    grid: tuple[int, ...],
    dtype: str,
    offset: float,
    chunk: int,
    panel: int,
) -> None:
    x = activations(0, offset, grid).astype(dtype)
    held(monkeypatch, x, panel)
    found = rdms.of(labelled(x, chunk=chunk))
    assert found.attrs == {"spatial": "flatten", "features": x[0].size}
    for metric in ("euclidean", "correlation"):
        assert found[metric].dims == ("image", "image_other")
        assert found[metric].dtype == np.float64
        # The correlation of values with a common offset loses digits in both; distances do not.
        tolerance = 1e-12 if metric == "euclidean" else 1e-12 + 1e-15 * offset**2
        np.testing.assert_allclose(found[metric], expected(x, metric), rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(found[metric], found[metric].T)
        np.testing.assert_array_equal(np.diag(found[metric]), np.zeros(IMAGES))


def test_of__tells_close_images_apart(labelled: Layer) -> None:
    """dask-ml is six times wrong here in float32, and overflows in float16."""
    x = activations(1, 100.0)
    x[12:] = x[:12] + 0.01 * activations(2)[12:]
    found, true = rdms.of(labelled(x))["euclidean"].values, expected(x, "euclidean")
    close = np.arange(12), np.arange(12, 24)
    assert true[close].max() < 0.02 * true[0, 1]
    np.testing.assert_allclose(found[close], true[close], rtol=1e-10)


def test_of__an_image_without_contrast_has_no_correlation(labelled: Layer) -> None:
    x = activations(3, grid=(), units=7)
    x[4], x[9], x[20] = 0, 0.1, -3e5
    found = rdms.of(labelled(x))
    undefined = np.isin(np.arange(IMAGES), [4, 9, 20])
    np.testing.assert_array_equal(found["correlation"].isnull(), np.logical_or.outer(undefined, undefined))
    np.testing.assert_allclose(found["euclidean"], expected(x, "euclidean"), rtol=1e-9)
    kept = np.ix_(~undefined, ~undefined)
    np.testing.assert_allclose(
        found["correlation"].values[kept], expected(x[~undefined], "correlation"), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_of__a_dead_layer_has_distances_of_exactly_zero(labelled: Layer, value: float) -> None:
    found = rdms.of(labelled(np.full((IMAGES, 3, 3, 5), value)))
    assert not found["euclidean"].any()
    assert found["correlation"].isnull().all()


def test_of__one_feature_has_distances_and_no_correlation(labelled: Layer) -> None:
    x = activations(4, grid=(), units=1)
    found = rdms.of(labelled(x))
    np.testing.assert_allclose(found["euclidean"], np.abs(x - x.T), rtol=1e-12, atol=1e-12)
    assert found["correlation"].isnull().all()


@pytest.mark.parametrize(("asked", "kept"), [(24, 24), (2000, 24), (20, 20), (23, 20), (4, 4)])
def test_of__takes_the_first_images_in_equal_folds(labelled: Layer, asked: int, kept: int) -> None:
    x = activations(5)
    found = rdms.of(labelled(x), asked)
    np.testing.assert_array_equal(found["fold"], np.repeat(np.arange(FOLDS), kept // FOLDS))
    assert found["image_id"].values.tolist() == [f"{i:04d}" for i in range(kept)]
    np.testing.assert_array_equal(found["label"], np.arange(kept) % 3)
    np.testing.assert_allclose(found["euclidean"], expected(x[:kept], "euclidean"), rtol=1e-12)


@pytest.mark.parametrize("images", [3, 0, -5])
def test_of__refuses_fewer_images_than_folds(labelled: Layer, images: int) -> None:
    with pytest.raises(InputError, match=rf"^{images} images make no 4 equal folds; ask for 4 at least$"):
        rdms.of(labelled(activations(6)), images)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_of__refuses_activations_that_are_not_finite(labelled: Layer, bad: float) -> None:
    x = activations(7)
    x[9, 1, 1, 2] = bad
    with pytest.raises(InputError, match=r"^image '0009': activations are not finite; record them anew$"):
        rdms.of(labelled(x))


def test_of__does_not_change_where_it_should_not(labelled: Layer) -> None:
    x = activations(8, grid=(), units=9)
    straight = rdms.of(labelled(x))
    rotation = np.linalg.qr(np.random.default_rng(9).standard_normal((9, 9)))[0]
    for metric, changed in (
        ("euclidean", x @ rotation + 5),
        ("euclidean", x[:, ::-1]),
        ("correlation", x[:, ::-1]),
        ("correlation", 7 * x - np.arange(IMAGES)[:, None]),
    ):
        np.testing.assert_allclose(rdms.of(labelled(changed))[metric], straight[metric], rtol=1e-11, atol=1e-11)
    order = np.random.default_rng(10).permutation(IMAGES)
    xr.testing.assert_allclose(
        rdms.of(labelled(x[order])).drop_vars(["image_id", "label", "fold"]),
        straight.isel(image=order, image_other=order).drop_vars(["image_id", "label", "fold"]),
        rtol=1e-11,
        atol=1e-11,
    )


@pytest.mark.parametrize(("panel", "reads"), [(24, [1] * 8), (9, [1, 1, 1, 2, 2, 2, 3, 3]), (1, range(1, 9))])
def test_of__reads_a_chunk_once_for_each_panel_up_to_its_own(
    labelled: Layer, monkeypatch: pytest.MonkeyPatch, panel: int, reads: list[int]
) -> None:
    x, found = activations(11), Counter()

    def read(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        found[block_info[0]["chunk-location"][0]] += 1
        return block

    held(monkeypatch, x, panel)
    a = labelled(x, chunk=3)
    with dask.config.set(scheduler="synchronous"):
        rdms.of(a.copy(data=da.map_blocks(read, a.data, meta=a.data._meta)))
    assert [found[chunk] for chunk in range(8)] == list(reads)


def test_of__memory_does_not_grow_with_the_images(labelled: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows so wide that Dask's own objects, which wait for Python's collector, do not count beside them."""
    width, panel = 1_200_000, 3
    held(monkeypatch, np.empty((1, width)), panel)
    peaks = []
    for images in (12, 24):
        coordinates = labelled(np.empty((images, 1)), chunk=1).drop_vars("unit").coords
        data = da.random.default_rng(0).standard_normal((images, width), chunks=(1, width))
        a = xr.DataArray(data, coordinates, ("image", "unit"))
        tracemalloc.start()
        with dask.config.set(scheduler="synchronous"):
            rdms.of(a)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.25 * peaks[0]
    assert peaks[1] < 4 * 8 * panel * width
