"""Layers with one row an image, and their comoments, of all images and without each fold.

Rows X[image, unit_a], Y[image, unit_b]; leave-one-fold-out index 0 is all images, 1 … K those without one fold.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError
from convergent.folds import RESOLUTION, Array


@dataclass(frozen=True)
class Rows:
    """A layer, one row an image.

    Attributes
    ----------
    values : [image, unit], centred, dead units 0
    fold : [image], 1 … K
    kept : images that are kept, [1 + fold, image]
    mean : [1 + fold, unit], of the images that are kept
    """

    values: Array
    fold: np.ndarray
    kept: np.ndarray
    mean: Array


def of(activation: xr.DataArray) -> Rows:
    """The rows of a layer.

    Parameters
    ----------
    activation : ``[image, unit]`` with the coordinate ``fold``

    Raises
    ------
    InputError : where a value is not finite
    """
    values = activation.transpose("image", "unit").values.astype(np.float64)
    if not np.isfinite(values).all():
        unit = activation["unit"].values[np.argmin(np.isfinite(values).all(axis=0))]
        raise InputError(f"unit {unit}: activations are not finite; record them anew")
    mean = values.mean(axis=0)
    values -= mean
    values[:, (values**2).sum(axis=0) <= len(values) * (RESOLUTION * mean) ** 2] = 0  # as in folds.live
    fold = np.unique(activation["fold"].values, return_inverse=True)[1] + 1
    kept = np.arange(fold.max() + 1)[:, None] != fold
    return Rows(values, fold, kept, kept @ values / kept.sum(axis=1, keepdims=True))


def comoments(a: Rows, b: Rows) -> Iterator[Array]:
    """X̃ᵀỸ [unit_a, unit_b] of all images and without each fold, each about its own means."""
    whole = a.values.T @ b.values
    for left_out, (mean_a, mean_b) in enumerate(zip(a.mean, b.mean, strict=True)):
        part = a.fold == left_out
        yield whole - a.values[part].T @ b.values[part] - (len(part) - int(part.sum())) * np.outer(mean_a, mean_b)


def norms(side: Rows) -> Array:
    """√Σ x̃² of each unit, of all images and without each fold, [1 + fold, unit]; NaN where it is dead."""
    squares = side.kept @ side.values**2 - side.kept.sum(axis=1, keepdims=True) * side.mean**2
    # A unit that lived in the fold left out alone leaves what rounding leaves.
    return np.sqrt(np.where(squares > RESOLUTION * squares[0], squares, np.nan))


def check(moments: xr.Dataset, rows_a: xr.DataArray, rows_b: xr.DataArray) -> None:
    """Refuse rows that are not of the same images and folds, or not of the units of the moments of their pair."""
    folds.check_same_images(rows_a["image_id"].values, rows_b["image_id"].values)
    folds.check_same_folds(rows_a["fold"].values, rows_b["fold"].values)
    for side, rows in (("a", rows_a), ("b", rows_b)):
        found, expected = rows["unit"].values, moments[f"unit_{side}"].values
        if not np.array_equal(found, expected):
            raise InputError(
                f"the rows of side {side} hold {len(found)} units, its moments {len(expected)} or others; "
                "make both from one recording"
            )
