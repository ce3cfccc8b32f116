"""Ensembles of two: what the answers of a pair are worth together.

p = (softmax z_a + softmax z_b)/2, and the mean of the logits z; gain: the accuracy of the mean over the mean of both
accuracies. Errors made on the same images cannot be averaged away: the null permutes the images of B within each
class, so that both are right as often in every class and err independently.
Source: Hansen, Salamon 1990 (IEEE PAMI 12); Dietterich 2000 (Lecture Notes in Computer Science 1857).
"""

import numpy as np
import xarray as xr
from scipy.special import softmax

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array
from convergent.measures.summary import among_permuted, summary

STATISTICS = {
    "accuracy_a": "share of images that A answers right",
    "accuracy_b": "share of images that B answers right",
    "accuracy_probabilities": "share that the mean of the probabilities answers right",
    "accuracy_logits": "share that the mean of the logits answers right",
    "gain": "accuracy_probabilities less the mean of accuracy_a and accuracy_b",
    "gain_logits": "accuracy_logits less the mean of accuracy_a and accuracy_b",
    "share_disagreement": "share of images to which A and B give different answers",
    "error_correlation": "Pearson correlation of being wrong, A and B, over images",
}


def ensemble(
    a: xr.Dataset, b: xr.Dataset, *, permutations: int = 200, generator: np.random.Generator | None = None
) -> xr.Dataset:
    """What both networks of a pair answer together, with standard errors over images and a null.

    Parameters
    ----------
    a, b : ``logit[image, class]`` with the coordinates ``image_id``, ``label`` and ``fold``
    permutations : of the images of B within each class
    generator : of the permutations; none: seed 0

    Returns
    -------
    the summary with the coordinate ``definition[statistic]``, accuracies and shares 0–1, and the null
    ``permuted_within_classes`` (mean over permutations); ``p_value[statistic]``, the share of permutations with at
    least the value, and ``permuted_95th_percentile[statistic]``

    Raises
    ------
    InputError : where both are not of the same images and classes, or for no permutation
    """
    at_least(1, permutations=permutations)
    folds.check_same_images(a["image_id"].values, b["image_id"].values)
    folds.check_same_folds(a["fold"].values, b["fold"].values)
    if not np.array_equal(a["class"].values, b["class"].values):
        raise InputError("the two sides answer with different classes; make both of one data set")
    generator = generator or np.random.default_rng(0)
    label, fold = a["label"].values, a["fold"].values
    logits_a, logits_b = (side["logit"].transpose("image", "class").values.astype(np.float64) for side in (a, b))
    seen = _outcomes(logits_a, logits_b, label)
    value = _statistics(seen)
    error = folds.standard_error(_statistics(seen[:, fold != left_out]) for left_out in np.unique(fold))
    orders = (_within_classes(label, generator) for _ in range(permutations))
    null = np.array([_statistics(_outcomes(logits_a, logits_b[order], label)) for order in orders])
    null[:, :2] = np.nan  # each network by itself is right as often by construction
    result = summary(STATISTICS, value, error, {"permuted_within_classes": null.mean(axis=0)})
    return result.assign(among_permuted(value, null))


def _outcomes(logits_a: Array, logits_b: Array, label: np.ndarray) -> np.ndarray:
    """Whether A, B, the mean probabilities and the mean logits are right, and A and B disagree: bool[5, image]."""
    together = softmax(logits_a, axis=1) + softmax(logits_b, axis=1), logits_a + logits_b
    a, b, *means = (scores.argmax(axis=1) for scores in (logits_a, logits_b, *together))
    return np.stack([a == label, b == label, *(mean == label for mean in means), a != b])


def _statistics(outcomes: np.ndarray) -> Array:
    """In the order of `STATISTICS`."""
    a, b, probabilities, logits, disagreement = outcomes.mean(axis=1)
    both = (a + b) / 2
    return np.array(
        [a, b, probabilities, logits, probabilities - both, logits - both, disagreement, _phi(*outcomes[:2])]
    )


def _phi(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two rows of true and false; NaN where one is the same throughout."""
    if a.all() or b.all() or not (a.any() and b.any()):
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


def _within_classes(label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """An order of the images that leaves every class where it was."""
    order = np.arange(len(label))
    for images in (np.flatnonzero(label == one) for one in np.unique(label)):
        order[images] = generator.permutation(images)
    return order
