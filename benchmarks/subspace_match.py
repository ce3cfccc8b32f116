"""The maximum match at every distance ε, by peeling, against sweeps of least squares at the five ε of the paper.

A sweep (algorithm 1 of Wang et al. 2018, arXiv 1810.11750) regresses every unit that is left on all that are left of
the other network, by `numpy.linalg.lstsq` on the samples, and drops those farther than ε; sweeps end when none is.
Sweeps over all units are timed; later ones, over fewer, are extrapolated by operations. Which units leave in which
sweep is found on the Gram matrix, and that way's time is told too.
"""

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.result import Result, alternately, seconds
from convergent import engine
from convergent.measures.peeling import critical_epsilons, regressions

SAMPLES, UNITS = 10_000, 512  # units of each network
EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)
RIDGE = 1e-9  # next to none, to compare with least squares
REPEATS = 3

Residuals = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def run() -> Iterator[Result]:
    """Seconds of five ε, theirs over ours of all, on one core."""
    a, b = networks(np.random.default_rng(0))
    both = np.hstack([a, b])

    def ours() -> np.ndarray:
        return critical_epsilons(both.T @ both, UNITS, RIDGE)

    def on_samples(left_a: np.ndarray, left_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = a[:, left_a], b[:, left_b]
        return residuals(y, x), residuals(x, y)

    gram = both.T @ both

    def on_gram(left_a: np.ndarray, left_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left = np.concatenate([left_a, left_b])
        squared = regressions(gram[np.ix_(left, left)], left_a.sum(), RIDGE)[1]
        return squared[: left_a.sum()], squared[left_a.sum() :]

    everything = np.ones(UNITS, dtype=bool)
    with engine.threads(1):
        critical = ours()
        for found, expected in zip(on_samples(everything, everything), on_gram(everything, everything), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-7)
        work = 0.0
        for epsilon in EPSILONS:
            match, sizes = sweep(on_gram, epsilon)
            np.testing.assert_array_equal(match, critical <= epsilon)
            work += sum((size / (2 * UNITS)) ** 2 for size in sizes)
        all_epsilons, one_sweep = alternately(REPEATS, ours, lambda: on_samples(everything, everything))
        gram_sweeps = seconds(lambda: [sweep(on_gram, epsilon) for epsilon in EPSILONS])
    shares = ", ".join(f"{(critical <= epsilon).mean():.2f}" for epsilon in EPSILONS)
    yield Result(
        f"subspace match, {UNITS} + {UNITS} units: sweeps of least squares at five ε / the whole curve",
        one_sweep * work / all_epsilons,
        50,
        False,
        details={
            "ours, the Gram matrix included": all_epsilons,
            "least squares": one_sweep * work,
            "one sweep over all units": one_sweep,
            "sweeps, as many of those": f"{work:.1f}",
            "sweeps on the Gram matrix": gram_sweeps,
            "matched at the five ε": shares,
        },
    )


def networks(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Activations [sample, unit] of length 1 that share a space but for noise of their own, much or little."""
    shared = generator.standard_normal((SAMPLES, UNITS // 2))
    sides = []
    for _ in range(2):
        signal = shared @ generator.standard_normal((UNITS // 2, UNITS)) / np.sqrt(UNITS // 2)
        noise = 10 ** generator.uniform(-2, 0, UNITS) * generator.standard_normal((SAMPLES, UNITS))
        side = signal + noise
        sides.append(side / np.linalg.norm(side, axis=0))
    return sides[0], sides[1]


def residuals(predictors: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Squared distance of each target from the span of the predictors."""
    return np.asarray(np.linalg.lstsq(predictors, targets)[1])


def sweep(distances: Residuals, epsilon: float) -> tuple[np.ndarray, list[int]]:
    """The maximum match, as which units are in it, and how many units each sweep held."""
    left_a, left_b = np.ones(UNITS, dtype=bool), np.ones(UNITS, dtype=bool)
    sizes = []
    while left_a.any() and left_b.any():
        sizes.append(int(left_a.sum() + left_b.sum()))
        far_a, far_b = (squared > epsilon**2 + 2 * RIDGE for squared in distances(left_a, left_b))
        if not (far_a.any() or far_b.any()):
            break
        left_a[left_a], left_b[left_b] = ~far_a, ~far_b
    if not (left_a.any() and left_b.any()):
        left_a[:], left_b[:] = False, False
    return np.concatenate([left_a, left_b]), sizes
