"""The algebra of moments: add folds, take one away, and the standard error that follows.

    C = C₁ + C₂ + (n₁ n₂ / n) δ δᵀ,   δ = mean₂ − mean₁        (Chan, Golub, LeVeque 1979)

Folds add up to the whole; the whole minus one fold is the leave-one-fold-out value at no second pass.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import xarray as xr

from convergent.errors import InputError

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# A unit whose comoment falls to this share of the whole when a fold is taken away lived in that fold alone:
# what is left is rounding.
RESOLUTION = 1e-12


@dataclass(frozen=True)
class Moments:
    """Moments of some samples.

    Attributes
    ----------
    n : samples
    mean_a, mean_b : [unit_a], [unit_b]
    comoment : Σ (x − mean)(y − mean), [..., unit_a, unit_b]
    """

    n: float
    mean_a: Array
    mean_b: Array
    comoment: Array


@dataclass(frozen=True)
class Pair:
    """Moments of two networks on the same samples: within each, and between."""

    a: Moments
    b: Moments
    ab: Moments

    @property
    def live_a(self) -> np.ndarray:
        """Which units of A have variance."""
        return live(self.a)

    @property
    def live_b(self) -> np.ndarray:
        """Which units of B have variance."""
        return live(self.b)

    @property
    def exchanged(self) -> "Pair":
        """The same with A and B exchanged."""
        return Pair(self.b, self.a, Moments(self.ab.n, self.ab.mean_b, self.ab.mean_a, self.ab.comoment.T))


def joined(within_a: xr.Dataset, within_b: xr.Dataset, between: xr.Dataset) -> xr.Dataset:
    """The moments of a pair in one dataset, the input of every measure; nothing is loaded but means.

    Adds to `between` ``comoment_a[fold, unit_a, unit_a_other]`` and ``comoment_b[fold, unit_b, unit_b_other]``.

    Raises
    ------
    InputError : where the three were not made from the same activations
    """
    pair = between
    for side, dataset in (("a", within_a), ("b", within_b)):
        if not (
            np.array_equal(dataset["n"], between["n"])
            and np.array_equal(dataset["unit"], between[f"unit_{side}"])
            and np.allclose(
                dataset["mean"], between[f"mean_{side}"], rtol=1e-5, atol=1e-6 * float(np.abs(dataset["mean"]).max())
            )
        ):
            raise InputError(
                f"the moments within {side} and between a and b come from different activations; make them anew"
            )
        renamed = dataset["comoment"].rename(unit=f"unit_{side}", unit_other=f"unit_{side}_other")
        pair = pair.assign({f"comoment_{side}": renamed})
    return pair


def check_same_images(ids_a: np.ndarray, ids_b: np.ndarray) -> None:
    """Refuse two sides that are not of the same images in the same order; the error names the first difference."""
    if len(ids_a) != len(ids_b):
        raise InputError(f"the two sides hold {len(ids_a)} and {len(ids_b)} images; record both on the same probe")
    if (different := ids_a != ids_b).any():
        i = int(np.argmax(different))
        raise InputError(
            f"the two sides differ at image {i}: {str(ids_a[i])!r} and {str(ids_b[i])!r}; record both on the same probe"
        )


def check_same_folds(fold_a: np.ndarray, fold_b: np.ndarray) -> None:
    """Refuse two sides whose images are in different folds."""
    if not np.array_equal(fold_a, fold_b):
        raise InputError("the two sides have different folds; make both of one probe")


def merge(p: Moments, q: Moments) -> Moments:
    """The moments of two disjoint sets of samples together."""
    n = p.n + q.n
    a, b = q.mean_a - p.mean_a, q.mean_b - p.mean_b
    comoment, apart = p.comoment + q.comoment, np.outer(a, b)
    apart *= p.n * q.n / n  # in place: of wide layers a matrix is what a task has room for
    comoment += apart
    return Moments(n, p.mean_a + a * (q.n / n), p.mean_b + b * (q.n / n), comoment)


def without(whole: Moments, part: Moments) -> Moments:
    """The moments of a set of samples minus a part of it: the inverse of `merge`."""
    n = whole.n - part.n
    mean_a = whole.mean_a + (whole.mean_a - part.mean_a) * (part.n / n)
    mean_b = whole.mean_b + (whole.mean_b - part.mean_b) * (part.n / n)
    between = np.outer(mean_a - part.mean_a, mean_b - part.mean_b)
    return Moments(n, mean_a, mean_b, whole.comoment - part.comoment - (n * part.n / whole.n) * between)


def fold(moments: xr.Dataset, index: int, replicate: int | None = None) -> Pair:
    """The moments of one fold of a pair.

    Parameters
    ----------
    moments : as `joined` gives them, perhaps lazily
    index : of the fold
    replicate : None, or the replicate whose permuted comoment stands in for the comoment of A and B
    """
    one = moments.isel(fold=index)
    n, mean_a, mean_b = float(one["n"]), _loaded(one["mean_a"]), _loaded(one["mean_b"])
    between = one["comoment"] if replicate is None else one["comoment_permuted"].isel(replicate=replicate)
    return Pair(
        Moments(n, mean_a, mean_a, _loaded(one["comoment_a"])),
        Moments(n, mean_b, mean_b, _loaded(one["comoment_b"])),
        Moments(n, mean_a, mean_b, _loaded(between)),
    )


def total(moments: xr.Dataset, replicate: int | None = None) -> Pair:
    """The moments of all folds together."""
    return together(fold(moments, index, replicate) for index in range(moments.sizes["fold"]))


def together(parts: Iterable[Pair]) -> Pair:
    """The moments of disjoint sets of samples together."""
    return reduce(lambda p, q: Pair(merge(p.a, q.a), merge(p.b, q.b), merge(p.ab, q.ab)), parts)


def leave_one_out(moments: xr.Dataset, whole: Pair) -> Iterator[tuple[Pair, Pair]]:
    """For each fold: the moments of all the others, and its own."""
    for index in range(moments.sizes["fold"]):
        part = fold(moments, index)
        yield rest_of(whole, part), part


def rest_of(whole: Pair, part: Pair) -> Pair:
    """The moments of a pair minus a part of it, those of units that lived in the part alone set to 0."""
    rest = Pair(without(whole.a, part.a), without(whole.b, part.b), without(whole.ab, part.ab))
    dead_a = np.diag(rest.a.comoment) <= RESOLUTION * np.diag(whole.a.comoment)
    dead_b = np.diag(rest.b.comoment) <= RESOLUTION * np.diag(whole.b.comoment)
    for matrix, rows, columns in ((rest.a, dead_a, dead_a), (rest.b, dead_b, dead_b), (rest.ab, dead_a, dead_b)):
        matrix.comoment[rows, :] = 0
        matrix.comoment[:, columns] = 0
    return rest


def live(moments: Moments) -> np.ndarray:
    """Which units have variance, from the moments within a network."""
    # The second term is the rounding of a unit that is constant but not zero.
    return np.diag(moments.comoment) > moments.n * (1e-12 * moments.mean_a) ** 2


def standard_deviation(moments: Moments) -> Array:
    """Of each unit, from the moments within a network; 0 of a dead one."""
    return np.where(live(moments), np.sqrt(np.maximum(np.diag(moments.comoment), 0) / moments.n), 0.0)


def correlation(pair: Pair) -> Array:
    """Pearson correlation r[unit_a, unit_b]; NaN where a unit is dead."""
    return _normalise(pair.ab, _norm(pair.a), _norm(pair.b))


def correlation_within(moments: Moments) -> Array:
    """Pearson correlation r[unit, unit_other] within one network, diagonal 1; NaN where a unit is dead."""
    norm = _norm(moments)
    r = _normalise(moments, norm, norm)
    np.fill_diagonal(r, np.where(np.isnan(norm), np.nan, 1.0))
    return r


def jackknife(moments: xr.Dataset, whole: Pair, statistic: Callable[[Pair], Array]) -> Array:
    """Standard error over images of a statistic, the whole of it recomputed without each fold in turn."""
    return standard_error(statistic(rest) for rest, _ in leave_one_out(moments, whole))


def standard_error(left_out: Iterable[Array]) -> Array:
    """√((K−1)/K · Σ (θ₍₋ₖ₎ − θ̄)²) of the K leave-one-out values of a statistic, one held at a time."""
    mean = spread = np.zeros(1)
    k = 0
    for k, value in enumerate(left_out, start=1):
        step = value - mean
        mean = mean + step / k
        spread = spread + step * (value - mean)
    return np.sqrt((k - 1) / k * spread)


def _loaded(values: xr.DataArray) -> Array:
    return np.asarray(values.values, dtype=np.float64)


def _norm(moments: Moments) -> Array:
    return np.sqrt(np.where(live(moments), np.diag(moments.comoment), np.nan))


def _normalise(moments: Moments, norm_a: Array, norm_b: Array) -> Array:
    # Rounding may leave a copied unit a hair above 1.
    return np.clip(moments.comoment / norm_a[:, None] / norm_b[None, :], -1.0, 1.0)
