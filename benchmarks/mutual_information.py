"""Joint histograms of pairs of units: the compiled kernel against NumPy, on one core.

Ours is timed over all pairs, the coding of both layers included; NumPy's over some pairs, on codes or edges that are
there already.
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from benchmarks.result import Result, alternately, seconds
from convergent import engine
from convergent.bins import codes, edges
from convergent.joint_histograms import _count, of

SAMPLES, UNITS, BINS = 60_000, 64, 20  # and a bin for zeros: 21
OF_HISTOGRAM2D, OF_BINCOUNT = 16, 512  # pairs that are timed, for about as long as ours
REPEATS = 15


def run() -> Iterator[Result]:
    """Seconds a pair, NumPy's over ours."""
    generator = np.random.default_rng(0)
    shared = generator.standard_normal((SAMPLES, UNITS), dtype=np.float32)
    a, b = (np.maximum(shared + generator.standard_normal(shared.shape, dtype=np.float32), 0) for _ in range(2))
    edge_a, edge_b = (edges(xr.DataArray(x, dims=("image", "unit")), bins=BINS)["edge"].values for x in (a, b))
    codes_a, codes_b = codes(a, edge_a), codes(b, edge_b)
    wide_a, wide_b = codes_a.astype(np.intp), codes_b.astype(np.intp)
    tables = np.empty((UNITS, UNITS, BINS + 1, BINS + 1), dtype=np.uint32)

    def kernel() -> None:
        tables[:] = 0
        _count(codes(a, edge_a), codes(b, edge_b), tables)

    def bincount(u: int, v: int) -> np.ndarray:
        cell = wide_a[u] * (BINS + 1) + wide_b[v]
        return np.bincount(cell, minlength=(BINS + 1) ** 2).reshape(BINS + 1, BINS + 1)

    def histogram2d(u: int, v: int) -> np.ndarray:
        # Its bins hold their lower edge, ours their upper one.
        cuts = (np.r_[-1, np.nextafter(edge, np.inf), 1e3] for edge in (edge_a[u], edge_b[v]))
        return np.histogram2d(a[:, u], b[:, v], bins=list(cuts))[0]

    with engine.threads(1):
        kernel()
        pairs = [tuple(pair) for pair in generator.integers(0, UNITS, (OF_BINCOUNT, 2))]
        for u, v in pairs:
            np.testing.assert_array_equal(tables[u, v], bincount(u, v))
        for u, v in pairs[:OF_HISTOGRAM2D]:
            np.testing.assert_array_equal(tables[u, v], histogram2d(u, v))
        ours, counted, binned = alternately(
            REPEATS,
            kernel,
            lambda: [bincount(u, v) for u, v in pairs],
            lambda: [histogram2d(u, v) for u, v in pairs[:OF_HISTOGRAM2D]],
        )
        whole = seconds(lambda: of(a, b, bins=BINS))
    ours, counted, binned = ours / UNITS**2, counted / OF_BINCOUNT, binned / OF_HISTOGRAM2D
    details: dict[str, float | str] = {"ours a pair": ours, "of, with edges, nulls and folds, a pair": whole / UNITS**2}
    of_what = f"joint histograms, {SAMPLES} samples, {BINS + 1} bins"
    yield Result(
        f"{of_what}: numpy.histogram2d / ours", binned / ours, 100, False, details=details | {"NumPy a pair": binned}
    )
    yield Result(
        f"{of_what}: numpy.bincount / ours", counted / ours, 5, False, details=details | {"NumPy a pair": counted}
    )
