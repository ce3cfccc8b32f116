"""CKA of rows against kernels, U-statistics and all permutations by brute force."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.measures import cka
from convergent.measures import rows as measure_rows

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
Layer = Callable[..., xr.DataArray]
RAW, DEBIASED, CALIBRATED, EXPECTED = range(4)


def data(seed: int, images: int, units: int, shared: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Two layers that share part of what they see, with means that matter and units of all scales."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((images, units)) * np.geomspace(0.1, 10, units)
    y = shared * x @ rng.standard_normal((units, units + 1)) + rng.standard_normal((images, units + 1))
    return x + 3, y - 100


def centre(x: np.ndarray) -> np.ndarray:
    return np.asarray(x - x.mean(axis=0))


def rows(x: np.ndarray, fold: np.ndarray | None = None) -> measure_rows.Rows:
    """The rows of an array, by default in two folds."""
    folds = ("image", np.arange(len(x)) % 2 if fold is None else fold)
    return measure_rows.of(xr.DataArray(x, {"unit": np.arange(x.shape[1]), "fold": folds}, ("image", "unit")))


def of(x: np.ndarray, y: np.ndarray, fold: np.ndarray | None = None) -> np.ndarray:
    """CKA of raw rows, [1 + fold, kind]."""
    a, b = rows(x, fold), rows(y, fold)
    return cka.similarities(cka.products(a, b), cka.products(a, a), cka.products(b, b))


def hsic_1(x: np.ndarray, y: np.ndarray) -> float:
    """The U-statistic of HSIC from kernels with zero diagonal (Song et al. 2012, equation 5)."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    traces = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ m).sum()
    return float(traces / (n * (n - 3)))


@PROPERTY
@given(st.integers(0, 2**31), st.integers(4, 40), st.integers(1, 12))
def test_similarities__agree_with_kernels(seed: int, images: int, units: int) -> None:
    x, y = data(seed, images, units)
    h = np.eye(images) - 1 / images
    k, m = (h @ (z @ z.T) @ h for z in (centre(x), centre(y)))
    raw = (k * m).sum() / np.sqrt((k**2).sum() * (m**2).sum())
    found = of(x, y)[0]
    assert found[RAW] == pytest.approx(raw, rel=1e-9)
    debiased = hsic_1(x - 3, y + 100) / np.sqrt(hsic_1(x - 3, x - 3) * hsic_1(y + 100, y + 100))
    assert found[DEBIASED] == pytest.approx(debiased, rel=1e-6, abs=1e-6)


def test_products__debiased_are_the_u_statistic_over_distinct_images() -> None:
    """HSIC_1 is the mean of k_ij (m_ij + m_qr − 2 m_iq) over all i, j, q, r that differ."""
    x, y = data(0, 6, 2)
    k, m = x @ x.T, y @ y.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.permutations(range(6), 4)]
    found = cka.products(rows(x), rows(y))[0, 1]
    assert found == pytest.approx(6 * 3 * np.mean(terms), rel=1e-9)


def test_similarities__are_cosines_of_dissimilarities() -> None:
    x, y = data(1, 30, 4)
    h = np.eye(30) - 1 / 30
    d, e = (h @ ((z[:, None] - z[None]) ** 2).sum(axis=2) @ h for z in (x, y))
    assert of(x, y)[0, RAW] == pytest.approx((d * e).sum() / np.sqrt((d**2).sum() * (e**2).sum()), rel=1e-10)


def test_products__without_a_fold_are_those_of_the_other_images() -> None:
    x, y = data(2, 30, 5)
    fold = np.repeat([7, 1, 4], [12, 8, 10])  # unequal, in any order
    found = cka.products(rows(x, fold), rows(y, fold))
    for row, left_out in zip(found[1:], (1, 4, 7), strict=True):
        kept = fold != left_out
        np.testing.assert_allclose(row, cka.products(rows(x[kept]), rows(y[kept]))[0], rtol=1e-10)


