"""Products of layers from blocks of their rows against those of whole rows, whatever the blocks and tiles."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.errors import InputError
from convergent.measures import cka, row_blocks, rows

Layer = Callable[..., xr.DataArray]
Side = dict[str, xr.DataArray]


@pytest.fixture
def sides(layer: Layer, generator: np.random.Generator) -> tuple[Side, Side]:
    """Layers of 7, 1 and 4 units, and of 3 and 6; one constant, one that lives in the first fold alone."""
    seen = generator.standard_normal((40, 5))

    def mixed(units: int) -> np.ndarray:
        noise = generator.standard_normal((40, units))
        return np.asarray(seen @ generator.standard_normal((5, units)) + noise + 20, dtype=np.float32)

    a = {"one": mixed(7), "two": mixed(1), "three": mixed(4)}
    b = {"one": mixed(3), "two": mixed(6)}
    a["one"][:, 2] = 0.7
    b["two"][8:, 4] = b["two"][8, 4]
    of_a, of_b = ({name: layer(values) for name, values in side.items()} for side in (a, b))
    return of_a, of_b


def whole(a: Side, b: Side) -> np.ndarray:
    """The products of each two layers by themselves, [1 + fold, 3, layer_a, layer_b]."""
    found = [[cka.products(rows.of(x), rows.of(y)) for y in b.values()] for x in a.values()]
    return np.moveaxis(np.array(found), (2, 3), (0, 1))


@pytest.mark.parametrize("images", [1, 3, 8, 11, 100])
@pytest.mark.parametrize("edge", [1, 2, 5, 100])
def test_products__are_those_of_whole_rows(
    monkeypatch: pytest.MonkeyPatch, sides: tuple[Side, Side], images: int, edge: int
) -> None:
    monkeypatch.setattr(row_blocks, "IMAGES", images)
    monkeypatch.setattr(row_blocks, "TILE_BYTES", 8 * (5 + 4) * edge**2)
    a, b = (row_blocks.of(side) for side in sides)
    np.testing.assert_allclose(row_blocks.products(a, b), whole(*sides), rtol=1e-9, atol=1e-9)
    for blocks, side in ((a, sides[0]), (b, sides[1])):
        alone = np.diagonal(whole(side, side), axis1=2, axis2=3)
        np.testing.assert_allclose(row_blocks.within(blocks), alone, rtol=1e-9, atol=1e-9)


def test_products__of_folds_in_any_order(sides: tuple[Side, Side]) -> None:
    shuffled: list[Side] = [
        {name: x.assign_coords(fold=("image", np.arange(40) % 5)) for name, x in side.items()} for side in sides
    ]
    found = row_blocks.products(*map(row_blocks.of, shuffled))
    np.testing.assert_allclose(found, whole(*shuffled), rtol=1e-9, atol=1e-9)


def test_products__of_fewer_than_four_images_are_raw_alone(layer: Layer, generator: np.random.Generator) -> None:
    side = row_blocks.of({"one": layer(generator.standard_normal((4, 3)), folds=2)})
    found = row_blocks.products(side, side)[..., 0, 0]
    np.testing.assert_array_equal(np.isnan(found), [[False] * 3, [False, True, True], [False, True, True]])


def test_products__read_no_more_than_a_block(monkeypatch: pytest.MonkeyPatch, sides: tuple[Side, Side]) -> None:
    """Of every layer at most so many images at a time, whatever their number."""
    sizes, read = [], row_blocks._read

    def seen(layer: xr.DataArray, images: slice, *units: slice) -> np.ndarray:
        values = read(layer, images, *units)
        sizes.append(len(values))
        return values

    monkeypatch.setattr(row_blocks, "IMAGES", 6)
    monkeypatch.setattr(row_blocks, "_read", seen)
    a, b = (row_blocks.of(side) for side in sides)
    row_blocks.products(a, b)
    row_blocks.within(a)
    assert max(sizes) == 6
    # Five layers, read twice, for the norms and for the products; those of A, each beside itself, four times more.
    assert sum(sizes) == 40 * (5 * 4 + 3 * 4)


def test_of__names_the_layer_and_unit_of_what_is_not_finite(sides: tuple[Side, Side]) -> None:
    sides[0]["three"][39, 1] = np.inf
    with pytest.raises(InputError, match=r"\Athree: unit 1: .*record them anew\Z"):
        row_blocks.of(sides[0])
