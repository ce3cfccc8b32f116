"""Comparison of dissimilarities against SciPy, by definition and on planted classes."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.spatial.distance import cosine, pdist, squareform

from convergent import rdms
from convergent.errors import InputError
from convergent.measures.rsa import COMPARISONS, COUNTS, STATISTICS, rsa

IMAGES, K = 30, 5
UPPER = np.triu_indices(IMAGES, 1)
Of = Callable[..., xr.Dataset]


@pytest.fixture
def of(layer: Callable[..., xr.DataArray]) -> Of:
    """RDMs of features [image, feature], of three classes."""

    def made(features: np.ndarray, folds: int = K) -> xr.Dataset:
        return rdms.of(layer(features, folds).assign_coords(label=("image", 10 * (np.arange(len(features)) % 3))))

    return made


@pytest.fixture
def data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features of whole numbers, so that dissimilarities are tied, that share part of what they tell."""
    x = generator.integers(0, 3, (IMAGES, 5)).astype(float)
    return x, np.hstack([x[:, :3], generator.integers(0, 3, (IMAGES, 3))])


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(STATISTICS, np.asarray(values), strict=True))


def compared(a: np.ndarray, b: np.ndarray) -> list[float]:
    """By SciPy, of two triangles; in ranks, rounding breaks no ties."""
    tied_a, tied_b = (np.rint(1e7 * side / side.max()) for side in (a, b))
    return [stats.spearmanr(tied_a, tied_b).statistic, stats.pearsonr(a, b).statistic, 1 - cosine(a, b)]


def by_scipy(x: np.ndarray, y: np.ndarray) -> list[float]:
    return [value for metric in ("euclidean", "correlation") for value in compared(pdist(x, metric), pdist(y, metric))]


def defined(values: np.ndarray) -> np.ndarray:
    return ~(values == values[:, :1]).all(axis=1)


