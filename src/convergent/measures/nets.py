"""The network of each unit, where the units of both stand in one array: those of A first, then those of B."""

import numpy as np

NET_A, NET_B = 0, 1
MEANING = "0: unit of A, 1: unit of B"


def net_of_units(size_a: int, size_b: int) -> np.ndarray:
    """`NET_A` for each unit of A, then `NET_B` for each unit of B: [unit]."""
    return np.repeat([NET_A, NET_B], [size_a, size_b])
