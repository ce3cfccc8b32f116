"""Local or distributed: how many units of the other network say most of what all of them say about a unit.

The claim of Li et al. 2016 (arXiv 1511.07543, section 4) as a number: the fewest predictors that reach 90 % of the
largest held-out R² of the whole path of penalties, least squares among them. Least squares itself is no reference: it
overfits where samples are few.
"""

import numpy as np

from convergent.folds import Array

MOST = 5  # predictors tried; a code of more is distributed
REACHED = 0.9
PREDICTABLE = 0.01  # a largest R² up to this is noise: there is no code
STATISTICS = ("share_one", "share_two_to_five", "share_more", "share_unpredictable")


def n_needed(few: Array, largest: Array, predictors: int) -> np.ndarray:
    """Fewest predictors that reach 90 % of the largest R²: [target].

    Parameters
    ----------
    few : held-out R² from the best 1, 2, … predictors, [n_predictors, target]
    largest : of the whole path, [target]; NaN: a dead target
    predictors : live units that there are to predict from; where all were tried, no more can be needed

    Returns
    -------
    one more than were tried: more of them; 0: not predictable by any number; −1: a dead target
    """
    reached = few >= REACHED * largest
    fewest = np.where(reached.any(axis=0), reached.argmax(axis=0) + 1, len(few) + 1)
    fewest = np.minimum(fewest, max(predictors, 1))
    return np.where(np.isnan(largest), -1, np.where(largest > PREDICTABLE, fewest, 0))


def shares(needed: np.ndarray) -> Array:
    """Shares of the live targets with each type of code, in the order of `STATISTICS`; NaN where all are dead."""
    live = needed[needed >= 0]
    if not live.size:
        return np.full(len(STATISTICS), np.nan)
    types = (live == 1, (live > 1) & (live <= MOST), live > MOST, live == 0)
    return np.array([chosen.mean() for chosen in types])
