"""Ensembles of two: by hand on four images, and against what independence must give."""

import numpy as np
import pytest
import xarray as xr

from convergent.errors import InputError
from convergent.measures.ensemble import ensemble


def answers(logits: np.ndarray, label: np.ndarray, folds: int = 2) -> xr.Dataset:
    images = len(label)
    return xr.Dataset(
        {"logit": (("image", "class"), np.asarray(logits, dtype=np.float64))},
        {
            "image_id": ("image", np.array([str(i) for i in range(images)], dtype=np.dtypes.StringDType())),
            "label": ("image", label),
            "fold": ("image", np.arange(images) // (images // folds)),
            "class": np.array([str(c) for c in range(np.shape(logits)[1])], dtype=np.dtypes.StringDType()),
        },
    )


def value(result: xr.Dataset, statistic: str, variable: str = "summary") -> float:
    return float(result[variable].sel(statistic=statistic).squeeze())


# Class 0 is right. A is right on images 0, 1 and 3, B on 0, 2 and 3; where they differ A is the surer.
A = np.log([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.6, 0.4]])
B = np.log([[0.7, 0.3], [0.4, 0.6], [0.6, 0.4], [0.9, 0.1]])


def test_ensemble__by_hand() -> None:
    result = ensemble(answers(A, np.zeros(4, dtype=int)), answers(B, np.zeros(4, dtype=int)), permutations=5)
    assert value(result, "accuracy_a") == value(result, "accuracy_b") == 0.75
    assert value(result, "accuracy_probabilities") == 0.75  # of image 2 the mean is (.35, .65)
    assert value(result, "gain") == 0
    assert value(result, "share_disagreement") == 0.5
    assert value(result, "error_correlation") == pytest.approx(-1 / 3)  # (.5 − .75²)/(.75 · .25)
    # Without fold 0 (images 0 and 1) the gain is −.25, without the other .25: √(½ · 2 · .25²).
    assert value(result, "gain", "summary_standard_error") == pytest.approx(0.25)
    assert value(result, "accuracy_a", "summary_standard_error") == pytest.approx(0.25)


def test_ensemble__averages_logits_otherwise_than_probabilities() -> None:
    """What B all but excludes, the mean of logits cannot answer, the mean of probabilities (.45, .3, .25) can."""
    label = np.zeros(2, dtype=int)
    a, b = (np.log([row, row]) for row in ([0.9, 0.1, 1e-6], [1e-6, 0.5, 0.5]))
    result = ensemble(answers(a + 3, label), answers(b, label), permutations=2)
    assert value(result, "accuracy_probabilities") == 1
    assert value(result, "accuracy_logits") == 0
    assert (value(result, "gain"), value(result, "gain_logits")) == (0.5, -0.5)


def test_ensemble__of_a_network_with_itself_gains_nothing(generator: np.random.Generator) -> None:
    label = np.arange(60) % 3
    one = answers(generator.standard_normal((60, 3)) + 1.5 * np.eye(3)[label], label)
    result = ensemble(one, one, permutations=50)
    assert value(result, "gain") == value(result, "gain_logits") == value(result, "share_disagreement") == 0
    assert value(result, "error_correlation") == pytest.approx(1)
    assert value(result, "error_correlation", "p_value") == pytest.approx(1 / 51)
    assert value(result, "gain", "summary_null") > 0.02
    assert np.isnan(value(result, "accuracy_a", "summary_null"))


def test_ensemble__of_independent_errors_is_its_own_null(generator: np.random.Generator) -> None:
    label = np.arange(4000) % 4
    sides = [answers(generator.standard_normal((4000, 4)) + 1.2 * np.eye(4)[label], label, 10) for _ in range(2)]
    result = ensemble(*sides, permutations=20)
    for statistic in ("gain", "gain_logits", "share_disagreement", "error_correlation"):
        error = value(result, statistic, "summary_standard_error")
        assert value(result, statistic) == pytest.approx(value(result, statistic, "summary_null"), abs=3.5 * error)
    assert value(result, "gain") > 0.03


def test_ensemble__permutes_within_classes(generator: np.random.Generator) -> None:
    """Where one class alone is hard for both, errors correlate over all images and not within classes."""
    label = np.arange(400) % 2
    strength = np.where(label == 0, 8.0, 0.2)[:, None] * np.eye(2)[label]
    sides = [answers(generator.standard_normal((400, 2)) + strength, label, 10) for _ in range(2)]
    result = ensemble(*sides, permutations=50)
    assert value(result, "error_correlation") > 0.15
    assert value(result, "error_correlation", "summary_null") > 0.15


def test_ensemble__is_undefined_without_errors() -> None:
    label = np.arange(4) % 2
    right = answers(5 * np.eye(2)[label], label)
    result = ensemble(right, right, permutations=2)
    assert np.isnan(value(result, "error_correlation"))
    assert value(result, "gain") == 0


def test_ensemble__refuses_other_images_and_classes() -> None:
    one, label = answers(A, np.zeros(4, dtype=int)), np.zeros(4, dtype=int)
    with pytest.raises(InputError, match="differ at image 0"):
        ensemble(one, one.assign_coords(image_id=one["image_id"][::-1]))
    with pytest.raises(InputError, match="different classes"):
        ensemble(one, answers(np.zeros((4, 3)), label))
    with pytest.raises(InputError, match="permutations is 0"):
        ensemble(one, one, permutations=0)
