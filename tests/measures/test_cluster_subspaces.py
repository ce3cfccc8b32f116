"""Prediction within clusters, by hand and against least squares on raw activations."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from convergent.measures import cluster_subspaces as measure
from convergent.measures import held_out

Moments = Callable[..., xr.Dataset]
LABEL_A, LABEL_B = np.array([0, 0, 1, 2, -1, 0]), np.array([1, 0, 0, -1, 3])


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = generator.standard_normal((100, 6))
    return x, x[:, :5] + generator.standard_normal((100, 5))


@pytest.fixture
def moments(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> xr.Dataset:
    return pair(*data)


@pytest.fixture(params=[measure.UNITS, 1], autouse=True)
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All clusters together, or each alone."""
    monkeypatch.setattr(measure, "UNITS", request.param)


def errors(moments: xr.Dataset, *labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (groups,) = measure.groups(moments, [labels])
    return measure.errors(groups, 11, moments.sizes["fold"])


def standard_error(moments: xr.Dataset, *labels: np.ndarray) -> np.ndarray:
    (groups,) = measure.groups(moments, [labels])
    return measure.standard_error(groups, 11, moments.sizes["fold"])


def test_groups__keep_clusters_whole_and_apart(moments: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    label_a, label_b = np.array([0, 2, 1, 0, 1, 3]), np.array([1, 1, 0, 2, -1])
    found = {}
    for most in (1, 6, 99):
        monkeypatch.setattr(measure, "UNITS", most)
        (groups,) = measure.groups(moments, [(label_a, label_b)])
        found[most] = [sorted({*group.labels[0].tolist(), *group.labels[1].tolist()}) for group in groups]
        for group, clusters in zip(groups, found[most], strict=True):
            np.testing.assert_array_equal(group.places, np.flatnonzero(np.isin([*label_a, *label_b], clusters)))
    assert found == {1: [[0], [1], [2]], 6: [[0], [1, 2]], 99: [[0, 1, 2]]}


def test_errors__agree_with_those_from_all_moments(moments: xr.Dataset) -> None:
    """Coefficients that are 0 outside the clusters, on the moments of all units."""
    split = held_out.splits(moments)
    squared, total = errors(moments, LABEL_A, LABEL_B)
    of_b, total_b = held_out.scores(split, held_out.score(lambda *r: measure.coefficients(*r, LABEL_A, LABEL_B)))
    of_a, total_a = held_out.scores(
        held_out.exchanged(split), held_out.score(lambda *r: measure.coefficients(*r, LABEL_B, LABEL_A))
    )
    known = np.isfinite(squared[0, 0])
    expected = np.concatenate([of_a, of_b], axis=2), np.hstack([total_a, total_b])
    np.testing.assert_allclose(squared[:, :, known], expected[0][:, :, known], rtol=1e-10)
    np.testing.assert_allclose(total[:, known], expected[1][:, known], rtol=1e-12)


def test_coefficients__keep_to_the_cluster(moments: xr.Dataset) -> None:
    within, between = held_out.correlations(held_out.splits(moments)[0][0])
    every, best = measure.coefficients(within, between, LABEL_A, LABEL_B)
    together = LABEL_B[:, None] == LABEL_A
    together[3] = False
    np.testing.assert_array_equal(every != 0, together)
    inside = [0, 1, 5]
    expected = np.linalg.solve(within[np.ix_(inside, inside)], between[inside][:, [1, 2]]).T
    np.testing.assert_allclose(every[1:3][:, inside], expected, rtol=1e-9)
    for target in (0, 1, 2):
        strongest = np.where(together[target], np.abs(between[:, target]), -1).argmax()
        np.testing.assert_array_equal(np.flatnonzero(best[target]), [strongest])
        assert best[target, strongest] == pytest.approx(between[strongest, target])
    assert not best[3:].any()


def test_errors__units_without_the_other_network_have_none(moments: xr.Dataset) -> None:
    squared, total = errors(moments, LABEL_A, LABEL_B)
    assert squared.shape == (5, 2, 11)
    known = np.array([0, 1, 2, 5, 6, 7, 8])  # units of A, then of B, in clusters 0 and 1
    np.testing.assert_array_equal(~np.isnan(squared), np.broadcast_to(np.isin(np.arange(11), known), (5, 2, 11)))
    r2 = measure.r2(squared, total)
    np.testing.assert_allclose(r2[:, known], 1 - squared[:, :, known].sum(0) / total[:, known].sum(0), rtol=1e-12)
    np.testing.assert_allclose(measure.mean_r2(squared, total), r2[:, known].mean(axis=1), rtol=1e-12)


def test_errors__are_the_same_seen_from_the_other_side(
    pair: Moments, moments: xr.Dataset, data: tuple[np.ndarray, np.ndarray]
) -> None:
    straight, total = errors(moments, LABEL_A, LABEL_B)
    turned, total_turned = errors(pair(*data[::-1]), LABEL_B, LABEL_A)
    np.testing.assert_allclose(np.roll(turned, 6, axis=2), straight, rtol=1e-9)
    np.testing.assert_allclose(np.roll(total_turned, 6, axis=1), total, rtol=1e-9)


def test_standard_error__is_that_of_images_deleted_and_all_fitted_again(
    pair: Moments, data: tuple[np.ndarray, np.ndarray], moments: xr.Dataset
) -> None:
    kept = [np.delete(np.arange(100), fold) for fold in np.split(np.arange(100), 5)]
    again = [pair(data[0][images], data[1][images], folds=4) for images in kept]
    left_out = np.array([measure.mean_r2(*errors(others, LABEL_A, LABEL_B)) for others in again])
    expected = np.sqrt(4 / 5 * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(standard_error(moments, LABEL_A, LABEL_B), expected, rtol=1e-9)


def test_standard_error__of_a_unit_that_lives_in_one_fold(pair: Moments, data: tuple[np.ndarray, np.ndarray]) -> None:
    """Without that fold it is dead, and so in no cluster."""
    x, y = data
    y[20:, 1] = 0
    kept = [np.delete(np.arange(100), fold) for fold in np.split(np.arange(100), 5)]
    labels = [np.where(y[images].any(axis=0), LABEL_B, -1) for images in kept]
    again = [pair(x[images], y[images], folds=4) for images in kept]
    left_out = np.array([measure.mean_r2(*errors(*of)) for of in zip(again, [LABEL_A] * 5, labels, strict=True)])
    expected = np.sqrt(4 / 5 * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(standard_error(pair(x, y), LABEL_A, LABEL_B), expected, rtol=1e-9)


def test_mean_r2__without_mixed_clusters_is_undefined(moments: xr.Dataset) -> None:
    squared, total = errors(moments, np.zeros(6, int), np.ones(5, int))
    assert np.isnan(measure.mean_r2(squared, total)).all()
    assert np.isnan(standard_error(moments, np.zeros(6, int), np.ones(5, int))).all()
