"""What the units of a cluster say about those of the other network in it: all together, and the best one alone.

Held-out R² of each unit, by folds, from least squares on the units of the other network in its cluster, and on the one
of them of highest |r|. A high R² from all where that from the best is low: the subspace is shared, the basis is not
(Li et al. 2016, arXiv 1511.07543, section 4). Units of clusters of one network alone have neither. Nothing outside a
cluster matters, so that of wide layers only the moments of a few clusters at a time are split into folds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from convergent import folds
from convergent.folds import Array, Pair
from convergent.measures import held_out
from convergent.measures.forward_selection import select
from convergent.measures.held_out import Score, Split
from convergent.measures.least_squares import least_squares

Labels = tuple[np.ndarray, np.ndarray]  # the cluster of each unit of A and of B; −1: none
UNITS = 128  # of both networks: clusters are taken together up to so many


@dataclass(frozen=True)
class Group:
    """Some clusters of both networks.

    Attributes
    ----------
    places : of their units of A, then of B, among all units of A, then of B
    labels : the cluster of each
    parts : moments of these units in each fold
    """

    places: np.ndarray
    labels: Labels
    parts: Sequence[Pair]

    @property
    def sides(self) -> tuple[tuple[Sequence[Split], Score], tuple[Sequence[Split], Score]]:
        """Of units of A from those of B, and back: each fold with all the others, and what is fitted."""
        whole = folds.together(self.parts)
        split = [(folds.rest_of(whole, part), part) for part in self.parts]
        label_a, label_b = self.labels
        of_a = held_out.score(lambda within, between: coefficients(within, between, label_b, label_a))
        of_b = held_out.score(lambda within, between: coefficients(within, between, label_a, label_b))
        return (held_out.exchanged(split), of_a), (split, of_b)


def groups(moments: xr.Dataset, labels: Sequence[Labels], replicate: int | None = None) -> list[list[Group]]:
    """The moments within clusters, for each of several labellings, read once.

    Parameters
    ----------
    moments : of the pair
    labels : of all units
    replicate : whose permuted comoment stands in for that of A and B
    """
    size_a = moments.sizes["unit_a"]
    chosen = [list(_chosen(*one)) for one in labels]
    parts: list[list[list[Pair]]] = [[[] for _ in of_labels] for of_labels in chosen]
    for index in range(moments.sizes["fold"]):
        fold = folds.fold(moments, index, replicate)
        for of_labels, found in zip(chosen, parts, strict=True):
            for units, part in zip(of_labels, found, strict=True):
                part.append(_among(fold, *units))
    return [
        [
            Group(np.concatenate([a, size_a + b]), (label_a[a], label_b[b]), part)
            for (a, b), part in zip(of_labels, found, strict=True)
        ]
        for (label_a, label_b), of_labels, found in zip(labels, chosen, parts, strict=True)
    ]


def errors(of_labels: Sequence[Group], size: int, count: int) -> tuple[Array, Array]:
    """Squared error of every held-out fold, of all and of the best: [fold, 2, unit]; and total squares, [fold, unit].

    Parameters
    ----------
    of_labels : one item of `groups`
    size, count : units of both networks, and folds; NaN where nothing predicts a unit
    """
    squared, total = np.full((count, 2, size), np.nan), np.full((count, size), np.nan)
    for group in of_labels:
        _put(squared, total, group.places, *(held_out.scores(*side) for side in group.sides))
    return squared, total


def coefficients(within: Array, between: Array, of_predictor: np.ndarray, of_target: np.ndarray) -> Array:
    """From all predictors in the cluster of a target, and from the best of them: [2, target, predictor].

    Parameters
    ----------
    within, between : correlations, [predictor, predictor] and [predictor, target]
    of_predictor, of_target : cluster of each; −1: none
    """
    every = np.zeros(between.T.shape)
    for cluster in np.intersect1d(of_predictor[of_predictor >= 0], of_target):
        predictors, targets = np.flatnonzero(of_predictor == cluster), np.flatnonzero(of_target == cluster)
        every[np.ix_(targets, predictors)] = least_squares(
            within[np.ix_(predictors, predictors)], between[np.ix_(predictors, targets)]
        )
    together = (of_predictor[:, None] == of_target) & (of_target >= 0)
    return np.stack([every, select(within, np.where(together, between, 0.0), 1)[0]])


def r2(squared: Array, total: Array) -> Array:
    """Held-out R² of each unit, from all and from the best: [2, unit]; NaN where nothing predicts it."""
    return np.asarray(1 - squared.sum(axis=0) / total.sum(axis=0))


def mean_r2(squared: Array, total: Array) -> Array:
    """Its mean over the units of clusters of both networks: [2]."""
    predicted = ~np.isnan(squared[0, 0])
    return r2(squared[:, :, predicted], total[:, predicted]).mean(axis=1) if predicted.any() else np.full(2, np.nan)


def standard_error(of_labels: Sequence[Group], size: int, count: int) -> Array:
    """Of `mean_r2` over images, the clusters as they are: [2]; parameters as of `errors`."""
    squared = np.full((count, count - 1, 2, size), np.nan)
    total = np.full((count, count - 1, size), np.nan)
    for group in of_labels:
        sides = zip(*(held_out.scores_left_out(*side) for side in group.sides), strict=True)
        for out, of_sides in enumerate(sides):
            _put(squared[out], total[out], group.places, *of_sides)
    return folds.standard_error(mean_r2(*left_out) for left_out in zip(squared, total, strict=True))


def _chosen(label_a: np.ndarray, label_b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Units of A and of B of the clusters of both networks, some clusters at a time."""
    both = np.intersect1d(label_a[label_a >= 0], label_b)
    sizes = [(label_a == cluster).sum() + (label_b == cluster).sum() for cluster in both]
    number = (np.cumsum(sizes) - 1) // UNITS
    for one in np.unique(number):
        clusters = both[number == one]
        yield np.flatnonzero(np.isin(label_a, clusters)), np.flatnonzero(np.isin(label_b, clusters))


def _put(
    squared: Array, total: Array, places: np.ndarray, of_a: tuple[Array, Array], of_b: tuple[Array, Array]
) -> None:
    """Put squared errors and total squares of the units of a group, of A and then of B, in their places."""
    squared[:, :, places] = np.concatenate([of_a[0], of_b[0]], axis=2)
    total[:, places] = np.hstack([of_a[1], of_b[1]])


def _among(pair: Pair, units_a: np.ndarray, units_b: np.ndarray) -> Pair:
    """The moments of some units alone."""
    return Pair(
        *(
            folds.Moments(m.n, m.mean_a[p], m.mean_b[q], m.comoment[np.ix_(p, q)])
            for m, p, q in (
                (pair.a, units_a, units_a),
                (pair.b, units_b, units_b),
                (pair.ab, units_a, units_b),
            )
        )
    )
