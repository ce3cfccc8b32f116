"""What every measure says in the same form, so that one table can hold it all.

``summary[statistic]``, ``summary_standard_error[statistic]`` and ``summary_null[null_kind, statistic]``: a number,
its standard error over images, and what it is under each null that the measure knows by itself. NaN: not defined.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr


def mean(values: np.ndarray) -> float:
    """The mean of values; NaN of none."""
    return float(values.mean()) if values.size else np.nan


def summary(
    statistics: Sequence[str] | Mapping[str, str],
    value: np.ndarray,
    standard_error: np.ndarray | None = None,
    nulls: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """The three summary variables of a measure, and the coordinate ``definition[statistic]`` where one is given.

    Parameters
    ----------
    statistics : their names, or a definition by each name
    value, standard_error : [statistic]; no standard error: NaN
    nulls : by kind of null, [statistic]
    """
    nulls = dict(nulls or {})
    missing = np.full(len(statistics), np.nan)
    expected = np.array(list(nulls.values())).reshape(len(nulls), len(statistics))
    text = np.dtypes.StringDType()
    definitions = list(statistics.values()) if isinstance(statistics, Mapping) else None
    return xr.Dataset(
        {
            "summary": ("statistic", np.asarray(value, dtype=np.float64), {"long_name": "value of the statistic"}),
            "summary_standard_error": (
                "statistic",
                missing if standard_error is None else standard_error,
                {"long_name": "standard error of the statistic over images"},
            ),
            "summary_null": (("null_kind", "statistic"), expected, {"long_name": "the statistic under a null"}),
        },
        {
            "statistic": np.array(list(statistics), dtype=text),
            "null_kind": np.array(list(nulls), dtype=text),
        }
        | ({"definition": ("statistic", np.array(definitions, dtype=text))} if definitions else {}),
    )


def among_permuted(value: np.ndarray, null: np.ndarray) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """``p_value[statistic]`` and ``permuted_95th_percentile[statistic]``; NaN where a value or its null is not defined.

    Parameters
    ----------
    value : [statistic]
    null : values under permuted images, [permutation, statistic]
    """
    # An order of the images that changes nothing has the same value but for rounding.
    reached = (1 + (null > value - 1e-12).sum(axis=0)) / (1 + len(null))
    return {
        "p_value": (
            "statistic",
            np.where(np.isnan(value - null[0]), np.nan, reached),
            {"long_name": "share of orders of the images with at least this value"},
        ),
        "permuted_95th_percentile": (
            "statistic",
            np.quantile(null, 0.95, axis=0),
            {"long_name": "95th percentile of the statistic under permuted images"},
        ),
    }
