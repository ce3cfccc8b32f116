"""A curve of every pair: the mean over pairs, and a band of its standard error over seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from convergent import tables
from convergent.figures import style
from convergent.store import Store


def draw(axis: Axes, x: np.ndarray, opened: Sequence[Store], of_pairs: np.ndarray, color: str, **look: Any) -> None:
    """Of curves [pair, x]; no band where there are too few seeds for an error."""
    found = [tables.over_seeds(style.pairs(opened), at_x) for at_x in of_pairs.T]
    mean, error = np.array(found).reshape(-1, 2).T
    axis.fill_between(x, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
    axis.plot(x, mean, color=color, **look)
