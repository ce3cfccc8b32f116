"""Linear CKA of two layers from their rows, one an image: raw, debiased, adjusted for chance.

    ⟨X, Y⟩ = ‖X̃ᵀỸ‖²,   CKA = ⟨X, Y⟩ / √(⟨X, X⟩⟨Y, Y⟩)         (Kornblith et al. 2019, arXiv 1905.00414)
    debiased: ⟨X, Y⟩ − n/(n−2) Σᵢ‖x̃ᵢ‖²‖ỹᵢ‖² + Σᵢ‖x̃ᵢ‖² Σᵢ‖ỹᵢ‖² / ((n−1)(n−2)) throughout     (Song et al. 2012)
    mean over all n! permutations of the images: Σᵢ‖x̃ᵢ‖² Σᵢ‖ỹᵢ‖² / (n−1); of the debiased product 0
    calibrated: (CKA − its mean under permutation) / (1 − that mean), as the adjusted Rand index is

Rows X[image, unit_a], Y[image, unit_b]; X̃, Ỹ centred. Why calibrate: Gröger, Wen, Brbić 2026 (arXiv 2602.14486).
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from convergent.errors import InputError
from convergent.folds import RESOLUTION, Array

KINDS = ("raw", "debiased", "calibrated", "expected")
# An entry of an image × image kernel, picked in random order, takes as long as so many terms of a matrix product.
PICKED = 64
KERNEL_IMAGES = 10_000  # two kernels of so many images are 1.6 GB


@dataclass(frozen=True)
class Rows:
    """A layer, one row an image; leave-one-fold-out index 0 is all images, 1 … K those without one fold.

    Attributes
    ----------
    values : [image, unit], centred, dead units 0
    fold : [image], 1 … K
    mean : [1 + fold, unit], of the images that are kept
    norm : ‖x̃ᵢ‖² about that mean, [1 + fold, image]; 0 for images left out
    """

    values: Array
    fold: np.ndarray
    mean: Array
    norm: Array


def rows(activation: xr.DataArray) -> Rows:
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
    squares = values**2
    values[:, squares.sum(axis=0) <= len(values) * (RESOLUTION * mean) ** 2] = 0  # as in folds.live
    fold = np.unique(activation["fold"].values, return_inverse=True)[1] + 1
    kept = np.arange(fold.max() + 1)[:, None] != fold
    means = kept @ values / kept.sum(axis=1, keepdims=True)
    norm = squares.sum(axis=1) - 2 * means @ values.T + (means**2).sum(axis=1, keepdims=True)
    return Rows(values, fold, means, np.where(kept, norm, 0))


def products(a: Rows, b: Rows) -> Array:
    """The raw product ⟨X, Y⟩, the debiased one and the mean under permutation, of all images and without each fold.

    Returns
    -------
    [1 + fold, 3]; the last two NaN for fewer than four images. Costs 2·n·p·q multiplications for n images, p and q
    units, whatever the number of folds.
    """
    whole = a.values.T @ b.values
    found = []
    for left_out, (mean_a, mean_b, norm_a, norm_b) in enumerate(zip(a.mean, b.mean, a.norm, b.norm, strict=True)):
        part = a.fold == left_out
        n = len(part) - int(part.sum())
        comoment = whole - a.values[part].T @ b.values[part] - n * np.outer(mean_a, mean_b)
        found.append(_products(n, float((comoment**2).sum()), norm_a, norm_b))
    return np.array(found)


def similarities(ab: Array, aa: Array, bb: Array) -> Array:
    """CKA of every kind in `KINDS`, of all images and without each fold, from the `products`.

    Parameters
    ----------
    ab, aa, bb : products of A with B, A with A, B with B, [1 + fold, 3]

    Returns
    -------
    [1 + fold, kind]: raw 0–1, debiased −1–1, calibrated ≤ 1, expected under permutation 0–1; NaN where a side is dead
    """
    norm_raw, norm_debiased = norms(aa, bb).T
    raw, expected = ab[:, 0] / norm_raw, ab[:, 2] / norm_raw
    # All images equally far from each other: every permutation looks the same.
    room = np.where(expected < 1 - RESOLUTION, 1 - expected, np.nan)
    return np.stack([raw, ab[:, 1] / norm_debiased, (raw - expected) / room, expected], axis=1)


def norms(aa: Array, bb: Array) -> Array:
    """√(⟨X, X⟩⟨Y, Y⟩), raw and debiased, [1 + fold, 2]; NaN where a side is dead."""
    return np.sqrt(_of_live(aa) * _of_live(bb))


def permuted(a: Rows, b: Rows, permutations: int, generator: np.random.Generator) -> Array:
    """‖X̃ᵀPỸ‖² for random permutations P of the images, [permutation].

    Exact, through the p × q products of units or the n × n kernels of images, whichever is faster. On one core: 0.1 s a
    permutation for 10 000 images × 512 units, so 20 s for 200; 0.1 ms for 500 images × 64 units.
    """
    images = len(a.values)
    orders = (generator.permutation(images) for _ in range(permutations))
    if images > KERNEL_IMAGES or PICKED * images > a.values.shape[1] * b.values.shape[1]:
        return np.array([((a.values.T @ b.values[order]) ** 2).sum() for order in orders])
    kernel_a, kernel_b = a.values @ a.values.T, b.values @ b.values.T
    # Row by row: a permuted copy of the kernel costs ten times as much, by cache misses.
    return np.array(
        [sum(row @ kernel_b[image].take(order) for row, image in zip(kernel_a, order, strict=True)) for order in orders]
    )


def _products(n: int, raw: float, norm_a: Array, norm_b: Array) -> tuple[float, float, float]:
    if n < 4:
        return raw, np.nan, np.nan
    traces = float(norm_a.sum() * norm_b.sum())
    debiased = raw - n / (n - 2) * float(norm_a @ norm_b) + traces / ((n - 1) * (n - 2))
    return raw, debiased, traces / (n - 1)


def _of_live(within: Array) -> Array:
    """The raw and debiased products of a side with itself; NaN where they are 0 but for rounding."""
    raw, debiased = within[:, 0], within[:, 1]
    # A side that lived in the fold left out alone leaves what rounding leaves.
    raw = np.where(raw > RESOLUTION**2 * raw[0], raw, np.nan)
    return np.stack([raw, np.where(debiased > RESOLUTION * raw, debiased, np.nan)], axis=1)
