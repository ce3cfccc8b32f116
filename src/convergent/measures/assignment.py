"""Partners of the rows of a matrix of similarities [unit_a, unit_b]; NaN throughout: a dead row or column."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from convergent.folds import Array


def semi_match(r: Array) -> Array:
    """Partner of each row: the column of highest r, −1 for a row that is dead (all NaN)."""
    dead = np.isnan(r).all(axis=1)
    return np.where(dead, -1, np.where(np.isnan(r), -np.inf, r).argmax(axis=1))


def one_to_one_match(r: Array) -> Array:
    """Partner of each row in the assignment that maximises Σ r, −1 for a row left over or dead."""
    rows, columns = np.flatnonzero(~np.isnan(r).all(axis=1)), np.flatnonzero(~np.isnan(r).all(axis=0))
    chosen_rows, chosen_columns = linear_sum_assignment(r[np.ix_(rows, columns)], maximize=True)
    partner = np.full(len(r), -1)
    partner[rows[chosen_rows]] = columns[chosen_columns]
    return partner


def inverse(partner: np.ndarray, size: int) -> np.ndarray:
    """The same one-to-one match seen from the other side, of so many units."""
    found = np.full(size, -1)
    found[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
    return found


def labelled(partner: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels of partners, −1 for none."""
    return np.where(partner >= 0, labels[partner], -1)


def with_partner(r: Array, partner: np.ndarray) -> Array:
    """The value of each row with its partner; NaN for none."""
    return np.where(partner >= 0, r[np.arange(len(r)), partner], np.nan)


def mutual_nearest(r: Array) -> np.ndarray:
    """Which rows are the best partner of their best partner."""
    partner, back = semi_match(r), semi_match(r.T)
    return np.asarray((partner >= 0) & (back[partner] == np.arange(len(r))))
