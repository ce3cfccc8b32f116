"""Activation statistics: mean, standard deviation, share of zeros, maximum and a histogram of each unit.

Source: Li et al. 2016 (arXiv 1511.07543), supplement. Sorted mean activations of independently trained networks
nearly coincide.
"""

from functools import reduce

import numpy as np
import xarray as xr

from convergent.folds import Array, Moments, live, merge, standard_error, without
from convergent.measures.summary import summary

STATISTICS = ("n_units", "n_dead", "mean_activation", "mean_standard_deviation", "share_zeros")


def statistics(moments: xr.Dataset, histograms: xr.Dataset) -> xr.Dataset:
    """Statistics of every unit of one layer of one snapshot.

    Parameters
    ----------
    moments : ``n[fold] mean[fold, unit] comoment[fold, unit, unit_other]``
    histograms : ``count[unit, octave] minimum[unit] maximum[unit]``, of the same activations

    Returns
    -------
    ``mean[unit]``, ``mean_standard_error[unit]`` over images, ``standard_deviation[unit]``, ``share_zeros[unit]``
    in 0–1, ``dead[unit]``, ``minimum[unit]``, ``maximum[unit]``, ``count[unit, octave]``, and the summary
    """
    parts = [_fold(moments, index) for index in range(moments.sizes["fold"])]
    whole = reduce(merge, parts)
    rest = [without(whole, part) for part in parts]
    deviation = _standard_deviation(whole)
    zeros = histograms["count"].isel(octave=0).values / whole.n
    dead = ~live(whole)
    value = np.array([len(dead), dead.sum(), whole.mean_a.mean(), deviation.mean(), zeros.mean()])
    undefined = np.nan
    left_out = [
        np.array([undefined, undefined, r.mean_a.mean(), _standard_deviation(r).mean(), undefined]) for r in rest
    ]
    return xr.merge(
        [
            summary(STATISTICS, value, standard_error(left_out)),
            xr.Dataset(
                {
                    "mean": ("unit", whole.mean_a, {"long_name": "mean activation"}),
                    "mean_standard_error": (
                        "unit",
                        standard_error(r.mean_a for r in rest),
                        {"long_name": "standard error of the mean over images"},
                    ),
                    "standard_deviation": ("unit", deviation, {"long_name": "standard deviation of the activation"}),
                    "share_zeros": ("unit", zeros, {"long_name": "share of samples that are zero", "units": "1"}),
                    "dead": ("unit", dead.astype(np.int8), {"long_name": "1: no variance on the probe"}),
                },
                {"unit": moments["unit"].values},
            ),
            histograms,
        ],
        join="exact",
        compat="no_conflicts",
    )


def _fold(moments: xr.Dataset, index: int) -> Moments:
    one = moments.isel(fold=index)
    mean = np.asarray(one["mean"].values)
    return Moments(float(one["n"]), mean, mean, np.asarray(one["comoment"].values))


def _standard_deviation(moments: Moments) -> Array:
    return np.sqrt(np.maximum(np.diag(moments.comoment), 0) / moments.n)
