"""The tidy table of every result: one row a statistic and null.

Columns: comparison, pair (a snapshot for statistics of one network; ``{network}-all`` for what is over the pairs of a
network), layer (``all``: the network as a whole), measure, statistic, value, standard_error, null, null_kind, excess,
excess_standard_error, verdict. The standard error of one pair is over images; that of a mean is over seeds: the
jackknife that leaves out one seed and all its pairs (from three seeds on). The last three are of means alone: the mean
of value − null, pair by pair, its standard error over seeds, and the `verdict`. Where something is not defined the
field is empty.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from convergent.folds import standard_error
from convergent.snapshots import network_of, trainings_of
from convergent.store import Store

COLUMNS = ["comparison", "pair", "layer", "measure", "statistic", "value", "standard_error", "null", "null_kind"]
OF_MEANS = ["excess", "excess_standard_error", "verdict"]
LARGER, SMALLER, NOT_APART, NO_SPREAD, NO_VERDICT = "larger", "smaller", "not told apart", "no spread", ""
WHOLE = "all"  # stands for the layer in a result that is of the network as a whole
VARIABLES = ("summary", "summary_standard_error", "summary_null", "statistic", "null_kind")  # of a store that are read


@dataclass(frozen=True)
class Result:
    """One store of a measure, with the store of the same seeds untrained."""

    comparison: str
    pair: str
    measure: str
    store: Store
    untrained: Store | None


class Excess(NamedTuple):
    """How far the mean of a statistic over pairs lies above a null: mean, its standard error over seeds, `verdict`."""

    mean: float
    standard_error: float
    verdict: str


def summarise(results: Iterable[Result]) -> pd.DataFrame:
    """The table of all results, with the mean over the pairs of each comparison and network."""
    table = pd.DataFrame(list(itertools.chain.from_iterable(rows(result) for result in results)), columns=COLUMNS)
    return pd.concat([table, over_pairs(table)], ignore_index=True).fillna({"verdict": NO_VERDICT})


def read(file: Path | TextIO) -> pd.DataFrame:
    """The table that was written as CSV, whatever its comparisons are named."""
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return table.fillna({"null_kind": "", "verdict": NO_VERDICT})


def over_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over the pairs of each comparison and network, a row for each null, from rows of pairs."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    of_pairs: Iterator[Any] = table.itertuples(index=False)
    for row in of_pairs:
        key = (row.comparison, f"{network_of(row.pair)}-all", row.layer, row.measure, row.statistic)
        groups.setdefault(key, []).append(row)
    means = ((*key, *mean) for key, group in groups.items() for mean in _over_pairs(group))
    return pd.DataFrame(list(means), columns=[*COLUMNS, *OF_MEANS])


def rows(result: Result) -> Iterator[tuple[object, ...]]:
    """The rows of one store, in order of layer, statistic and null; a null that is not defined has no row."""
    for layer, dataset in result.store.layers.items():
        measured = dataset[list(VARIABLES)].load()
        nulls = {}
        if result.untrained is not None:
            untrained = result.untrained.layers[layer]["summary"]
            nulls["untrained"] = untrained.sel(statistic=measured["statistic"].values).values
        nulls |= dict(zip(map(str, measured["null_kind"].values), measured["summary_null"].values, strict=True))
        for i, statistic in enumerate(map(str, measured["statistic"].values)):
            value, error = float(measured["summary"][i]), float(measured["summary_standard_error"][i])
            shared = (
                result.comparison,
                result.pair,
                WHOLE if layer == "/" else layer,
                result.measure,
                statistic,
                value,
                error,
            )
            defined = {kind: float(null[i]) for kind, null in nulls.items() if not np.isnan(null[i])}
            for kind, null in defined.items() or [("", np.nan)]:
                yield (*shared, null, kind)


def over_seeds(pairs: Sequence[str], values: np.ndarray) -> tuple[float, float]:
    """Mean over pairs, and its standard error over seeds.

    Parameters
    ----------
    pairs : ``{network}-s{seed}-{stage}--…`` or one such snapshot
    values : [pair]
    """
    return _jackknife(_left_out(pairs), values)


def _jackknife(kept: Sequence[np.ndarray], values: np.ndarray) -> tuple[float, float]:
    mean = float(values.mean())
    if len(kept) < 3 or not all(rest.any() for rest in kept):
        return mean, np.nan
    return mean, float(standard_error(values[rest].mean(keepdims=True) for rest in kept)[0])


def verdict(excess: float, error: float, left_out: int) -> str:
    """Whether 0 lies in the 95 % interval of an excess over its null, by Student's t over seeds.

    Parameters
    ----------
    excess, error : mean over pairs of value − null, and its standard error over seeds
    left_out : number of seeds, or of what else the jackknife left out one by one

    Returns
    -------
    ``larger``, ``smaller`` or ``not told apart``; ``no spread`` where every pair differs by the same, which is no
    evidence; empty where excess or error is not defined
    """
    if np.isnan(error):
        return NO_VERDICT
    if error <= 1e-9 * max(abs(excess), 1):
        return NO_SPREAD
    if abs(excess) <= stdtrit(left_out - 1, 0.975) * error:
        return NOT_APART
    return LARGER if excess > 0 else SMALLER


def correlation_over_seeds(pairs: Sequence[str], x: np.ndarray, y: np.ndarray) -> tuple[float, float, int]:
    """Pearson correlation over pairs, its standard error over seeds, and these.

    The error is defined from four seeds on, where without one there are three pairs.

    Parameters
    ----------
    pairs : as in `over_seeds`
    x, y : [pair]
    """
    kept = _left_out(pairs)
    if any(rest.sum() < 3 for rest in kept):
        return _correlation(x, y), np.nan, len(kept)
    error = float(standard_error(np.array([_correlation(x[rest], y[rest])]) for rest in kept)[0])
    return _correlation(x, y), error, len(kept)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """NaN of fewer than three values, and where one is not defined or does not vary."""
    if len(x) < 3 or np.isnan(x + y).any() or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])


def against(
    table: pd.DataFrame, comparison: str, network: str, measure: str, statistic: str, null_kind: str
) -> dict[str, Excess]:
    """How far the mean over pairs lies above a null, by layer in order of depth.

    NaN where the null is not defined for every pair; empty where no layer has it.
    """
    chosen = _rows_of(table, comparison, measure, statistic)
    chosen = chosen[chosen["pair"] == f"{network}-all"]
    found = {}
    for layer, group in chosen.groupby("layer", sort=False):
        known = group[group["null_kind"] == null_kind]
        each = known[OF_MEANS].itertuples(index=False)
        found[str(layer)] = Excess(*next(each, (np.nan, np.nan, NO_VERDICT)))
    return found if (chosen["null_kind"] == null_kind).any() else {}


def means(table: pd.DataFrame, comparison: str, network: str, measure: str, statistic: str) -> dict[str, float]:
    """The mean over pairs of one statistic, by layer in order of depth."""
    chosen = _rows_of(table, comparison, measure, statistic)
    chosen = chosen[chosen["pair"] == f"{network}-all"]
    return {str(layer): float(group["value"].iloc[0]) for layer, group in chosen.groupby("layer", sort=False)}


def _left_out(pairs: Sequence[str]) -> list[np.ndarray]:
    """The pairs that stay, [pair], where one training and all its pairs are left out; each choice once.

    Pairs of different networks share no training: either of the two leaves out the same pair.
    """
    trained = [trainings_of(pair) for pair in pairs]
    choices = {tuple(training not in of_pair for of_pair in trained) for training in frozenset.union(*trained)}
    return [np.array(choice) for choice in sorted(choices)]


def _rows_of(table: pd.DataFrame, comparison: str, measure: str, statistic: str) -> pd.DataFrame:
    where = (table["comparison"] == comparison) & (table["measure"] == measure) & (table["statistic"] == statistic)
    return table[where]


def _over_pairs(group: Sequence[Any]) -> Iterator[tuple[float, float, float, str, float, float, str]]:
    """The mean over the pairs of one statistic, for each null; a null that one pair lacks is not defined."""
    values = {row.pair: row.value for row in group}
    kept, value = _left_out(list(values)), np.array(list(values.values()))
    of_value = _jackknife(kept, value)
    nulls: dict[str, dict[str, float]] = {}
    for row in group:
        nulls.setdefault(row.null_kind, {})[row.pair] = row.null
    if len(nulls) > 1:
        nulls.pop("", None)  # of pairs without any
    for kind, known in nulls.items():
        null = np.array([known.get(pair, np.nan) for pair in values])
        excess, error = _jackknife(kept, value - null)
        yield *of_value, float(null.mean()), kind, excess, error, verdict(excess, error, len(kept))
