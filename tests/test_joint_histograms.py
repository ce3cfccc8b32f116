"""Bins, joint histograms and their information against NumPy and scikit-learn, whatever the chunks and the memory."""

import time
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
from sklearn.metrics import mutual_info_score

from convergent import joint_histograms, moments
from convergent.errors import InputError
from convergent.information import information

PROPERTY = settings(max_examples=12)
IMAGES, FOLDS, BINS = 40, 4, 5
Layer = Callable[..., xr.DataArray]


def rectified(seed: int, units: int = 3, grid: tuple[int, ...] = (3, 2)) -> np.ndarray:
    """Activations of which about 40 % are zero, and with ties."""
    return np.maximum(np.random.default_rng(seed).standard_normal((IMAGES, *grid, units)) + 0.25, 0).round(2)


def shared(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Networks of 3 and 4 units that share part of what they see."""
    a = rectified(seed)
    return a, np.maximum(a[..., [2, 0, 1, 1]] - rectified(seed + 1, 4), 0)


def between(a: xr.DataArray, b: xr.DataArray, bins: int = BINS, **options: int) -> xr.Dataset:
    edges = (joint_histograms.edges(side, bins=bins) for side in (a, b))
    return joint_histograms.between(a, b, *edges, **options)


def codes_by_definition(values: np.ndarray, edge: np.ndarray) -> np.ndarray:
    return (values.reshape(-1, len(edge)).T[:, :, None] > edge[:, None, :]).sum(axis=-1)


def codes_of(x: np.ndarray, layer: Layer) -> np.ndarray:
    return codes_by_definition(x, joint_histograms.edges(layer(x, FOLDS), bins=BINS)["edge"].values)


def scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mutual information by scikit-learn of all pairs of rows."""
    return np.array([[mutual_info_score(u, v) for v in b] for u in a])


def occupied(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[len(set(zip(u, v, strict=True))) for v in b] for u in a])


# --- edges


def test_information__of_a_table_by_hand() -> None:
    found = information(np.array([[[[30, 10], [10, 50]]]], np.uint32))
    assert found["information"].item() == pytest.approx(0.17774, abs=5e-6)
    assert (found["information"] - found["information_corrected"]).item() == pytest.approx(0.0050, abs=1e-12)
    assert found["entropy_a"].item() == pytest.approx(-0.4 * np.log(0.4) - 0.6 * np.log(0.6), rel=1e-14)
    assert [found[name].item() for name in ("occupied", "occupied_a", "occupied_b")] == [4, 2, 2]


@pytest.mark.parametrize("scale", [1, 1000, 10**6])  # beyond 65 536 logarithms are not looked up
@pytest.mark.parametrize("shape", [(3, 4), (21, 21), (1, 5)])
def test_information__agrees_with_scikit_learn(shape: tuple[int, int], scale: int) -> None:
    generator = np.random.default_rng(scale)
    table = (generator.integers(0, 5, shape) * scale).astype(np.uint32)
    found = information(table[None, None])
    expected = mutual_info_score(None, None, contingency=table.astype(np.int64))
    assert found["information"].item() == pytest.approx(expected, rel=1e-10, abs=1e-13)
    cells = [np.count_nonzero(t) for t in (table, table.sum(axis=1), table.sum(axis=0))]
    assert [found[name].item() for name in ("occupied", "occupied_a", "occupied_b")] == cells
    bias = (cells[0] - cells[1] - cells[2] + 1) / (2 * table.sum())
    assert found["information_corrected"].item() == pytest.approx(expected - bias, rel=1e-10, abs=1e-13)


@PROPERTY
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 4))
def test_information__is_symmetric_and_bounded(seed: int, rows: int, columns: int) -> None:
    table = np.random.default_rng(seed).integers(0, 9, (rows, columns)).astype(np.uint32)
    table[0, 0] += 1
    found = information(table[None, None])
    turned = information(np.ascontiguousarray(table.T)[None, None])
    assert found["information"].item() == pytest.approx(turned["information"].item(), abs=1e-14)
    assert 0 <= found["information"].item() <= min(found["entropy_a"].item(), found["entropy_b"].item()) + 1e-14


