"""The tidy table of every result: one row a statistic and null.

Columns: comparison, pair (a snapshot for statistics of one network; ``{network}-all`` for what is over the pairs of a
network), layer (``all``: the network as a whole), measure, statistic, value, standard_error, null, null_kind. The
standard error of one pair is over images; that of a mean is over seeds: the jackknife that leaves out one seed and all
its pairs (from three seeds on). Where an error or a null is not defined the field is empty.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convergent.folds import standard_error
from convergent.snapshots import network_of, trainings_of
from convergent.store import Store

COLUMNS = ["comparison", "pair", "layer", "measure", "statistic", "value", "standard_error", "null", "null_kind"]
WHOLE = "all"  # stands for the layer in a result that is of the network as a whole
VARIABLES = ("summary", "summary_standard_error", "summary_null", "statistic", "null_kind")  # of a store that are read
KEY = ["comparison", "layer", "measure", "statistic"]


@dataclass(frozen=True)
class Result:
    """One store of a measure, with the store of the same seeds untrained."""

    comparison: str
    pair: str
    measure: str
    store: Store
    untrained: Store | None


def summarise(results: Iterable[Result]) -> pd.DataFrame:
    """The table of all results, with the mean over the pairs of each comparison and network."""
    table = pd.DataFrame(list(itertools.chain.from_iterable(rows(result) for result in results)), columns=COLUMNS)
    return pd.concat([table, *over_pairs(table)], ignore_index=True)


def over_pairs(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The mean over the pairs of each comparison and network, a row for each null, from rows of pairs."""
    grouped = table.groupby([table["pair"].map(network_of), *KEY], sort=False)
    return (_over_pairs(str(network), group) for (network, *_), group in grouped)


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
    kept = _left_out(pairs)
    mean = float(values.mean())
    if len(kept) < 3 or not all(rest.any() for rest in kept):
        return mean, np.nan
    return mean, float(standard_error(values[rest].mean(keepdims=True) for rest in kept)[0])


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


def excess(
    table: pd.DataFrame, comparison: str, network: str, measure: str, statistic: str, null_kind: str
) -> dict[str, tuple[float, float, int]]:
    """How far a statistic lies above a null, pair by pair, by layer: mean, standard error over seeds, seeds.

    NaN where the null is not defined for every pair; empty where no layer has it.
    """
    chosen = _rows_of(table, comparison, measure, statistic)
    chosen = chosen[chosen["pair"].map(network_of) == network]
    found = {}
    for layer, group in chosen.groupby("layer", sort=False):
        pairs, known = list(dict.fromkeys(group["pair"])), group[group["null_kind"] == null_kind]
        difference = (known["value"] - known["null"]).to_numpy()
        if len(known) < len(pairs):
            difference = np.full(len(pairs), np.nan)
        found[str(layer)] = (*over_seeds(pairs, difference), len(_left_out(pairs)))
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


def _over_pairs(network: str, group: pd.DataFrame) -> pd.DataFrame:
    """The mean over the pairs of one statistic, a row for each null; a null that one pair lacks is not defined."""
    pairs = group.drop_duplicates("pair")
    mean, error = over_seeds(list(pairs["pair"]), pairs["value"].to_numpy())
    kinds = group.drop_duplicates("null_kind")
    nulls = [_null_of_all(group, kind, len(pairs)) for kind in kinds["null_kind"]]
    return kinds.assign(pair=f"{network}-all", value=mean, standard_error=error, null=nulls)


def _null_of_all(group: pd.DataFrame, kind: str, pairs: int) -> float:
    nulls = group.loc[group["null_kind"] == kind, "null"]
    return float(nulls.mean(skipna=False)) if len(nulls) == pairs else np.nan
