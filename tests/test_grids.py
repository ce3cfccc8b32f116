"""Average pooling onto the coarser grid: against torch's adaptive average pooling, and by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr

from convergent import grids
from convergent.errors import InputError

Layer = Callable[..., xr.DataArray]


@pytest.mark.parametrize(("size", "grid"), [((8, 8), (4, 4)), ((7, 5), (3, 2)), ((6, 6), (6, 2)), ((5, 4), (1, 1))])
def test_pooled__is_adaptive_average_pooling(
    layer: Layer, generator: np.random.Generator, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    activation = layer(generator.standard_normal((10, *size, 3)).astype(np.float16))
    found = grids.pooled(activation, grid)
    tensor = torch.from_numpy(activation.values.astype(np.float32)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.adaptive_avg_pool2d(tensor, grid).permute(0, 2, 3, 1).numpy()
    shape = (10, 3) if grid == (1, 1) else (10, *grid, 3)
    assert found.dtype == np.float32
    assert found.variable.chunksizes["image"] == activation.variable.chunksizes["image"]
    np.testing.assert_allclose(found.values, expected.reshape(shape), rtol=1e-6, atol=1e-6)
    for name in ("image_id", "label", "fold", "unit"):
        xr.testing.assert_equal(
            found[name].drop_vars(found[name].coords), activation[name].drop_vars(activation[name].coords)
        )


@pytest.mark.parametrize(
    ("a", "b", "grid"),
    [((8, 8), (4, 4), (4, 4)), ((4, 8), (8, 4), (4, 4)), ((8, 8), (), (1, 1)), ((1, 1), (), (1, 1)), ((), (), (1, 1))],
)
def test_matched__is_the_coarser_grid_along_each_axis(
    layer: Layer, a: tuple[int, ...], b: tuple[int, ...], grid: tuple[int, int]
) -> None:
    *sides, found = grids.matched(layer(np.ones((10, *a, 3))), layer(np.ones((10, *b, 2))))
    assert found == grid
    assert [side.shape[1:-1] for side in sides] == [() if grid == (1, 1) else grid] * 2
    assert all((side == 1).all() for side in sides)


def test_matched__leaves_layers_of_one_grid_as_they_are(layer: Layer, generator: np.random.Generator) -> None:
    a, b = (layer(generator.standard_normal((10, 4, 4, 2))) for _ in range(2))
    found_a, found_b, _ = grids.matched(a, b)
    assert found_a is a
    assert found_b is b


def test_matched__refuses_a_sample_of_positions(layer: Layer) -> None:
    sampled = layer(np.ones((10, 4, 4, 2))).stack(position=("y", "x")).transpose("image", "position", "unit")
    with pytest.raises(InputError, match="a sample of positions was recorded, which cannot be pooled"):
        grids.matched(sampled, layer(np.ones((10, 2))))
