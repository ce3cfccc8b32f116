"""Anyone's arrays become labelled layers, or are refused with what is wrong."""

from collections.abc import Callable

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from convergent import activations, blocks, moments
from convergent.errors import InputError

VALUES = np.random.default_rng(0).standard_normal((23, 2, 3, 4))


@given(st.integers(2, 60), st.integers(2, 12), st.integers(1, 4))
def test_label__folds_are_consecutive_and_chunks_stay_within_them(images: int, folds: int, units: int) -> None:
    values = np.arange(images * units, dtype=np.float32).reshape(images, units)
    if images < 2 * folds:
        with pytest.raises(InputError, match=rf"^{images} images in {min(images, folds)} folds; errors and nulls"):
            activations.label(values, folds=folds)
        return
    labelled = activations.label(values, folds=folds)
    sizes = np.bincount(labelled["fold"].values)
    assert len(sizes) == folds
    assert np.ptp(sizes) <= 1
    assert (np.diff(labelled["fold"].values) >= 0).all()
    assert set(blocks.folds(labelled)) == set(range(folds))
    assert min(labelled.chunksizes["image"]) >= 2
    np.testing.assert_array_equal(labelled, values)


def test_label__large_folds_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "CHUNK_BYTES", VALUES[0].nbytes * 3)
    assert activations.label(VALUES, folds=2).chunksizes == {
        "image": (3, 3, 3, 3, 3, 3, 3, 2),
        "y": (2,),
        "x": (3,),
        "unit": (4,),
    }


@pytest.mark.parametrize(
    "given", [lambda v: v, da.from_array, lambda v: da.from_array(v, chunks=(5, 1, 3, 2)), xr.DataArray]
)
def test_label__takes_every_kind_of_array(given: Callable[[np.ndarray], object]) -> None:
    labelled = activations.label(given(VALUES), folds=4)
    np.testing.assert_array_equal(labelled, VALUES)
    assert labelled.dims[0] == "image"
    assert labelled.dims[-1] == "unit"
    assert list(labelled["image_id"].values[:3]) == ["0", "1", "2"]


def test_label__keeps_what_a_data_array_says() -> None:
    array = xr.DataArray(
        VALUES[:20, 0, 0],
        {
            "image_id": ("image", [f"img{i}" for i in range(20)]),
            "fold": ("image", np.repeat([3, 7], 10)),
            "unit": [3, 0, 7, 1],
            "t": 1,
        },
        ("image", "unit"),
    )
    labelled = activations.label(array.transpose("unit", "image"))
    assert labelled.dims == ("image", "unit")
    assert set(labelled.coords) == {"image_id", "label", "fold", "unit"}
    assert set(labelled["label"].values) == {0}
    for name in ("image_id", "fold", "unit"):
        np.testing.assert_array_equal(labelled[name], array[name])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((20, 0)), "the layer has no unit"),
        (np.ones((0, 3)), "0 images in 0 folds"),
        (np.ones(20), "activations of 1 axes"),
        (np.ones((20, 1, 1, 1, 2)), "activations of 5 axes"),
        (xr.DataArray(np.ones((20, 2)), {"unit": ["p", "q"]}, ("image", "unit")), "unit p is no whole number"),
        (xr.DataArray(np.ones((20, 2)), {"unit": [-1, 0]}, ("image", "unit")), "unit -1 is no whole number"),
        (
            xr.DataArray(np.ones((20, 4)), {"unit": [5, 2, 7, 2]}, ("image", "unit")),
            "unit 2 is there more than once; number the units",
        ),
        (np.ones((20, 3), int), "of type int64; make them floating point"),
        (xr.DataArray(np.ones(20), dims="unit"), "dimensions ('unit',)"),
        (
            xr.DataArray(np.ones((20, 2)), {"fold": ("image", [0, 1] * 10)}, ("image", "unit")),
            "do not follow one another",
        ),
    ],
)
def test_label__refuses(values: np.ndarray, message: str) -> None:
    with pytest.raises(InputError) as error:
        activations.label(values)
    assert message in str(error.value)


def test_moments_of__any_kind_of_array_gives_the_same() -> None:
    y = np.random.default_rng(1).standard_normal((23, 2, 3, 5))
    first = moments.of(VALUES, y, folds=3)
    for kind in (da.from_array, xr.DataArray):
        xr.testing.assert_identical(first, moments.of(kind(VALUES), kind(y), folds=3))
    flat = VALUES.reshape(-1, 4)
    whole = first["n"].sum().item()
    assert whole == len(flat)
    mean = (first["mean_a"] * first["n"]).sum("fold") / whole
    np.testing.assert_allclose(mean, flat.mean(axis=0), atol=1e-14)
    assert first.attrs["spatial"] == "positions"


def test_moments_of__refuses_other_images_and_what_is_not_finite() -> None:
    x = xr.DataArray(VALUES, {"image_id": ("dim_0", [f"i{i}" for i in range(23)])})
    order = [*range(4), 5, 4, *range(6, 23)]
    with pytest.raises(InputError, match=r"^the two sides differ at image 4: 'i4' and 'i5'"):
        moments.of(x, x.isel(dim_0=order))
    with pytest.raises(InputError, match=r"^the two sides hold 23 and 20 images"):
        moments.of(VALUES, VALUES[:20])
    bad = x.copy(data=VALUES.copy())
    bad[21, 1, 0, 2] = np.nan
    for sides in ((bad, x), (x, bad)):
        with pytest.raises(InputError, match=r"^unit 2, image i21: activation nan is not finite"):
            moments.of(*sides)


def test_label__an_index_of_images_tells_them_apart() -> None:
    """Two DataArrays in another order are refused, whatever their images are called."""
    x = xr.DataArray(VALUES[:20, 0, 0], {"image": [f"im{i}" for i in range(20)]}, ("image", "unit"))
    with pytest.raises(InputError, match=r"^the two sides differ at image 0: 'im0' and 'im19'"):
        moments.of(x, x.isel(image=slice(None, None, -1)))


@pytest.mark.parametrize("dims", [("unit", "sample"), ("neuron", "image"), ("unit", "y", "x", "sample")])
def test_label__does_not_guess_around_a_name_at_the_wrong_end(dims: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"^activations with the dimensions .+; call both image and unit$"):
        activations.label(xr.DataArray(np.ones((20,) * len(dims)), dims=dims))


def test_pooled__of_float16_adds_up_exactly() -> None:
    """4096 ones are 2048 where float16 adds them up."""
    values = np.ones((20, 64, 64, 2), dtype=np.float16)
    np.testing.assert_array_equal(activations.pooled(values, folds=2), np.ones((20, 2)))


def test_pooled__is_the_spatial_mean() -> None:
    np.testing.assert_allclose(activations.pooled(VALUES), VALUES.mean(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(activations.pooled(VALUES[:, 0, 0]), VALUES[:, 0, 0])
