"""Linear CKA of two layers from their rows, one an image: raw, debiased, adjusted for chance.

    ⟨X, Y⟩ = ‖X̃ᵀỸ‖²,   CKA = ⟨X, Y⟩ / √(⟨X, X⟩⟨Y, Y⟩)         (Kornblith et al. 2019, arXiv 1905.00414)
    debiased: ⟨X, Y⟩ − n/(n−2) Σᵢ‖x̃ᵢ‖²‖ỹᵢ‖² + Σᵢ‖x̃ᵢ‖² Σᵢ‖ỹᵢ‖² / ((n−1)(n−2)) throughout     (Song et al. 2012)
    mean over all n! permutations of the images: Σᵢ‖x̃ᵢ‖² Σᵢ‖ỹᵢ‖² / (n−1); of the debiased product 0
    calibrated: (CKA − its mean under permutation) / (1 − that mean), as the adjusted Rand index is

Rows X[image, unit_a], Y[image, unit_b]; X̃, Ỹ centred. Why calibrate: Gröger, Wen, Brbić 2026 (arXiv 2602.14486).
"""

import numpy as np

from convergent.folds import RESOLUTION, Array
from convergent.measures.rows import Rows, comoments

KINDS = ("raw", "debiased", "calibrated", "expected")
# An entry of an image × image kernel, picked in random order, takes as long as so many terms of a matrix product.
PICKED = 64
KERNEL_IMAGES = 10_000  # two kernels of so many images are 1.6 GB


def products(a: Rows, b: Rows) -> Array:
    """The raw product ⟨X, Y⟩, the debiased one and the mean under permutation, of all images and without each fold.

    Returns
    -------
    [1 + fold, 3]; the last two NaN for fewer than four images. Costs 2·n·p·q multiplications for n images, p and q
    units, whatever the number of folds.
    """
    norms_a, norms_b = _image_norms(a), _image_norms(b)
    raw = np.array([(comoment**2).sum() for comoment in comoments(a, b)])
    together = np.einsum("ki,ki->k", norms_a, norms_b)
    return of_sums(a.kept.sum(axis=1), raw, together, norms_a.sum(axis=1) * norms_b.sum(axis=1))


def of_sums(n: np.ndarray, raw: Array, together: Array, traces: Array) -> Array:
    """The `products`, perhaps of many layers, from sums over the images that are kept.

    Parameters
    ----------
    n : images that are kept, [1 + fold]
    raw, together, traces : ⟨X, Y⟩, Σᵢ‖x̃ᵢ‖²‖ỹᵢ‖² and Σᵢ‖x̃ᵢ‖² Σᵢ‖ỹᵢ‖², [1 + fold, …]

    Returns
    -------
    [1 + fold, 3, …]
    """
    n = np.where(n < 4, np.nan, n).reshape(-1, *[1] * (raw.ndim - 1))
    debiased = raw - n / (n - 2) * together + traces / ((n - 1) * (n - 2))
    return np.stack([raw, debiased, traces / (n - 1)], axis=1)


def similarities(ab: Array, aa: Array, bb: Array) -> Array:
    """CKA of every kind in `KINDS`, of all images and without each fold, from the `products`.

    Parameters
    ----------
    ab, aa, bb : products of A with B, A with A, B with B, [1 + fold, 3, …], with the same or matching dimensions

    Returns
    -------
    [1 + fold, kind, …]: raw 0–1, debiased −1–1, calibrated ≤ 1, expected under permutation 0–1; NaN where a side is
    dead
    """
    norm_raw, norm_debiased = norms(aa, bb).swapaxes(0, 1)
    raw, expected = ab[:, 0] / norm_raw, ab[:, 2] / norm_raw
    # All images equally far from each other: every permutation looks the same.
    room = np.where(expected < 1 - RESOLUTION, 1 - expected, np.nan)
    return np.stack([raw, ab[:, 1] / norm_debiased, (raw - expected) / room, expected], axis=1)


def norms(aa: Array, bb: Array) -> Array:
    """√(⟨X, X⟩⟨Y, Y⟩), raw and debiased, [1 + fold, 2, …]; NaN where a side is dead."""
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


def _image_norms(side: Rows) -> Array:
    """‖x̃ᵢ‖² about the mean of the images that are kept, [1 + fold, image]; 0 for images left out."""
    squares = (side.values**2).sum(axis=1) - 2 * side.mean @ side.values.T
    return np.where(side.kept, squares + (side.mean**2).sum(axis=1, keepdims=True), 0)


def _of_live(within: Array) -> Array:
    """The raw and debiased products of a side with itself; NaN where they are 0 but for rounding."""
    raw, debiased = within[:, 0], within[:, 1]
    # A side that lived in the fold left out alone leaves what rounding leaves.
    raw = np.where(raw > RESOLUTION**2 * raw[0], raw, np.nan)
    return np.stack([raw, np.where(debiased > RESOLUTION * raw, debiased, np.nan)], axis=1)
