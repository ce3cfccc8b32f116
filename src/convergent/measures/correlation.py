"""Unit correlation: Pearson's r of every unit of A with every unit of B, and within each network.

    r[u, v] = C_uv / √(C_uu C_vv)

Shapes [unit_a, unit_b], [unit_a, unit_a_other], [unit_b, unit_b_other]; range −1…1, signed; NaN for dead units.
Source: Li et al. 2016 (arXiv 1511.07543), section 2.
"""

import numpy as np
import xarray as xr

from convergent import folds
from convergent.folds import Array, Pair
from convergent.measures.summary import summary

STATISTICS = ("n_live_a", "n_live_b", "mean_r", "mean_absolute_r")


def correlation(moments: xr.Dataset) -> xr.Dataset:
    """Correlation of all units of a pair, with standard errors.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`

    Returns
    -------
    ``r[unit_a, unit_b]``, ``r_standard_error`` (jackknife over folds of images), ``r_permuted`` (first replicate),
    ``r_a``, ``r_b``, and the summary over live units with the permuted null
    """
    whole = folds.total(moments)
    permuted = [folds.total(moments, replicate) for replicate in range(moments.sizes["replicate"])]
    null = np.mean([_summary(pair) for pair in permuted], axis=0)
    error = folds.jackknife(moments, whole, _summary)
    error[:2] = null[:2] = np.nan  # counts have no standard error, and no null
    between = ("unit_a", "unit_b")
    return xr.merge(
        [
            summary(STATISTICS, _summary(whole), error, {"permuted": null}),
            xr.Dataset(
                {
                    "r": (between, folds.correlation(whole), {"long_name": "Pearson correlation"}),
                    "r_standard_error": (
                        between,
                        folds.jackknife(moments, whole, folds.correlation),
                        {"long_name": "standard error of r over images"},
                    ),
                    "r_permuted": (
                        between,
                        folds.correlation(permuted[0]),
                        {"long_name": "Pearson correlation, the images of B permuted"},
                    ),
                    "r_a": (
                        ("unit_a", "unit_a_other"),
                        folds.correlation_within(whole.a),
                        {"long_name": "correlation within A"},
                    ),
                    "r_b": (
                        ("unit_b", "unit_b_other"),
                        folds.correlation_within(whole.b),
                        {"long_name": "correlation within B"},
                    ),
                },
                {
                    "unit_a": moments["unit_a"].values,
                    "unit_b": moments["unit_b"].values,
                    "unit_a_other": moments["unit_a"].values,
                    "unit_b_other": moments["unit_b"].values,
                },
            ),
        ]
    )


def _summary(pair: Pair) -> Array:
    r = folds.correlation(pair)[np.ix_(pair.live_a, pair.live_b)]
    if r.size == 0:
        return np.array([pair.live_a.sum(), pair.live_b.sum(), np.nan, np.nan])
    return np.array([pair.live_a.sum(), pair.live_b.sum(), r.mean(), np.abs(r).mean()])