def test_information__of_independent_units_is_zero_and_never_less(generator: np.random.Generator) -> None:
    a, b = generator.integers(1, 9, (2, 200, 5)).astype(np.uint32)
    found = [information(np.multiply.outer(u, v)[None, None])["information"] for u, v in zip(a, b, strict=True)]
    assert np.min(found) >= 0
    assert np.max(found) < 1e-14


# --- the pass


@PROPERTY
@given(
    st.sampled_from([2, 5, 10]),
    st.sampled_from([2, 5, 10]),
    st.sampled_from([1, 10**4, 10**5, 10**9]),
    st.sampled_from([(), (3, 2)]),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_between__any_chunking_and_memory_agrees_with_scikit_learn(
    layer: Layer, chunk_a: int, chunk_b: int, memory: int, grid: tuple[int, ...], dtype: type
) -> None:
    x, y = rectified(0, 3, grid).astype(dtype), rectified(1, 4, grid).astype(dtype)
    y[..., 1] = x[..., 2]
    found = between(layer(x, FOLDS, chunk_a), layer(y, FOLDS, chunk_b), memory=memory)
    a, b = codes_of(x, layer), codes_of(y, layer)
    np.testing.assert_array_equal(found["n"], a.shape[1] // FOLDS)
    np.testing.assert_allclose(found["information"], scores(a, b), rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(found["occupied"], occupied(a, b))
    for side, codes in (("a", a), ("b", b)):
        np.testing.assert_allclose(found[f"entropy_{side}"], np.diag(scores(codes, codes)), rtol=1e-10)
        np.testing.assert_array_equal(found[f"occupied_{side}"], np.diag(occupied(codes, codes)))
    fold = np.arange(a.shape[1]) // (a.shape[1] // FOLDS)
    for k in range(FOLDS):
        rest = scores(a[:, fold != k], b[:, fold != k])
        np.testing.assert_allclose(found["information_left_out"][k], rest, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(
            found["entropy_a_left_out"][k], np.diag(scores(a[:, fold != k], a[:, fold != k])), rtol=1e-10
        )


def test_between__corrects_each_set_by_its_own_bins(layer: Layer) -> None:
    x, y = shared(0)
    found = between(layer(x, FOLDS), layer(y, FOLDS))
    a, b = codes_of(x, layer), codes_of(y, layer)
    fold = np.arange(a.shape[1]) // (a.shape[1] // FOLDS)
    for suffix, kept, index in (("", fold >= 0, ()), ("_left_out", fold != 1, (1,))):
        u, v = a[:, kept], b[:, kept]
        excess = occupied(u, v) - np.diag(occupied(u, u))[:, None] - np.diag(occupied(v, v)) + 1
        corrected = scores(u, v) - excess / (2 * kept.sum())
        np.testing.assert_allclose(found[f"information_corrected{suffix}"].values[index], corrected, rtol=1e-10)


@pytest.mark.parametrize("chunk", [5, 10])
@pytest.mark.parametrize("seed", [0, 3])
def test_between__permutes_as_moments_do(layer: Layer, chunk: int, seed: int) -> None:
    """Of units that are 0 or 1, the comoment tells the whole table."""
    a, b = (layer((rectified(i, 3) > 0).astype(np.float32), FOLDS, chunk) for i in (0, 1))
    found = between(a, b, permutations=2, seed=seed)
    pair = moments.between(a, b, permutations=2, seed=seed)
    n = float(pair["n"].sum())
    p, q = (pair[name].mean("fold").values for name in ("mean_a", "mean_b"))
    for i in range(2):
        of_fold = pair["comoment_permuted"][i] + pair["n"] * pair["mean_a"] * pair["mean_b"]
        both = of_fold.transpose("fold", "unit_a", "unit_b").sum("fold").values / n
        cells = np.stack([both, p[:, None] - both, q - both, 1 - p[:, None] - q + both])
        product = np.stack([np.outer(p, q), np.outer(p, 1 - q), np.outer(1 - p, q), np.outer(1 - p, 1 - q)])
        expected = (cells * np.log(cells / product)).sum(axis=0)
        np.testing.assert_allclose(found["information_permuted"][i], expected, rtol=1e-6, atol=1e-10)
    assert np.abs(found["information_permuted"][0] - found["information_permuted"][1]).max() > 1e-4
    np.testing.assert_allclose(found["entropy_b_permuted"][0], found["entropy_b"], rtol=1e-14)


def test_between__of_a_network_with_itself_is_its_entropy(layer: Layer) -> None:
    a = layer(rectified(0), FOLDS)
    found = between(a, a)
    np.testing.assert_array_equal(np.diag(found["information"]), found["entropy_a"])
    np.testing.assert_allclose(found["information"], found["information"].T, atol=1e-14)


def test_between__exchanged_is_transposed(layer: Layer) -> None:
    a, b = (layer(side, FOLDS) for side in shared(0))
    forth, back = between(a, b), between(b, a)
    for name in ("information", "information_corrected", "occupied"):
        np.testing.assert_allclose(forth[name], back[name].values.T, atol=1e-14)
    np.testing.assert_array_equal(forth["entropy_a"], back["entropy_b"])


def test_between__is_exactly_zero_for_a_constant(layer: Layer) -> None:
    x, y = shared(0)
    x[..., 1], y[..., 0], y[..., 3] = 0, 5.5, 1e-7
    found = between(layer(x, FOLDS), layer(y, FOLDS))
    for suffix in ("", "_left_out", "_permuted"):
        for name in (f"information{suffix}", f"information_corrected{suffix}"):
            zero = found[name].values
            np.testing.assert_array_equal(zero[..., 1, :], 0)
            np.testing.assert_array_equal(zero[..., :, [0, 3]], 0)
    assert (found["information"].values[[0, 2]][:, [1, 2]] > 0).all()
    assert found["entropy_a"][1] == found["entropy_b"][0] == found["entropy_b"][3] == 0


@pytest.mark.parametrize("increasing", [np.sqrt, np.expm1, lambda x: np.where(x > 0, x + 9, 0)])
def test_between__is_unchanged_by_increasing_maps(layer: Layer, increasing: Callable[[np.ndarray], np.ndarray]) -> None:
    x, y = shared(0)
    straight, mapped = (between(layer(side, FOLDS), layer(y, FOLDS)) for side in (x, increasing(x)))
    xr.testing.assert_identical(straight, mapped)


def test_between__falls_where_images_are_permuted(layer: Layer) -> None:
    found = between(*(layer(side, FOLDS) for side in shared(0)))
    assert (found["information"] > found["information_permuted"][0]).values[[0, 1, 2, 2], [1, 2, 0, 0]].all()


def test_between__keeps_labels_and_follows_permuted_units(layer: Layer) -> None:
    a, b = (layer(side, FOLDS) for side in shared(0))
    straight = between(a, b)
    turned = between(a.isel(unit=[2, 0, 1]), b.isel(unit=[3, 2, 0, 1]))
    xr.testing.assert_identical(straight, turned.sel(unit_a=[0, 1, 2], unit_b=[0, 1, 2, 3]))


def counted(activation: xr.DataArray, reads: Counter[int], alive: set[int] | None = None) -> xr.DataArray:
    """The same activations; reads of a chunk are counted under its first image, and its array is watched."""

    def read(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        reads[block_info[0]["array-location"][0][0]] += 1
        block = block.copy()
        if alive is not None:
            alive.add(id(block))
            reads["most"] = max(reads["most"], len(alive))
            weakref.finalize(block, alive.discard, id(block))
        return block

    return activation.copy(data=da.map_blocks(read, activation.data, meta=activation.data._meta))


@pytest.mark.parametrize(
    ("memory", "passes"), [(10**9, 1), (3 * 4 * 6 * 6 * 4 * 11 - 1, 1), (240 * (3 + 2 * 4) - 1, 3), (1, 3)]
)
def test_between__reads_every_chunk_once_or_once_a_block_of_units(layer: Layer, memory: int, passes: int) -> None:
    # A row of 4 units of B has 4 × 6 × 6 counts of 4 bytes, and 11 sets: 4 folds and the sum, permuted too, and a rest.
    # Codes are of a byte for each of 240 samples, of 3 units of A, and of 4 of B as they are and permuted.
    reads_a, reads_b = Counter(), Counter()
    a, b = (layer(side, FOLDS, 5) for side in shared(0))
    edges = [joint_histograms.edges(side, bins=BINS) for side in (a, b)]
    with dask.config.set(scheduler="synchronous"):
        joint_histograms.between(counted(a, reads_a), counted(b, reads_b), *edges, memory=memory)
    assert reads_a == reads_b == dict.fromkeys(range(0, IMAGES, 5), passes)


def test_between__holds_few_blocks_at_a_time(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where counting is slower than reading."""
    count = joint_histograms._count
    monkeypatch.setattr(joint_histograms, "_count", lambda *tables: (time.sleep(0.002), count(*tables)))
    reads, alive = Counter(), set()
    a, b = (layer(np.concatenate([side] * 5), FOLDS, 2) for side in shared(0))
    edges = [joint_histograms.edges(side, bins=BINS) for side in (a, b)]
    with dask.config.set(scheduler="threads", num_workers=2):
        joint_histograms.between(counted(a, reads, alive), counted(b, reads, alive), *edges)
    assert sum(count for block, count in reads.items() if block != "most") == 200
    assert reads["most"] <= 6  # two threads, both sides; some are not yet collected


@pytest.mark.parametrize("memory", [10**9, 10**4, 1])  # tables at once; in parts, codes held; in parts, all read anew
@pytest.mark.parametrize("workers", [1, 4])
def test_between__does_not_depend_on_threads_and_memory(layer: Layer, workers: int, memory: int) -> None:
    a, b = (layer(side, FOLDS, 2) for side in shared(0))
    with dask.config.set(scheduler="threads", num_workers=workers):
        found = between(a, b, memory=memory)
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(found, between(a, b))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.assign_coords(image_id=("image", b["image_id"].values[::-1])), "the two sides differ at image 0"),
        (lambda b: b.isel(y=slice(2)), r"the two layers have positions \(3, 2\) and \(2, 2\)"),
        (lambda b: b.assign_coords(unit=[0, 1, 2, 9]), "the edges are of other units"),
        (lambda b: b.isel(image=slice(10)), "the two sides hold 40 and 10 images"),
        (lambda b: b.where(b["image"] != 7), "unit 0, image 0007: activation nan is not finite"),
    ],
)
def test_between__refuses(layer: Layer, change: Callable[[xr.DataArray], xr.DataArray], message: str) -> None:
    a, b = (layer(side, FOLDS) for side in shared(0))
    b = b.assign_coords(image=np.arange(IMAGES))
    edges = [joint_histograms.edges(side, bins=BINS) for side in (a, b)]
    with pytest.raises(InputError, match=message):
        joint_histograms.between(a, change(b), *edges)


def test_between__refuses_a_single_fold(layer: Layer) -> None:
    a = layer(rectified(0), folds=1)
    with pytest.raises(InputError, match="all images are in one fold"):
        between(a, a)


def test_of__takes_plain_arrays(layer: Layer) -> None:
    x, y = shared(0)
    xr.testing.assert_identical(
        joint_histograms.of(x, y, folds=FOLDS, bins=BINS, permutations=2, seed=1),
        between(layer(x, FOLDS), layer(y, FOLDS), permutations=2, seed=1),
    )