@pytest.fixture
def contrasted(data: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The data where every image has a correlation."""
    x, y = (side.copy() for side in data)
    for side in (x, y):
        side[~defined(side), 0] += 1
    return x, y


def test_rsa__agrees_with_scipy(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    found = rsa(of(contrasted[0]), of(contrasted[1]))
    assert found["statistic"].values.tolist() == list(STATISTICS)
    np.testing.assert_array_equal(found["summary"][:3], [IMAGES, 0, 0])
    np.testing.assert_allclose(found["summary"][3:], by_scipy(*contrasted), rtol=1e-10)


def test_rsa__standard_errors_agree_with_leaving_out_images(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = contrasted
    fold = np.arange(IMAGES) // (IMAGES // K)
    values = np.array([by_scipy(x[fold != k], y[fold != k]) for k in range(K)])
    expected = np.sqrt((K - 1) / K * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
    error = rsa(of(x), of(y))["summary_standard_error"]
    assert error[: len(COUNTS)].isnull().all()
    np.testing.assert_allclose(error[len(COUNTS) :], expected, rtol=1e-8)


@pytest.mark.parametrize("images", [IMAGES, 140])
def test_rsa__null_permutes_rows_and_columns_together(of: Of, images: int) -> None:
    generator = np.random.default_rng(1)
    x = generator.standard_normal((images, 4))
    y = 0.6 * x + generator.standard_normal((images, 4))
    found = rsa(of(x), of(y), permutations=19, generator=np.random.default_rng(5))
    orders = np.random.default_rng(5)
    drawn = np.hstack(
        [
            [compared(pdist(x, metric), pdist(y[orders.permutation(images)], metric)) for _ in range(19)]
            for metric in ("euclidean", "correlation")
        ]
    )
    np.testing.assert_allclose(found["summary_null"].sel(null_kind="permuted")[3:], drawn.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found["permuted_95th_percentile"][3:], np.quantile(drawn, 0.95, axis=0), rtol=1e-9)
    value = found["summary"].values[3:]
    np.testing.assert_allclose(found["p_value"][3:], (1 + (drawn >= value).sum(axis=0)) / 20, rtol=1e-12)
    for name in ("summary_null", "p_value", "permuted_95th_percentile"):
        assert found[name][..., : len(COUNTS)].isnull().all()


def test_rsa__mean_of_the_null_is_known(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    """Over all orders, correlations average to 0 and the cosine to what the means of the triangles make of it."""
    a, b = (pdist(side) for side in contrasted)
    null = named(rsa(of(contrasted[0]), of(contrasted[1]), permutations=2000)["summary_null"][0])
    assert null["cosine_euclidean"] == pytest.approx(
        a.mean() * b.mean() * len(a) / np.linalg.norm(a) / np.linalg.norm(b), abs=2e-3
    )
    assert null["spearman_euclidean"] == pytest.approx(0, abs=0.01)
    assert null["pearson_correlation"] == pytest.approx(0, abs=0.01)


def test_rsa__a_draw_of_the_recorded_order_counts(of: Of, generator: np.random.Generator) -> None:
    """Of the six orders of three images, two leave the largest of these dissimilarities in its place."""
    triangle = np.array([[0.0, 0.3, 0.3], [0.3, 0.0, 0.9], [0.3, 0.9, 0.0]])
    a = of(generator.standard_normal((3, 4)), 3)
    a = a.assign(euclidean=(a["euclidean"].dims, triangle))
    p_value = named(rsa(a, a, permutations=999)["p_value"])
    assert p_value["pearson_euclidean"] == pytest.approx(2 / 6, abs=0.06)


def test_rsa__of_equal_networks_is_one(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    a = of(contrasted[0])
    found = rsa(a, a, permutations=99)
    np.testing.assert_allclose(found["summary"][3:], 1, rtol=1e-12)
    np.testing.assert_allclose(found["summary_standard_error"][3:], 0, atol=1e-12)
    np.testing.assert_allclose(found["p_value"][3:], 0.01, rtol=1e-12)
    assert (found["permuted_95th_percentile"][3:] < 1).all()


def test_rsa__finds_nothing_where_nothing_is_shared(of: Of, generator: np.random.Generator) -> None:
    """The p-values of independent networks are uniform."""
    noise = generator.standard_normal((40, 2, 12, 6))
    p_values = [rsa(of(x, 2), of(y, 2), permutations=19, generator=generator)["p_value"].values[3:] for x, y in noise]
    assert np.mean(np.array(p_values) <= 0.25) == pytest.approx(0.25, abs=0.1)


def test_rsa__exchanged_is_the_same(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (of(side) for side in contrasted)
    forth, back = rsa(a, b), rsa(b, a)
    for name in ("summary", "summary_standard_error"):
        np.testing.assert_allclose(forth[name], back[name], rtol=1e-9)
    np.testing.assert_array_equal(forth["class_a"], back["class_b"])


def test_rsa__ranks_do_not_change_with_a_monotone_map(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (of(side) for side in contrasted)
    straight, bent = named(rsa(a, b)["summary"]), named(rsa(a, b.assign(euclidean=b["euclidean"] ** 3))["summary"])
    scaled = named(rsa(a, b.assign(euclidean=1e6 * b["euclidean"]))["summary"])
    assert bent["spearman_euclidean"] == pytest.approx(straight["spearman_euclidean"], rel=1e-12)
    assert bent["pearson_euclidean"] != pytest.approx(straight["pearson_euclidean"], rel=1e-3)
    assert scaled == pytest.approx(straight, rel=1e-12)


def test_rsa__linear_cka_is_the_cosine_of_centred_squared_distances(of: Of) -> None:
    """The golden value, computed from the raw data too: ‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features."""
    rs = np.random.RandomState(0)
    x, w, noise = rs.standard_normal((500, 20)), rs.standard_normal((20, 24)), rs.standard_normal((500, 24))
    y = 0.3 * (x @ w) + noise
    centring = np.eye(500) - 1 / 500
    a, b = (centring @ of(side)["euclidean"].values ** 2 @ centring for side in (x, y))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    cka = np.sum((x.T @ y) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    assert 1 - cosine(a.ravel(), b.ravel()) == pytest.approx(cka, rel=1e-12)
    assert cka == pytest.approx(0.5817023521044136, rel=1e-12)


def test_rsa__images_of_undefined_correlation_are_counted_and_left_out(
    of: Of, contrasted: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = contrasted
    x[[3, 4]], y[[4, 11, 12]] = 2.0, 0.0
    found = named(rsa(of(x), of(y))["summary"])
    kept = np.delete(np.arange(IMAGES), [3, 4, 11, 12])
    assert [found[name] for name in COUNTS] == [IMAGES, 2, 3]
    assert [found[f"{name}_euclidean"] for name in COMPARISONS] == pytest.approx(compared(pdist(x), pdist(y)))
    correlations = (pdist(side[kept], "correlation") for side in (x, y))
    assert [found[f"{name}_correlation"] for name in COMPARISONS] == pytest.approx(compared(*correlations))


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_rsa__with_a_dead_layer_is_undefined(of: Of, contrasted: tuple[np.ndarray, np.ndarray], value: float) -> None:
    a, dead = of(contrasted[0]), of(np.full((IMAGES, 4), value))
    for found, counts in ((rsa(a, dead), [0, IMAGES]), (rsa(dead, a), [IMAGES, 0]), (rsa(dead, dead), [IMAGES] * 2)):
        np.testing.assert_array_equal(found["summary"][: len(COUNTS)], [IMAGES, *counts])
        for name in ("summary", "summary_standard_error", "p_value", "permuted_95th_percentile"):
            assert found[name][len(COUNTS) :].isnull().all()
        assert found["summary_null"].isnull().all()


def test_rsa__equal_dissimilarities_have_no_order(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    """Every image as far from every other, but for the rounding of float32: correlations of noise would be a number."""
    a, b = of(contrasted[0]), of(np.eye(IMAGES))
    noise = 1 + 1e-7 * squareform(np.random.default_rng(0).uniform(-1, 1, len(UPPER[0])))
    found = named(rsa(a, b.assign(euclidean=b["euclidean"] * noise))["summary"])
    assert np.isnan([found["spearman_euclidean"], found["pearson_euclidean"]]).all()
    distance = pdist(contrasted[0])
    expected = distance.sum() / np.linalg.norm(distance) / np.sqrt(len(distance))
    assert found["cosine_euclidean"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("images", [1, 2])
def test_rsa__of_too_few_images_is_undefined(of: Of, generator: np.random.Generator, images: int) -> None:
    a = of(generator.standard_normal((images, 4)), images)
    found = rsa(a, a)
    np.testing.assert_array_equal(found["summary"], [images, 0, 0, *[np.nan] * 6])


def test_rsa__class_means_by_hand(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = contrasted
    y[6] = 1.0  # of class 0, without a correlation
    found = rsa(of(x), of(y))
    assert found["label"].values.tolist() == found["label_other"].values.tolist() == [0, 10, 20]
    for side, values, metric in (("a", x, "euclidean"), ("b", y, "correlation")):
        kept = np.delete(np.arange(IMAGES), 6) if metric == "correlation" else np.arange(IMAGES)
        rdm = squareform(pdist(values[kept], metric))
        for p in range(3):
            for q in range(3):
                pairs = [rdm[i, j] for i in range(len(kept)) for j in range(len(kept)) if i != j
                         and kept[i] % 3 == p and kept[j] % 3 == q]  # fmt: skip
                mean = found[f"class_{side}"].sel(dissimilarity=metric, label=10 * p, label_other=10 * q)
                assert float(mean) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_rsa__a_class_of_one_image_has_no_dissimilarity_within(of: Of, generator: np.random.Generator) -> None:
    a = of(generator.standard_normal((4, 5)), 2)  # classes 0, 10, 20, 0
    class_a = rsa(a, a)["class_a"].sel(dissimilarity="euclidean").values
    np.testing.assert_array_equal(np.isnan(class_a), np.diag([False, True, True]))


def test_rsa__follows_the_generator(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (of(side) for side in contrasted)
    xr.testing.assert_identical(rsa(a, b), rsa(a, b, generator=np.random.default_rng(0)))
    assert (rsa(a, b, generator=np.random.default_rng(1))["summary_null"] != rsa(a, b)["summary_null"])[0, 3:].all()


def test_rsa__refuses_other_images(of: Of, contrasted: tuple[np.ndarray, np.ndarray]) -> None:
    a = of(contrasted[0])
    exchanged = a.isel(image=[0, 1, 3, 2, *range(4, IMAGES)])
    with pytest.raises(InputError, match="differ at image 2: '0002' and '0003'; record both on the same probe"):
        rsa(a, exchanged)
    with pytest.raises(InputError, match="hold 30 and 25 images"):
        rsa(a, of(contrasted[1][:25]))
    with pytest.raises(InputError, match="different folds"):
        rsa(a, of(contrasted[1], 3))
