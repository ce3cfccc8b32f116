"""Numbers that must agree because they are the same thing, each by two measures that share no code."""

import numpy as np
import pytest
import xarray as xr

from convergent import activations, folds, joint_histograms, moments, rdms
from convergent.measures.cross_layer import cross_layer
from convergent.measures.matching import matching
from convergent.measures.mutual_information import mutual_information
from convergent.measures.similarity import similarity
from convergent.measures.sparse_prediction import sparse_prediction
from convergent.measures.subspace_match import subspace_match


def value(result: xr.Dataset, statistic: str) -> float:
    return float(result["summary"].sel(statistic=statistic))


@pytest.fixture
def networks(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Five and four units that partly share a space, 400 images."""
    x = generator.standard_normal((400, 5)) @ generator.standard_normal((5, 5))
    return x, x @ generator.standard_normal((5, 4)) + 2 * generator.standard_normal((400, 4))


def whole_layer(x: np.ndarray, y: np.ndarray) -> xr.Dataset:
    return similarity(moments.of(x, y), activations.label(x), activations.label(y), permutations=2)


def test_one_unit_each__every_measure_is_a_function_of_r(generator: np.random.Generator) -> None:
    x = generator.standard_normal((300, 1))
    y = 0.6 * x + generator.standard_normal((300, 1))
    r = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    pair = moments.of(x, y)
    layer = whole_layer(x, y)
    for statistic, expected in {
        "cka": r**2,
        "cka_pooled": r**2,
        "mean_cca": r,
        "mean_squared_cca": r**2,
        "svcca": r,
        "pwcca": r,
        "procrustes_angle": np.arccos(r),
        "soft_match": r,
        "hard_match": r,
    }.items():
        assert value(layer, statistic) == pytest.approx(expected, rel=1e-10), statistic
    assert value(matching(pair), "mean_r_semi_b") == pytest.approx(r, rel=1e-12)
    least_squares = sparse_prediction(pair, alphas=3, smallest=0.1).sel(alpha=0)
    assert float(least_squares["loss_ab"][0]) == pytest.approx((1 - r**2) / 2, rel=1e-10)
    distance = subspace_match(pair, centred=True, starts=0)["critical_epsilon_a"].values
    assert distance[0] == pytest.approx(np.sqrt(1 - r**2), rel=1e-5)  # the ridge


def test_centred_subspace_distance__is_the_root_of_what_least_squares_leaves(
    networks: tuple[np.ndarray, np.ndarray],
) -> None:
    """ε² = 1 − R² for every unit as long as all are there, so the largest is ε of the whole layer."""
    pair = moments.of(*networks)
    loss = sparse_prediction(pair, alphas=3, smallest=0.1).sel(alpha=0)
    left = np.concatenate([2 * loss["loss_ab"].values, 2 * loss["loss_ba"].values])
    found = subspace_match(pair, centred=True, starts=0)
    assert value(found, "epsilon_full") == pytest.approx(np.sqrt(left.max()), rel=1e-4)


def test_squared_cca__is_the_explained_variance_of_white_targets(networks: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = networks
    centred = y - y.mean(axis=0)
    white = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T))).T
    loss = sparse_prediction(moments.of(x, white), alphas=3, smallest=0.1).sel(alpha=0)["loss_ab"].values
    assert value(whole_layer(x, y), "mean_squared_cca") == pytest.approx(np.mean(1 - 2 * loss), rel=1e-9)


def test_soft_and_hard_match__are_the_means_of_matching(networks: tuple[np.ndarray, np.ndarray]) -> None:
    layer, matched = whole_layer(*networks), matching(moments.of(*networks))
    assert value(layer, "soft_match") == value(matched, "mean_r_semi_a")
    assert value(layer, "hard_match") == value(matched, "mean_r_one_to_one")


def test_cka__is_the_same_from_moments_rows_and_dissimilarities(networks: tuple[np.ndarray, np.ndarray]) -> None:
    """Linear CKA is the cosine of H D H, D the squared euclidean dissimilarities, H the centring matrix."""
    layer = whole_layer(*networks)
    size = len(networks[0])
    centring = np.eye(size) - 1 / size
    a, b = (
        centring @ rdms.of(activations.label(x), images=size)["euclidean"].values.astype(np.float64) ** 2 @ centring
        for x in networks
    )
    cosine = (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))
    assert value(layer, "cka") == pytest.approx(cosine, rel=1e-5)  # dissimilarities are stored in float32
    assert value(layer, "cka_pooled") == pytest.approx(value(layer, "cka"), rel=1e-10)


def test_cross_layer__holds_the_similarity_of_each_layer(networks: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = networks
    layers_a = {"one": activations.label(x), "two": activations.label(x**2)}
    layers_b = {"one": activations.label(y), "two": activations.label(y**2)}
    crossed = cross_layer(layers_a, layers_b)
    for i, (p, q) in enumerate(((x, y), (x**2, y**2))):
        layer = whole_layer(p, q)
        for variable, statistic in (("cka", "cka_pooled"), ("cka_debiased", "cka_pooled_debiased")):
            assert float(crossed[variable][i, i]) == pytest.approx(value(layer, statistic), rel=1e-10)


def test_mutual_information__of_two_copies_is_the_entropy_and_matches_as_correlation_does(
    networks: tuple[np.ndarray, np.ndarray],
) -> None:
    x = networks[0]
    a, b = activations.label(x), activations.label(x[:, ::-1])
    histograms = joint_histograms.between(a, b, joint_histograms.edges(a), joint_histograms.edges(b))
    found = mutual_information(histograms, moments.of(x, x[:, ::-1]))
    np.testing.assert_allclose(np.diag(histograms["information"][:, ::-1]), histograms["entropy_a"], rtol=1e-12)
    matched = matching(moments.of(x, x[:, ::-1]))
    np.testing.assert_array_equal(found["partner_one_to_one_a"], matched["partner_one_to_one_a"])
    assert value(found, "share_same_semi_a") == 1


def test_identical_networks__are_alike_by_every_measure(networks: tuple[np.ndarray, np.ndarray]) -> None:
    x = networks[0]
    pair, layer = moments.of(x, x), whole_layer(x, x)
    for statistic in ("cka", "cka_pooled", "cka_pooled_debiased", "mean_cca", "svcca", "pwcca", "hard_match"):
        assert value(layer, statistic) == pytest.approx(1, abs=1e-9), statistic
    assert value(layer, "procrustes_angle") == pytest.approx(0, abs=1e-6)
    assert value(matching(pair), "n_mutual_nearest") == x.shape[1]
    assert value(sparse_prediction(pair, alphas=3, smallest=0.1), "r2_best_single_ab") == pytest.approx(1, abs=1e-12)
    assert value(subspace_match(pair, starts=0), "epsilon_full") == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(np.diag(folds.correlation(folds.total(pair))), 1, atol=1e-14)