def test_products__expected_is_the_mean_over_all_permutations() -> None:
    x, y = data(3, 6, 3)
    orders = [list(order) for order in itertools.permutations(range(6))]
    found = np.mean([cka.products(rows(x), rows(y[order]))[0, :2] for order in orders], axis=0)
    raw, expected = cka.products(rows(x), rows(y))[0, [0, 2]]
    assert found[0] == pytest.approx(expected, rel=1e-12)
    assert found[1] == pytest.approx(0, abs=1e-12 * raw)
    calibrated = (of(x, y)[0, RAW] - of(x, y)[0, EXPECTED]) / (1 - of(x, y)[0, EXPECTED])
    assert of(x, y)[0, CALIBRATED] == pytest.approx(calibrated, rel=1e-12)
    assert of(x, y)[0, EXPECTED] == pytest.approx(np.mean([of(x, y[order])[0, RAW] for order in orders]), rel=1e-12)


@pytest.mark.parametrize("picked", [0, 10**9], ids=["kernels", "units"])
def test_permuted__is_exact_by_images_and_by_units(
    generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch, picked: int
) -> None:
    x, y = data(4, 20, 3)
    order = np.random.default_rng(5).permutation(20)
    monkeypatch.setattr(cka, "PICKED", picked)
    found = cka.permuted(rows(x), rows(y), 1, np.random.default_rng(5))
    np.testing.assert_allclose(found, ((centre(x).T @ centre(y)[order]) ** 2).sum(), rtol=1e-12)
    draws = cka.permuted(rows(x), rows(y), 2000, generator)
    expected = cka.products(rows(x), rows(y))[0, 2]
    assert abs(draws.mean() - expected) < 4 * draws.std() / np.sqrt(2000)


def test_similarities__of_noise_are_high_unless_debiased(generator: np.random.Generator) -> None:
    """METHODS: biased CKA of pure noise is about .2 at 32 images (here 8 units a side)."""
    found = np.array([of(*generator.standard_normal((2, 32, 8)))[0] for _ in range(200)])
    assert found[:, RAW].mean() == pytest.approx(0.2, abs=0.01)
    assert np.abs(found[:, [DEBIASED, CALIBRATED]].mean(axis=0)).max() < 0.01


@PROPERTY
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_similarities__ignore_rotation_scale_and_order(seed: int, scale: float) -> None:
    x, y = data(seed, 30, 4)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((4, 4)))[0]
    expected = of(x, y)[0]
    np.testing.assert_allclose(of(scale * x @ rotation, y)[0], expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(of(y, x)[0], expected, rtol=1e-10)
    np.testing.assert_allclose(of(x, 2 * x @ rotation)[0, :3], 1, rtol=1e-8)


def test_similarities__of_a_dead_layer_are_undefined() -> None:
    x, y = data(6, 20, 3)
    assert np.isnan(of(np.full_like(x, 0.1), y)).all()
    assert np.isnan(of(x, np.zeros_like(y))).all()


def test_similarities__of_a_layer_that_lives_in_one_fold_are_undefined_without_it() -> None:
    x, y = data(7, 20, 1)
    fold = np.repeat([0, 1], 10)
    x[fold == 1] = 0.3
    found = of(x, y, fold)
    assert not np.isnan(found[[0, 2]]).any()
    assert np.isnan(found[1]).all()


def test_similarities__of_few_images_and_of_images_equally_far_apart_are_undefined() -> None:
    x, y = data(8, 3, 2)
    np.testing.assert_array_equal(np.isnan(of(x, y)[0]), [False, True, True, True])
    raw, debiased, calibrated, expected = of(np.eye(6), np.eye(6)[::-1])[0]
    assert raw == pytest.approx(1)
    assert expected == pytest.approx(1)  # any order of the images is as good
    assert np.isnan([debiased, calibrated]).all()
