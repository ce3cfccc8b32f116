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
    statistics: Sequence[str],
    value: np.ndarray,
    standard_error: np.ndarray | None = None,
    nulls: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """The three summary variables of a measure.

    Parameters
    ----------
    statistics : their names
    value, standard_error : [statistic]; no standard error: NaN
    nulls : by kind of null, [statistic]
    """
    nulls = dict(nulls or {})
    missing = np.full(len(statistics), np.nan)
    expected = np.array(list(nulls.values())).reshape(len(nulls), len(statistics))
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
            "statistic": np.array(statistics, dtype=np.dtypes.StringDType()),
            "null_kind": np.array(list(nulls), dtype=np.dtypes.StringDType()),
        },
    )
