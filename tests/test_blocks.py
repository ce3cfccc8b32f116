"""Blocks of a layer: their bounds, their folds, values that are not finite, and the tree that adds."""

import operator
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from dask.delayed import delayed

from convergent import blocks
from convergent.errors import InputError

Layer = Callable[..., xr.DataArray]


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_of__gives_the_values_in_order(layer: Layer, generator: np.random.Generator, chunk: int) -> None:
    values = generator.standard_normal((20, 3, 3, 2))
    activation = layer(values, folds=5, chunk=chunk)
    computed = [block.compute() for block in blocks.of(activation)]
    bounds = blocks.edges(activation)
    for i, block in enumerate(computed):
        np.testing.assert_array_equal(block, values[bounds[i] : bounds[i + 1]])
    assert bounds[-1] == 20
    np.testing.assert_array_equal(blocks.folds(activation), activation["fold"].values[bounds[:-1]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_of__names_the_unit_and_image_of_what_is_not_finite(layer: Layer, value: float, dtype: type) -> None:
    values = np.zeros((20, 2, 2, 3), dtype)
    values[[13, 17], [1, 0], 0, [2, 1]] = value
    of_layer = blocks.of(layer(values))
    of_layer[0].compute()
    with pytest.raises(InputError, match=rf"^unit 2, image 0013: activation {value} is not finite; record it anew$"):
        of_layer[3].compute()


def test_of__names_a_unit_by_its_label(layer: Layer) -> None:
    values = np.zeros((20, 2))
    values[3, 1] = np.nan
    activation = layer(values).assign_coords(unit=[7, 5])
    with pytest.raises(InputError, match=r"^unit 5, image 0003"):
        blocks.of(activation)[0].compute()


def test_folds__refuses_a_chunk_across_folds(layer: Layer) -> None:
    with pytest.raises(InputError, match="a chunk of activations crosses a fold"):
        blocks.folds(layer(np.ones((20, 2)), folds=5).chunk(image=5))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_add__adds_every_state_once(count: int) -> None:
    states = [delayed(2**i) for i in range(count)]
    assert blocks.add(states, operator.add).compute() == 2**count - 1
