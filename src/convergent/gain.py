"""Does dissimilarity predict what averaging two networks gains? Their correlation over pairs.

Dissimilarity: 1 − mean r of the units of the last layers, matched one to one; of different networks on the coarser of
their grids. Correlated are the pairs of each comparison and network and, where there are more, all of one data set and
stage together. The error leaves out one training and all its pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convergent import tables
from convergent.measures.summary import summary
from convergent.snapshots import network_of, stages_of
from convergent.store import Store

DISSIMILARITY, CORRELATION = "dissimilarity", "correlation_gain_dissimilarity"


@dataclass(frozen=True)
class Correlation:
    """The correlation of gain and dissimilarity.

    Attributes
    ----------
    comparisons, networks, data : of the pairs
    layer : the last one, or ``{layer_a}~{layer_b}``; ``all`` where they are different ones
    pairs : how many
    r, standard_error : NaN: not defined
    trainings : of which one is left out for the error
    """

    comparisons: tuple[str, ...]
    networks: tuple[str, ...]
    data: str
    layer: str
    pairs: int
    r: float
    standard_error: float
    trainings: int


def dissimilarity(alike: Store) -> tuple[str, float]:
    """The last layer of a pair, and how little its units are alike.

    Parameters
    ----------
    alike : a store of `layer_pairs`, or of `matching`
    """
    if "/" not in alike.layers:
        layer, last = list(alike.layers.items())[-1]
        return layer, 1 - float(last["summary"].sel(statistic="mean_r_one_to_one"))
    corner = alike.layers["/"].isel(layer_a=-1, layer_b=-1)
    names = dict.fromkeys(str(corner[name].values) for name in ("layer_a", "layer_b"))
    return "~".join(names), 1 - float(corner["r_one_to_one"])


def of_pair(alike: Store) -> Store:
    """The dissimilarity of a pair in the form of a result, for the table."""
    layer, value = dissimilarity(alike)
    return Store({layer: summary((DISSIMILARITY,), np.array([value]))}, alike.attributes)


def correlations(table: pd.DataFrame, data: Mapping[str, str]) -> list[Correlation]:
    """Of each comparison and network, then of all pairs of a data set at one stage where these are more.

    Parameters
    ----------
    table : from `tables.summarise`, with the results of `ensemble` and `of_pair`
    data : the data set of each network
    """
    chosen = table[(table["measure"] == "ensemble") & (table["pair"].map(network_of) != "")]  # no means
    keys = ["comparison", "pair"]
    alike = chosen[chosen["statistic"] == DISSIMILARITY].set_index(keys)
    gain = chosen[chosen["statistic"] == "gain"].drop_duplicates(keys).set_index(keys)["value"]
    both = alike.join(gain.rename("gain"), how="inner").reset_index()
    both["network"] = both["pair"].map(network_of)
    both["data"] = both["pair"].map(lambda pair: data[network_of(pair).split("--")[0]])
    both["together"] = [(of, *stages_of(pair)) for of, pair in zip(both["data"], both["pair"], strict=True)]
    found = [_correlation(group) for _, group in both.groupby(["comparison", "network"], sort=False)]
    for _, group in both.groupby("together", sort=False):
        if group["pair"].nunique() > group.groupby(["comparison", "network"]).size().max():
            found.append(_correlation(group))
    return found


def _correlation(group: pd.DataFrame) -> Correlation:
    comparisons, networks, layers = (tuple(dict.fromkeys(group[name])) for name in ("comparison", "network", "layer"))
    once = group.drop_duplicates("pair")
    found = tables.correlation_over_seeds(list(once["pair"]), once["value"].to_numpy(), once["gain"].to_numpy())
    layer = layers[0] if len(layers) == 1 else tables.WHOLE
    return Correlation(comparisons, networks, group["data"].iloc[0], layer, len(once), *found)


def rows(correlations: Sequence[Correlation]) -> pd.DataFrame:
    """Correlations in the columns of the table; ``pair`` is ``{network}-all``, of several ``all of {data}``."""

    def of_each() -> Iterator[tuple[object, ...]]:
        for one in correlations:
            pair = f"{one.networks[0]}-all" if len(one.networks) == 1 else f"all of {one.data}"
            comparison = " + ".join(one.comparisons)
            yield (comparison, pair, one.layer, "ensemble", CORRELATION, one.r, one.standard_error, np.nan, "")

    return pd.DataFrame(of_each(), columns=tables.COLUMNS)
