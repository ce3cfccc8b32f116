"""Samples drawn in one pass over two networks, and their subspace match, against NumPy whatever the chunks."""

import weakref
from collections import Counter
from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from convergent import samples
from convergent.errors import InputError
from convergent.measures.peeling import critical_epsilons
from convergent.measures.subspace_match import EPSILONS, scaled, subspace_match
from convergent.measures.subspace_match_sampled import subspace_match_sampled

Layer = Callable[..., xr.DataArray]
POSITIONS, DRAWS = 70, 3


@pytest.fixture
def activations(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two networks of 4 and 3 rectified units, the first of each dead, on 20 images of 3 × 2 positions."""
    shared = generator.standard_normal((20, 3, 2, 4))
    other = shared[..., [1, 0, 3]] + 0.5 * generator.standard_normal((20, 3, 2, 3))
    return tuple(np.maximum(x, 0) * (np.arange(x.shape[-1]) > 0) for x in (shared, other))


def rows(draw: int, total: int = 120) -> np.ndarray:
    return np.random.default_rng([7, draw]).choice(total, min(POSITIONS, total), replace=False)


def draws(a: xr.DataArray, b: xr.DataArray, positions: int = POSITIONS, **options: int) -> list[xr.Dataset]:
    return list(samples.between(a, b, positions=positions, draws=DRAWS, seed=7, **options))


def drawn(a: xr.DataArray, b: xr.DataArray, positions: int = POSITIONS) -> xr.Dataset:
    return xr.concat(draws(a, b, positions), "draw")


@pytest.mark.parametrize("chunk", [1, 3, 4, 20])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_between__agrees_with_numpy_in_any_chunks(
    layer: Layer, activations: tuple[np.ndarray, np.ndarray], chunk: int, dtype: str
) -> None:
    a, b = (x.astype(dtype) for x in activations)
    found = drawn(layer(a, chunk=chunk), layer(b, chunk=5))
    for draw in range(DRAWS):
        x, y = (side.reshape(120, -1)[rows(draw)].astype(np.float64) for side in (a, b))
        one = found.isel(draw=draw)
        for name, expected in {"gram_a": x.T @ x, "gram_b": y.T @ y, "gram_ab": x.T @ y}.items():
            np.testing.assert_allclose(one[name], expected, rtol=1e-12)
        np.testing.assert_allclose(one["mean_a"], x.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(one["mean_b"], y.mean(axis=0), rtol=1e-12)
    assert found["gram_ab"].dims == ("draw", "unit_a", "unit_b")
    assert found.attrs["spatial"] == "positions"
    assert found.attrs["n"] == POSITIONS


def test_between__draws_each_sample_once_at_most_and_others_each_time(layer: Layer) -> None:
    each = layer(np.eye(40))  # the Gram matrix tells which images were drawn
    counts = np.stack([np.diag(gram) for gram in drawn(each, each, positions=30)["gram_ab"].values])
    assert set(counts.ravel()) == {0, 1}
    assert (counts.sum(axis=1) == 30).all()
    assert len(np.unique(counts, axis=0)) == DRAWS


def test_between__takes_all_samples_where_there_are_fewer(
    layer: Layer, activations: tuple[np.ndarray, np.ndarray]
) -> None:
    found = drawn(*(layer(x) for x in activations), positions=10_000)
    a, b = (x.reshape(120, -1) for x in activations)
    assert found.attrs["n"] == 120
    np.testing.assert_allclose(found["gram_ab"], np.broadcast_to(a.T @ b, (DRAWS, 4, 3)), rtol=1e-12)
    np.testing.assert_allclose(found["mean_a"], np.broadcast_to(a.mean(axis=0), (DRAWS, 4)), rtol=1e-12)


# A sample is 4 + 3 values of 8 bytes. All 120 fit, or the 70 of one draw, or not even those.
@pytest.mark.parametrize(("memory", "passes"), [(120 * 56, 1), (120 * 56 - 1, DRAWS), (1, DRAWS), (2 * 70 * 56 - 1, 1)])
def test_between__reads_every_chunk_once_or_once_for_the_draws_that_fit(
    layer: Layer, activations: tuple[np.ndarray, np.ndarray], memory: int, passes: int
) -> None:
    reads: Counter[tuple[str, int]] = Counter()

    def counted(name: str, a: xr.DataArray) -> xr.DataArray:
        def read(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
            reads[name, block_info[0]["chunk-location"][0]] += 1
            return block

        return a.copy(data=da.map_blocks(read, a.data, meta=a.data._meta))

    a, b = (layer(x, chunk=4) for x in activations)
    with dask.config.set(scheduler="synchronous"):
        found = draws(counted("a", a), counted("b", b), memory=memory)
    assert reads == {(name, block): passes for name in "ab" for block in range(5)}
    for one, other in zip(found, draws(a, b), strict=True):
        xr.testing.assert_identical(one, other)


def test_between__holds_the_gram_matrices_of_one_draw(layer: Layer, activations: tuple[np.ndarray, np.ndarray]) -> None:
    taken = samples.between(*(layer(x) for x in activations), positions=POSITIONS, draws=DRAWS, seed=7)
    gram = weakref.ref(next(taken)["gram_a"].values)
    assert gram() is None


def test_between__keeps_labels(layer: Layer, activations: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (layer(x) for x in activations)
    found = drawn(a.assign_coords(unit=np.arange(4) + 10), b.assign_coords(unit=np.arange(3) + 50))
    assert found["unit_a"].values.tolist() == [10, 11, 12, 13]
    assert found["unit_b"].values.tolist() == [50, 51, 52]


@pytest.mark.parametrize("side", ["A", "B"])
def test_between__refuses_what_is_not_finite(
    layer: Layer, activations: tuple[np.ndarray, np.ndarray], side: str
) -> None:
    broken = dict(zip("AB", (x.copy() for x in activations), strict=True))
    broken[side][3, 1, 0, 2] = np.inf
    with pytest.raises(InputError, match="unit 2, image 0003"):
        drawn(*(layer(x) for x in broken.values()), positions=120)


def test_between__refuses_other_images(layer: Layer, activations: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (layer(x) for x in activations)
    with pytest.raises(InputError, match="20 and 15 images"):
        drawn(a, b[:15])


def test_subspace_match_sampled__is_mean_and_spread_of_the_draws(
    layer: Layer, activations: tuple[np.ndarray, np.ndarray]
) -> None:
    found = subspace_match_sampled(draws(*(layer(x) for x in activations)))
    critical = []
    for draw in range(DRAWS):
        joint = np.hstack([x.reshape(120, -1)[rows(draw)] for x in activations])
        critical.append(critical_epsilons(scaled(joint.T @ joint, joint.any(axis=0)), 4))
    shares = np.array([[(one <= epsilon).mean() for epsilon in EPSILONS] for one in critical])
    np.testing.assert_allclose(found["similarity"], shares.mean(axis=0))
    np.testing.assert_allclose(found["similarity_standard_deviation"], shares.std(axis=0, ddof=1), atol=1e-15)
    values = dict(zip(map(str, found["statistic"].values), found["summary"].values, strict=True))
    spread = dict(zip(map(str, found["statistic"].values), found["standard_deviation"].values, strict=True))
    full = np.nanmax(critical, axis=1)
    assert values["epsilon_full"] == pytest.approx(full.mean())
    assert spread["epsilon_full"] == pytest.approx(full.std(ddof=1))
    assert [values[name] for name in ("n_samples", "n_draws", "mean_dead_a", "mean_dead_b")] == [POSITIONS, DRAWS, 1, 1]
    areas = np.nansum(1 - np.array(critical), axis=1) / 7  # dead units do not match
    assert values["area"] == pytest.approx(areas.mean())
    assert found["curve"].values[[0, 100]] == pytest.approx([0, 5 / 7])
    assert found["summary_standard_error"].isnull().all()  # draws are no images
    assert all(variable.attrs["long_name"] for variable in found.data_vars.values())


def test_subspace_match_sampled__of_all_samples_is_subspace_match(
    layer: Layer, pair: Callable[..., xr.Dataset], activations: tuple[np.ndarray, np.ndarray]
) -> None:
    found = subspace_match_sampled(draws(*(layer(x) for x in activations), positions=120))
    whole = subspace_match(pair(*activations), starts=0)
    for name in ("similarity", "curve", "curve_chance"):
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-12)
    np.testing.assert_array_equal(found["curve_standard_deviation"], 0)
    shared = [name for name in whole["statistic"].values if name in found["statistic"]]
    assert len(shared) == 7
    for kind in ("summary", "summary_null"):
        expected = whole[kind].sel(statistic=shared)
        expected = expected.sel(null_kind=["chance"]) if kind == "summary_null" else expected
        np.testing.assert_allclose(found[kind].sel(statistic=shared), expected, rtol=1e-9)
