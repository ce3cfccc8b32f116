"""Stitching: the summary by hand, from accuracies of two folds."""

import numpy as np
import pytest
import xarray as xr

from convergent.measures.stitching import stitching

MAPS = ["mean", "identity", "one_to_one", "lasso_0.5", "lasso_0.1", "lasso_0.01", "least_squares"]
ALPHA = [np.nan, np.nan, np.nan, 0.5, 0.1, 0.01, np.nan]
# Accuracy of each map in direction ab; in ba a tenth less. Fold 1 lies .1 above fold 0.
ACCURACY = np.array([0.15, 0.25, 0.55, 0.35, 0.65, 0.85, 0.95])
WEIGHTS = np.array([[0, 1, 1, 0.5, 4, 12, 30], [0, 1, 1, 0.5, 6, 14, 30.0]])


@pytest.fixture
def scores() -> xr.Dataset:
    of_ab = ACCURACY[:, None] + np.array([-0.05, 0.05])
    return xr.Dataset(
        {
            "accuracy": (("direction", "map", "fold"), np.stack([of_ab, of_ab - 0.1])),
            "intact": (("direction", "fold"), np.array([[0.9, 1.0], [0.8, 0.9]])),
            "n_weights": (("direction", "map"), WEIGHTS),
        },
        {
            "direction": ["a_to_b", "b_to_a"],
            "map": np.array(MAPS, dtype=np.dtypes.StringDType()),
            "alpha": ("map", ALPHA),
        },
    )


def value(result: xr.Dataset, statistic: str, variable: str = "summary", **chosen: str) -> float:
    return float(result[variable].sel(statistic=statistic, **chosen))


def test_stitching__summarises_by_hand(scores: xr.Dataset) -> None:
    result = stitching(scores, 0.125)
    assert value(result, "accuracy_intact") == pytest.approx(0.9)
    assert value(result, "accuracy_identity") == pytest.approx(0.2)
    assert value(result, "accuracy_one_to_one") == pytest.approx(0.5)
    assert value(result, "accuracy_least_squares") == pytest.approx(0.9)
    # At most 5 weights: in ab at α = 0.1, in ba, where that takes 6, at 0.5.
    assert value(result, "accuracy_lasso_few") == pytest.approx((0.65 + 0.25) / 2)
    # Nine tenths from .15 to .95 is .87, and from .05 to .85 it is .77: no LASSO does in ab, none in ba.
    assert np.isnan(value(result, "n_weights_kept"))
    # Two folds .1 apart: √(½ · 2 · .05²).
    assert value(result, "accuracy_one_to_one", "summary_standard_error") == pytest.approx(0.05)
    assert np.isnan(value(result, "n_weights_kept", "summary_standard_error"))
    assert value(result, "accuracy_one_to_one", "summary_null", null_kind="mean_activation") == pytest.approx(0.1)
    assert value(result, "accuracy_one_to_one", "summary_null", null_kind="most_frequent_class") == 0.125
    assert result["summary_null"].sel(null_kind="untrained_sender").isnull().all()
    assert result["accuracy_untrained"].isnull().all()
    np.testing.assert_allclose(result["accuracy"], [ACCURACY, ACCURACY - 0.1])
    np.testing.assert_allclose(result["accuracy_of_fold"], scores["accuracy"])
    np.testing.assert_allclose(result["accuracy_intact"], [0.95, 0.85])


def test_stitching__counts_the_weights_that_keep_nine_tenths(scores: xr.Dataset) -> None:
    scores["accuracy"][:, MAPS.index("lasso_0.01")] += 0.021
    assert value(stitching(scores, 0.1), "n_weights_kept") == pytest.approx(13)
    scores["accuracy"][1, MAPS.index("lasso_0.1")] = 0.9
    assert value(stitching(scores, 0.1), "n_weights_kept") == pytest.approx((12 + 6) / 2)
    scores["intact"][1] = 0.01  # a receiver that is no better than its means has nothing to keep
    assert np.isnan(value(stitching(scores, 0.1), "n_weights_kept"))


def test_stitching__has_the_null_of_an_untrained_sender(scores: xr.Dataset) -> None:
    untrained = scores.assign(accuracy=scores["accuracy"] / 2, n_weights=scores["n_weights"] * 0 + 9)
    result = stitching(scores, 0.1, untrained)
    of = {"variable": "summary_null", "null_kind": "untrained_sender"}
    assert value(result, "accuracy_one_to_one", **of) == pytest.approx(0.25)
    assert np.isnan(value(result, "accuracy_lasso_few", **of))  # all have 9 weights
    assert np.isnan(value(result, "accuracy_intact", **of))
    np.testing.assert_allclose(result["accuracy_untrained"], result["accuracy"] / 2)


def test_stitching__takes_dimensions_in_any_order(scores: xr.Dataset) -> None:
    xr.testing.assert_identical(stitching(scores.transpose("fold", "map", "direction"), 0.1), stitching(scores, 0.1))
