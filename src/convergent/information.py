"""Entropy and mutual information of joint histograms.

From the counts n_uv of a pair, and the entropy H = ln N − Σ n ln n / N of a histogram, follow

    I = H_a + H_b − H_ab     in nats,     I − (K_ab − K_a − K_b + 1) / 2N     (K: occupied bins)

with Miller and Madow's correction (1955). Histograms are [unit_a, unit_b, code_a, code_b], of any unsigned type.
"""

import math

import numpy as np

from convergent.compiled import compiled
from convergent.folds import Array

N_LOG_N = np.arange(2**16) * np.log(np.maximum(np.arange(2**16), 1))

# What is known of a pair of units: dimensions and meaning.
VARIABLES = {
    "information": (("unit_a", "unit_b"), "mutual information in nats"),
    "information_corrected": (("unit_a", "unit_b"), "mutual information in nats, Miller–Madow corrected"),
    "occupied": (("unit_a", "unit_b"), "occupied cells of the joint histogram"),
    "entropy_a": (("unit_a",), "entropy of the binned activation in nats"),
    "entropy_b": (("unit_b",), "entropy of the binned activation in nats"),
    "occupied_a": (("unit_a",), "occupied bins"),
    "occupied_b": (("unit_b",), "occupied bins"),
}


def information(tables: np.ndarray) -> dict[str, np.ndarray]:
    """The `VARIABLES` of joint histograms [unit_a, unit_b, code_a, code_b]."""
    units_a, units_b, codes_a, codes_b = tables.shape
    joint, occupied = _entropy(tables.reshape(-1, codes_a * codes_b))
    joint, occupied = joint.reshape(units_a, units_b), occupied.reshape(units_a, units_b)
    (entropy_a, occupied_a), (entropy_b, occupied_b) = (_entropy(counts) for counts in _marginals(tables))
    # With a constant it is exactly 0: one of the entropies is, and the other is that of the pair, summed in one order.
    shared = np.maximum(entropy_a[:, None] + entropy_b - joint, 0.0)  # rounding may fall below
    excess = occupied - occupied_a[:, None] - occupied_b + 1
    return {
        "information": shared,
        "information_corrected": shared - excess / (2 * tables[0, 0].sum()),
        "occupied": occupied,
        "entropy_a": entropy_a,
        "entropy_b": entropy_b,
        "occupied_a": occupied_a,
        "occupied_b": occupied_b,
    }


def _entropy(counts: np.ndarray) -> tuple[Array, np.ndarray]:
    """Entropy in nats and occupied cells of histograms [histogram, cell]."""
    entropy, occupied = np.empty(len(counts)), np.empty(len(counts), dtype=np.int32)
    _sum_entropy(counts, N_LOG_N, entropy, occupied)
    return entropy, occupied


@compiled
def _sum_entropy(counts: np.ndarray, n_log_n: np.ndarray, entropy: np.ndarray, occupied: np.ndarray) -> None:
    """ln N − Σ n ln n / N of each row of counts, cell after cell, so that empty cells change nothing."""
    for row in range(len(counts)):
        total, cells, summed = 0, 0, 0.0
        for n in counts[row]:
            total += n
            cells += n > 0
            summed += n_log_n[n] if n < len(n_log_n) else n * math.log(n)
        whole = n_log_n[total] if total < len(n_log_n) else total * math.log(total)
        entropy[row] = (whole - summed) / total
        occupied[row] = cells


@compiled
def _marginals(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts of each unit of A, and of each of B, [unit, code]: sums of so short axes take NumPy ten times as long."""
    units_a, units_b, codes_a, codes_b = tables.shape
    of_a, of_b = np.zeros((units_a, codes_a), tables.dtype), np.zeros((units_b, codes_b), tables.dtype)
    for u in range(units_a):
        for i in range(codes_a):
            for j in range(codes_b):
                of_a[u, i] += tables[u, 0, i, j]
    for v in range(units_b):
        for i in range(codes_a):
            for j in range(codes_b):
                of_b[v, j] += tables[0, v, i, j]
    return of_a, of_b
