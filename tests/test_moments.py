"""The one pass against NumPy on raw activations, whatever the chunks."""

import itertools
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent import folds, moments, tiles
from convergent.errors import InputError
from convergent.folds import Moments

PROPERTY = settings(max_examples=25)
OFFSETS = (0.0, 100.0)
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
IMAGES, FOLDS = 24, 4
Layer = Callable[..., xr.DataArray]


def samples(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def comoment(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By definition, in two passes."""
    x, y = samples(x), samples(y)
    return (x - x.mean(axis=0)).T @ (y - y.mean(axis=0))


def norm(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.diag(comoment(x, x)))


def assert_close(found: object, x: np.ndarray, y: np.ndarray, precision: str = "float64") -> None:
    """Within the promised share of √(C_uu C_vv)."""
    bound = TOLERANCE[precision] * np.outer(norm(x), norm(y))
    assert (np.abs(np.asarray(found) - comoment(x, y)) <= bound).all()


def activations(seed: int, offset: float = 0.0, units: int = 3, grid: tuple[int, ...] = (2, 2)) -> np.ndarray:
    return offset + np.random.default_rng(seed).standard_normal((IMAGES, *grid, units))


def counted(activation: xr.DataArray, reads: Counter[int]) -> xr.DataArray:
    """The same activations; every read of a chunk is counted under its first image."""

    def read(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        reads[block_info[0]["array-location"][0][0]] += 1
        return block

    blocks = da.map_blocks(read, activation.data, meta=activation.data._meta)
    return activation.copy(data=blocks)


def block(a: np.ndarray, b: np.ndarray | None, orders: list[np.ndarray], precision: str) -> Moments:
    units_a, units_b = (np.arange(side.shape[-1]) for side in (a, a if b is None else b))
    return moments.block(a, b, orders, precision, np.arange(len(a)), units_a, units_b)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("offset", OFFSETS)
def test_block__agrees_with_numpy(precision: str, offset: float) -> None:
    a, b = activations(0, offset, units=3), activations(1, -offset, units=5)
    state = block(a, b, [], precision)
    assert state.n == IMAGES * 4
    np.testing.assert_allclose(state.mean_a, samples(a).mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.mean_b, samples(b).mean(axis=0), rtol=1e-12, atol=1e-12)
    assert state.comoment.shape == (1, 3, 5)
    assert_close(state.comoment[0], a, b, precision)


def test_block__multiplies_in_the_precision_asked_for() -> None:
    a = activations(2)
    half, single, double = (
        block(a.astype(t), None, [], p) for t, p in (("f2", "float64"), ("f8", "float32"), ("f8", "float64"))
    )
    assert all(state.comoment.dtype == np.float64 for state in (half, single, double))
    assert (single.comoment != double.comoment).any()
    assert_close(half.comoment[0], a.astype("f2"), a.astype("f2"))


def test_block__in_float32_merges_many_rows_in_float64(generator: np.random.Generator) -> None:
    a = 100 + generator.standard_normal((60, 15, 15, 3))  # 13 500 samples: four products
    assert a[..., 0].size > 3 * tiles.ROWS
    assert_close(block(a, None, [], "float32").comoment[0], a, a, "float32")


@pytest.mark.parametrize("images", [2, 3, 10, 50])
@pytest.mark.parametrize("seed", range(5))
def test_displaced__leaves_no_image_in_its_place(images: int, seed: int) -> None:
    order = moments.displaced(images, np.random.default_rng(seed))
    assert sorted(order) == list(range(images))
    assert (order != np.arange(images)).all()


@pytest.mark.parametrize("size", [1e-30, 1e-22, 1e19, 1e30])
def test_block__in_float32_takes_activations_of_any_size(generator: np.random.Generator, size: float) -> None:
    a = generator.standard_normal((50, 4, 3))
    found = block(size * a, None, [], "float32").comoment[0]
    assert_close(found / size**2, a, a, "float32")


def test_displaced__refuses_a_single_image(generator: np.random.Generator) -> None:
    with pytest.raises(InputError, match="a chunk of one image cannot be permuted"):
        moments.displaced(1, generator)


def test_block__permutes_the_images_of_b_and_keeps_positions() -> None:
    a, b = activations(3, units=2)[:4], activations(4, units=2)[:4]
    state = block(a, b, [moments.displaced(4, np.random.default_rng(i)) for i in range(5)], "float64")
    possible = [comoment(a, b[list(order)]) for order in itertools.permutations(range(4))]
    assert_close(state.comoment[0], a, b)
    for permuted in state.comoment[1:]:
        assert sum(np.allclose(permuted, one) for one in possible) == 1
    assert len(np.unique(state.comoment[1:].round(9), axis=0)) > 1


@PROPERTY
@given(
    st.sampled_from([1, 2, 3, 6]),
    st.sampled_from([1, 2, 3, 6]),
    st.sampled_from(OFFSETS),
    st.sampled_from(list(TOLERANCE)),
    st.sampled_from([(), (2, 2)]),
)
def test_gather__any_chunking_agrees_with_numpy(
    layer: Layer, chunk_a: int, chunk_b: int, offset: float, precision: str, grid: tuple[int, ...]
) -> None:
    x, y = activations(7, offset, grid=grid), activations(8, -offset, grid=grid)
    states = dask.compute(*moments.gather(layer(x, FOLDS, chunk_a), layer(y, FOLDS, chunk_b), precision=precision))
    assert len(states) == FOLDS
    for [[state]], part_x, part_y in zip(states, np.split(x, FOLDS), np.split(y, FOLDS), strict=True):
        assert state.n == len(samples(part_x))
        np.testing.assert_allclose(state.mean_a, samples(part_x).mean(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(state.mean_b, samples(part_y).mean(axis=0), rtol=1e-12, atol=1e-12)
        assert_close(state.comoment[0], part_x, part_y, precision)


@pytest.mark.parametrize("chunks", [(6, 6), (2, 6), (6, 1)])
def test_gather__reads_every_chunk_of_both_sides_once(layer: Layer, chunks: tuple[int, int]) -> None:
    reads_a, reads_b = Counter(), Counter()
    a = counted(layer(activations(9), FOLDS, chunks[0]), reads_a)
    b = counted(layer(activations(10), FOLDS, chunks[1]), reads_b)
    with dask.config.set(scheduler="synchronous"):
        dask.compute(moments.gather(a, b, permutations=3))
    assert reads_a == dict.fromkeys(range(0, IMAGES, chunks[0]), 1)
    assert reads_b == dict.fromkeys(range(0, IMAGES, chunks[1]), 1)


def test_gather__lets_go_of_a_chunk_before_it_reads_the_next(layer: Layer) -> None:
    alive: set[int] = set()
    most = 0

    class Block(np.ndarray):
        """An array that can be watched."""

    def read(values: np.ndarray) -> np.ndarray:
        nonlocal most
        block = values.copy().view(Block)
        alive.add(key := len(alive))
        weakref.finalize(block, alive.discard, key)
        most = max(most, len(alive))
        return block

    a = layer(activations(11), FOLDS, 1)
    with dask.config.set(scheduler="synchronous"):
        dask.compute(moments.gather(a.copy(data=da.map_blocks(read, a.data, meta=a.data._meta)), None))
    assert most == 1


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_between__blocks_of_units_make_up_the_whole(layer: Layer, side: int) -> None:
    """Comoments of 1, 2, 3 or all units with as many a task, of 5 and 4 units."""
    memory = 16 * moments.STATES * side**2
    a, b = layer(activations(30, 100.0, units=5), FOLDS), layer(activations(31, units=4), FOLDS)
    whole, found = moments.between(a, b), moments.between(a, b, memory=memory)
    xr.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-9)
    xr.testing.assert_allclose(moments.within(a, memory=memory), moments.within(a), rtol=1e-12, atol=1e-9)


def test_between__in_blocks_of_units_reads_every_chunk_once(layer: Layer) -> None:
    reads = Counter()
    a = counted(layer(activations(32), FOLDS), reads)
    pair = moments.between(a, layer(activations(33), FOLDS), memory=16, compute=False)
    assert not reads
    with dask.config.set(scheduler="synchronous"):
        pair.compute()
    assert set(reads.values()) == {1}


@pytest.mark.parametrize(("sides", "permutations"), [(1, 0), (2, 0), (2, 1)])
def test_gather__no_task_holds_more_than_its_memory(
    layer: Layer, monkeypatch: pytest.MonkeyPatch, sides: int, permutations: int
) -> None:
    """What a task makes, and the states that it merges."""
    moments.within(layer(activations(38), FOLDS))  # what it compiles is not to be counted
    memory, held = 2**22, []

    def watched(function: Callable[..., Moments]) -> Callable[..., Moments]:
        def call(*arguments: object) -> Moments:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            state = function(*arguments)
            merged = sum(argument.comoment.nbytes for argument in arguments if isinstance(argument, Moments))
            held.append(tracemalloc.get_traced_memory()[1] - before + merged)
            return state

        return call

    for name in ("block", "merge"):
        monkeypatch.setattr(moments, name, watched(getattr(moments, name)))
    a, b = (layer(activations(i, units=800, grid=()), FOLDS, IMAGES // FOLDS // 2) for i in (39, 40))
    states = moments.gather(a, b if sides == 2 else None, permutations=permutations, memory=memory)
    tracemalloc.start()
    dask.compute(states[0], scheduler="synchronous")
    tracemalloc.stop()
    assert memory / 2 < max(held) < 1.1 * memory


@pytest.mark.parametrize("permutations", [0, 1])
def test_fits__until_all_comoments_are_more_than_is_held(
    layer: Layer, monkeypatch: pytest.MonkeyPatch, permutations: int
) -> None:
    a, b = layer(activations(41, units=5), FOLDS), layer(activations(42, units=4), FOLDS)
    size = sum(array.nbytes for name, array in moments.between(a, b).items() if name.startswith("comoment"))
    size = size // 2 * (1 + permutations)
    monkeypatch.setattr(moments, "HELD", size)
    assert moments.fits(a, b, permutations)
    monkeypatch.setattr(moments, "HELD", size - 1)
    assert not moments.fits(a, b, permutations)


def test_of__reads_every_chunk_once(layer: Layer) -> None:
    """For the moments within both and between."""
    reads_a, reads_b = Counter(), Counter()
    a, b = (counted(layer(activations(i), FOLDS), reads) for i, reads in ((34, reads_a), (35, reads_b)))
    with dask.config.set(scheduler="synchronous"):
        moments.of(a, b)
    assert set(reads_a.values()) == set(reads_b.values()) == {1}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_between__names_the_unit_and_image_of_what_is_not_finite(layer: Layer, value: float) -> None:
    x = activations(36)
    x[9, 1, 0, 2] = value
    for sides in ((x, activations(37)), (activations(37), x)):
        with pytest.raises(InputError, match=r"unit 2, image 0009: activation .* is not finite"):
            moments.between(*(layer(side, FOLDS) for side in sides))


@pytest.mark.parametrize("memory", [moments.MEMORY, 16])
def test_between__names_a_unit_by_its_label_however_the_units_are_cut(layer: Layer, memory: int) -> None:
    x, y = (layer(activations(i), FOLDS) for i in (36, 37))
    x = x.assign_coords(unit=10 + np.arange(x.sizes["unit"]))
    bad = x.where((x["unit"] != 12) | (x["image"] != 9))
    for sides in ((bad, y), (y, bad)):
        with pytest.raises(InputError, match=r"^unit 12, image 0009: activation nan is not finite"):
            moments.between(*sides, memory=memory)


def test_of__refuses_activations_whose_products_overflow() -> None:
    x = activations(36)
    x[..., 2] *= 1e200
    labelled = xr.DataArray(x, {"unit": 10 + np.arange(x.shape[-1])}, ("image", "y", "x", "unit"))
    with pytest.raises(InputError, match=r"units 1\d and 12: their products leave float64; scale the activations down"):
        moments.of(labelled, labelled, folds=5)


def test_within__is_labelled_and_agrees_with_numpy(layer: Layer) -> None:
    x = activations(12, 100.0)
    found = moments.within(layer(x, FOLDS).assign_coords(unit=[5, 3, 8]))
    assert dict(found.sizes) == {"fold": FOLDS, "unit": 3, "unit_other": 3}
    assert found["unit"].values.tolist() == found["unit_other"].values.tolist() == [5, 3, 8]
    assert found.attrs == {"spatial": "positions", "precision": "float64"}
    np.testing.assert_array_equal(found["n"], [IMAGES // FOLDS * 4] * FOLDS)
    for fold, part in enumerate(np.split(x, FOLDS)):
        np.testing.assert_allclose(found["mean"][fold], samples(part).mean(axis=0), rtol=1e-12)
        assert_close(found["comoment"][fold], part, part)


def test_between__takes_layers_of_different_width(layer: Layer) -> None:
    x, y = activations(13, units=2), activations(14, units=5)
    found = moments.between(layer(x, FOLDS), layer(y, FOLDS), permutations=2)
    assert found["comoment"].dims == ("fold", "unit_a", "unit_b")
    assert found["comoment_permuted"].shape == (2, FOLDS, 2, 5)
    for fold, (part_x, part_y) in enumerate(zip(np.split(x, FOLDS), np.split(y, FOLDS), strict=True)):
        assert_close(found["comoment"][fold], part_x, part_y)
        np.testing.assert_allclose(found["mean_b"][fold], samples(part_y).mean(axis=0), rtol=1e-9)


def test_between__of_a_layer_and_itself_is_within(layer: Layer) -> None:
    a = layer(activations(15, 100.0), FOLDS)
    np.testing.assert_allclose(moments.between(a, a)["comoment"], moments.within(a)["comoment"], rtol=1e-12)


def test_between__exchanged_is_transposed(layer: Layer) -> None:
    a, b = layer(activations(16), FOLDS), layer(activations(17), FOLDS)
    forth, back = moments.between(a, b), moments.between(b, a)
    np.testing.assert_allclose(forth["comoment"], back["comoment"].values.transpose(0, 2, 1), rtol=1e-12)
    np.testing.assert_array_equal(forth["mean_a"], back["mean_b"])


@pytest.mark.parametrize("precision", TOLERANCE)
def test_between__permuted_units_permute_the_moments(layer: Layer, precision: str) -> None:
    x, y, order = activations(18), activations(19), [2, 0, 1]
    found = moments.between(layer(x, FOLDS), layer(y[..., order], FOLDS), precision=precision)
    assert found.attrs["precision"] == precision
    for fold, (part_x, part_y) in enumerate(zip(np.split(x, FOLDS), np.split(y, FOLDS), strict=True)):
        assert_close(found["comoment"][fold], part_x, part_y[..., order], precision)


def test_between__permutations_follow_their_seed(layer: Layer) -> None:
    a, b = layer(activations(20), FOLDS), layer(activations(21), FOLDS)
    first, again, other = (moments.between(a, b, permutations=2, seed=seed)["comoment_permuted"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()


def test_between__permuted_images_lose_what_networks_share(layer: Layer, generator: np.random.Generator) -> None:
    x = generator.standard_normal((2000, 1))
    permuted = moments.between(layer(x), layer(x), permutations=3)["comoment_permuted"].sum("fold") / 2000
    assert (np.abs(permuted) < 4 / np.sqrt(2000)).all()


def test_joined__adds_the_comoments_of_both_sides(layer: Layer) -> None:
    a, b = layer(activations(22), FOLDS), layer(activations(23), FOLDS)
    within_a, within_b = moments.within(a), moments.within(b)
    found = folds.joined(within_a, within_b, moments.between(a, b))
    assert found["comoment_a"].dims == ("fold", "unit_a", "unit_a_other")
    assert found["comoment_b"].dims == ("fold", "unit_b", "unit_b_other")
    np.testing.assert_array_equal(found["comoment_a"], within_a["comoment"])
    np.testing.assert_array_equal(found["comoment_b"], within_b["comoment"])


@pytest.mark.parametrize("side", ["a", "b"])
def test_joined__refuses_moments_of_units_in_another_order(layer: Layer, side: str) -> None:
    same = np.repeat(activations(24, units=1), 3, axis=-1)
    of = moments.within(layer(same, FOLDS))
    sides = {"a": of, "b": of, side: of.assign_coords(unit=of["unit"].values[::-1])}
    with pytest.raises(InputError, match=f"within {side} and between a and b come from different activations"):
        folds.joined(sides["a"], sides["b"], moments.between(layer(same, FOLDS), layer(same, FOLDS)))


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    ("change", "count"),
    [
        pytest.param(lambda x: x + 1, FOLDS, id="values"),
        pytest.param(lambda x: x[:12], FOLDS, id="images"),
        pytest.param(lambda x: x[..., :2], FOLDS, id="units"),
        pytest.param(lambda x: x, 2, id="folds"),
    ],
)
def test_joined__refuses_moments_of_other_activations(
    layer: Layer, side: str, change: Callable[[np.ndarray], np.ndarray], count: int
) -> None:
    x, y = activations(24), activations(25)
    sides = {"a": moments.within(layer(x, FOLDS)), "b": moments.within(layer(y, FOLDS))}
    sides[side] = moments.within(layer(change(x if side == "a" else y), count))
    with pytest.raises(InputError, match=f"within {side} and between a and b come from different activations"):
        folds.joined(sides["a"], sides["b"], moments.between(layer(x, FOLDS), layer(y, FOLDS)))


def test_check_same_samples__names_the_first_difference(layer: Layer) -> None:
    a = layer(activations(26))
    ids = a["image_id"].values.copy()
    ids[[5, 9]] = ["cat", "dog"]
    with pytest.raises(InputError, match=r"differ at image 5: '0005' and 'cat'; record both on the same probe"):
        moments.check_same_samples(a, a.assign_coords(image_id=("image", ids)))


def test_check_same_samples__names_unequal_counts(layer: Layer) -> None:
    with pytest.raises(InputError, match="24 and 20 images"):
        moments.between(layer(activations(27)), layer(activations(27)[:20]))


def test_check_same_samples__refuses_other_folds(layer: Layer) -> None:
    a = layer(activations(10), FOLDS)
    b = a.assign_coords(fold=("image", a["fold"].values[::-1]))
    with pytest.raises(InputError, match="the two sides have different folds; make both of one probe"):
        moments.check_same_samples(a, b)


@pytest.mark.parametrize("grid", [(), (4, 1), (3, 2)])
def test_check_same_samples__names_unequal_grids(layer: Layer, grid: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as refused:
        moments.between(layer(activations(28)), layer(activations(28, grid=grid)))
    assert str(refused.value) == f"the two layers have positions (2, 2) and {grid}; compare layers of one grid"


@pytest.mark.parametrize(("grid", "expected"), [((), "images"), ((2, 2), "positions"), ((1, 1), "positions")])
def test_spatial__is_positions_on_a_grid(layer: Layer, grid: tuple[int, ...], expected: str) -> None:
    assert moments.spatial(layer(activations(29, grid=grid))) == expected


def test_check_same_samples__refuses_other_sampled_positions(layer: Layer) -> None:
    a = layer(activations(38, grid=(4,)).reshape(IMAGES, 4, 1, 3)).isel(x=0).rename(y="position")
    places = {"y": ("position", [0, 0, 1, 3]), "x": ("position", [0, 2, 1, 3])}
    first = a.assign_coords(places)
    moments.check_same_samples(first, first)
    with pytest.raises(InputError, match="recorded at different positions"):
        moments.check_same_samples(first, first.assign_coords(x=("position", [0, 1, 1, 3])))
