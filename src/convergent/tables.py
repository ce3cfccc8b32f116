"""The tidy table of every result: one row a statistic and null.

Columns: comparison, pair (a snapshot for statistics of one network; ``all`` for the mean over pairs), layer, measure,
statistic, value, standard_error, null, null_kind. The standard error of one pair is over images; that of ``all`` is
over seeds: the jackknife that leaves out one seed and all its pairs (NaN below three seeds). Counts and values
without an error or a null leave the field empty.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from convergent.folds import standard_error
from convergent.store import Store

COLUMNS = ["comparison", "pair", "layer", "measure", "statistic", "value", "standard_error", "null", "null_kind"]
ALL = "all"
KEY = ["comparison", "layer", "measure", "statistic", "null_kind"]


@dataclass(frozen=True)
class Result:
    """One store of a measure, with the store of the same seeds untrained."""

    comparison: str
    pair: str
    measure: str
    store: Store
    untrained: Store | None


def summarise(results: Iterable[Result]) -> pd.DataFrame:
    """The table of all results, with the mean over the pairs of each comparison."""
    table = pd.DataFrame(list(itertools.chain.from_iterable(rows(result) for result in results)), columns=COLUMNS)
    return pd.concat([table, *(_over_pairs(group) for _, group in table.groupby(KEY, sort=False))], ignore_index=True)


def rows(result: Result) -> Iterator[tuple[object, ...]]:
    """The rows of one store, in order of layer, statistic and null."""
    for layer, measured in result.store.layers.items():
        nulls: dict[str, xr.DataArray] = {}
        if result.untrained is not None:
            nulls["untrained"] = result.untrained.layers[layer]["summary"]
        nulls |= {
            str(kind): measured["summary_null"].isel(null_kind=i) for i, kind in enumerate(measured["null_kind"].values)
        }
        for i, statistic in enumerate(measured["statistic"].values):
            value, error = float(measured["summary"][i]), float(measured["summary_standard_error"][i])
            shared = (result.comparison, result.pair, layer, result.measure, str(statistic), value, error)
            for kind, null in nulls.items():
                yield (*shared, float(null[i]), kind)
            if not nulls:
                yield (*shared, np.nan, "")


def over_seeds(pairs: Sequence[str], values: np.ndarray) -> tuple[float, float]:
    """Mean over pairs, and its standard error over seeds.

    Parameters
    ----------
    pairs : ``{network}-s{seed}-{stage}--…`` or one such snapshot
    values : [pair]
    """
    trained = [set(re.findall(r"([a-z0-9_]+-s\d+)-", pair)) for pair in pairs]
    every = set.union(*trained)
    kept = [np.array([left_out not in of_pair for of_pair in trained]) for left_out in sorted(every)]
    mean = float(values.mean())
    if len(every) < 3 or not all(rest.any() for rest in kept):
        return mean, np.nan
    return mean, float(standard_error(values[rest].mean(keepdims=True) for rest in kept)[0])


def excess(
    table: pd.DataFrame, comparison: str, measure: str, statistic: str, null_kind: str
) -> dict[str, tuple[float, float]]:
    """How far a statistic lies above a null, pair by pair: mean and standard error over seeds, by layer."""
    chosen = table[
        (table["comparison"] == comparison)
        & (table["pair"] != ALL)
        & (table["measure"] == measure)
        & (table["statistic"] == statistic)
        & (table["null_kind"] == null_kind)
    ]
    return {
        str(layer): over_seeds(list(group["pair"]), (group["value"] - group["null"]).to_numpy())
        for layer, group in chosen.groupby("layer", sort=False)
    }


def _over_pairs(group: pd.DataFrame) -> pd.DataFrame:
    mean, error = over_seeds(list(group["pair"]), group["value"].to_numpy())
    row = group.iloc[[0]].copy()
    return row.assign(pair=ALL, value=mean, standard_error=error, null=group["null"].mean(skipna=False))


def of_comparison(table: pd.DataFrame, comparison: str, measure: str, statistic: str) -> dict[str, pd.DataFrame]:
    """The rows of the mean over pairs of one statistic, by layer in order of depth; their index is the kind of null."""
    chosen = table[
        (table["comparison"] == comparison)
        & (table["pair"] == ALL)
        & (table["measure"] == measure)
        & (table["statistic"] == statistic)
    ]
    return {str(layer): group.set_index("null_kind") for layer, group in chosen.groupby("layer", sort=False)}
