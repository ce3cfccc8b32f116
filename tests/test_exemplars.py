"""The images that excite each unit most: against sorting everything, whatever the chunks."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent import exemplars
from convergent.errors import InputError


def by_sorting(values: np.ndarray, unit: int, count: int) -> list[tuple[int, int, int]]:
    """Image, y and x of the largest activations of a unit, one an image; earlier ones first where they are equal."""
    largest = {}
    for image, y, x in np.ndindex(values.shape[:3]):
        value = values[image, y, x, unit]
        if value > largest.get(image, (-np.inf,))[0]:
            largest[image] = (value, y, x)
    ranked = sorted(largest, key=lambda image: (-largest[image][0], image))
    return [(image, *largest[image][1:]) for image in ranked[:count]]


@pytest.mark.parametrize("chunk", [4, 3, 1])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_of_units__are_those_of_a_sort(
    layer: Callable[..., xr.DataArray], generator: np.random.Generator, chunk: int, dtype: type
) -> None:
    """With many ties: activations are whole numbers."""
    values = generator.integers(-3, 4, (20, 3, 2, 5)).astype(dtype)
    found = exemplars.of_units(layer(values, folds=5, chunk=chunk), images=6)
    for unit in range(5):
        rows = [
            (int(image_id), y, x)
            for image_id, y, x in zip(*(found[name].values[unit] for name in ("image_id", "y", "x")), strict=True)
        ]
        assert rows == by_sorting(values, unit, 6)
        np.testing.assert_array_equal(found["activation"][unit], [values[i, y, x, unit] for i, y, x in rows])
        np.testing.assert_array_equal(found["label"][unit], [i % 3 for i, _, _ in rows])


def test_of_units__finds_what_was_planted(layer: Callable[..., xr.DataArray]) -> None:
    """By hand: unit 0 fires in two images, unit 1 never, unit 2 is constant but not zero."""
    values = np.zeros((10, 4, 4, 3), dtype=np.float16)
    values[7, 3, 1, 0], values[7, 0, 0, 0], values[2, 1, 2, 0] = 5, 4, 1
    values[..., 2] = 2
    found = exemplars.of_units(layer(values), images=3)
    assert found["image_id"].values.tolist() == [["0007", "0002", ""], [""] * 3, [""] * 3]
    assert found["y"].values.tolist() == [[3, 1, -1], [-1] * 3, [-1] * 3]
    assert found["x"].values.tolist() == [[1, 2, -1], [-1] * 3, [-1] * 3]
    assert found["label"].values[0].tolist() == [1, 2, -1]
    np.testing.assert_array_equal(found["activation"], [[5, 1, np.nan], [np.nan] * 3, [np.nan] * 3])


def test_of_units__takes_layers_without_positions_and_few_images(layer: Callable[..., xr.DataArray]) -> None:
    values = np.arange(12.0).reshape(6, 2)
    found = exemplars.of_units(layer(values, folds=3), images=9)
    assert found.sizes == {"unit": 2, "rank": 6}
    assert found["image_id"].values[0].tolist() == ["0005", "0004", "0003", "0002", "0001", ""]
    assert found["y"].values[0].tolist() == [0] * 5 + [-1]


def test_of_units__tells_places_of_sampled_positions(layer: Callable[..., xr.DataArray]) -> None:
    full = np.zeros((4, 3, 3, 1))
    full[1, 2, 0], full[3, 1, 1] = 2, 1
    y, x = np.array([0, 1, 2]), np.array([2, 1, 0])
    array = xr.DataArray(full[:, y, x], dims=("image", "position", "unit"))
    coordinates = {name: layer(full, folds=2)[name] for name in ("image_id", "label", "fold", "unit")}
    sampled = array.assign_coords(coordinates | {"y": ("position", y), "x": ("position", x)}).chunk(image=2)
    found = exemplars.of_units(sampled, images=2)
    assert found["image_id"].values.tolist() == [["0001", "0003"]]
    assert (found["y"].values.tolist(), found["x"].values.tolist()) == ([[2, 1]], [[0, 1]])


def test_of_units__reads_every_chunk_once(
    layer: Callable[..., xr.DataArray], monkeypatch: pytest.MonkeyPatch, generator: np.random.Generator
) -> None:
    read, finite = [], exemplars.blocks.finite
    monkeypatch.setattr(exemplars.blocks, "finite", lambda x, *of: read.append(len(x)) or finite(x, *of))
    exemplars.of_units(layer(generator.random((20, 2, 2, 3)), folds=5, chunk=2))
    assert read == [2] * 10


def test_of_units__refuses_no_image(layer: Callable[..., xr.DataArray]) -> None:
    with pytest.raises(InputError, match="images is 0"):
        exemplars.of_units(layer(np.ones((10, 2))), images=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_of_units__a_constant_of_any_type_excites_nothing(layer: Callable[..., xr.DataArray], dtype: type) -> None:
    found = exemplars.of_units(layer(np.full((10, 2), 0.1, dtype)))
    assert np.isnan(found["activation"]).all()


def test_of_units__float64_keeps_its_digits(layer: Callable[..., xr.DataArray]) -> None:
    values = np.linspace(1.0, 1.0 + 1e-9, 10)[:, None]
    found = exemplars.of_units(layer(values), images=3)
    np.testing.assert_array_equal(found["activation"][0], values[:-4:-1, 0])
