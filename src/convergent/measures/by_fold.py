"""Means over folds of equal size, such as accuracies, and their jackknife errors over images."""

import numpy as np

from convergent.folds import Array, standard_error


def mean(values: Array) -> tuple[Array, Array]:
    """The mean over folds and its standard error, each [...]; of one fold NaN.

    Parameters
    ----------
    values : [..., fold]
    """
    count = values.shape[-1]
    if count < 2:
        return values.mean(axis=-1), np.full(values.shape[:-1], np.nan)
    return values.mean(axis=-1), standard_error(np.delete(values, k, axis=-1).mean(axis=-1) for k in range(count))
