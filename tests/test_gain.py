"""The correlation of gain and dissimilarity over pairs: by hand, pooled only where pairs are of one kind."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from convergent import gain, tables
from convergent.measures.summary import summary
from convergent.store import Store
from convergent.tables import Result

DATA = {"net": "digits", "other": "digits", "third": "cifar10"}
NET, OTHER = (
    [f"{n}-s{p}-final--{n}-s{q}-final" for p, q in itertools.combinations(range(3), 2)] for n in ("net", "other")
)
ACROSS = [f"net-s{p}-final--other-s{(p + 1) % 3}-final" for p in range(3)]
Values = Mapping[str, Sequence[tuple[str, float, float]]]


def matched(*r: float) -> Store:
    """Of `matching`: a layer for each mean r."""
    return Store({f"layer{i}": summary(("mean_r_one_to_one",), np.array([value])) for i, value in enumerate(r)}, {})


def table_of(found: Values) -> pd.DataFrame:
    """{comparison: (pair, dissimilarity, gain)}, every gain with two nulls."""
    results = []
    for comparison, pairs in found.items():
        for pair, dissimilarity, value in pairs:
            nulls = {"permuted_within_classes": np.array([0.0]), "permuted": np.array([0.0])}
            of_answers = Store({"/": summary(("gain",), np.array([value]), nulls=nulls)}, {})
            alike = gain.of_pair(matched(0.9, 1 - dissimilarity))
            results += [Result(comparison, pair, "ensemble", store, None) for store in (of_answers, alike)]
    return tables.summarise(results)


def drawn(pairs: Sequence[str], seed: int) -> list[tuple[str, float, float]]:
    values = np.random.default_rng(seed).random((len(pairs), 2))
    return [(pair, *map(float, of_pair)) for pair, of_pair in zip(pairs, values, strict=True)]


def test_dissimilarity__is_of_the_last_layer() -> None:
    assert gain.dissimilarity(matched(0.9, 0.75)) == ("layer1", 0.25)


@pytest.mark.parametrize(("last_b", "name"), [("fc", "fc"), ("block", "fc~block")])
def test_dissimilarity__of_different_networks_is_of_both_last_layers(last_b: str, name: str) -> None:
    pairs = xr.Dataset(
        {"r_one_to_one": (("layer_a", "layer_b"), [[0.1, 0.2, 0.3], [0.4, 0.5, 0.875]])},
        {"layer_a": ["conv", "fc"], "layer_b": ["stem", "conv", last_b]},
    )
    assert gain.dissimilarity(Store({"/": pairs}, {})) == (name, 0.125)


def test_correlations__of_one_network_by_hand() -> None:
    """Deviations −1, 0, 1 of dissimilarity (in tenths) and −1, 2, −1 of gain: they do not correlate."""
    values = [(pair, 0.1 * i, g) for i, (pair, g) in enumerate(zip(NET, (0.0, 3.0, 0.0), strict=True))]
    (found,) = gain.correlations(table_of({"trained": values}), DATA)
    assert (found.comparisons, found.networks, found.layer) == (("trained",), ("net",), "layer1")
    assert (found.pairs, found.trainings) == (3, 3)
    assert found.r == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.standard_error)


def test_correlations__are_pooled_over_pairs_within_and_across_networks() -> None:
    """The error leaves out each of six trainings with all its pairs."""
    values = {"across": drawn(ACROSS, 1), "within": [*drawn(NET, 2), *drawn(OTHER, 3)]}
    *each, pooled = gain.correlations(table_of(values), DATA)
    assert [(one.comparisons, one.networks) for one in each] == [
        (("across",), ("net--other",)),
        (("within",), ("net",)),
        (("within",), ("other",)),
    ]
    for one, part in zip(each, (values["across"], values["within"][:3], values["within"][3:]), strict=True):
        assert one.r == pytest.approx(stats.pearsonr(*zip(*(v[1:] for v in part), strict=True))[0])
    everything = [*values["across"], *values["within"]]
    assert (pooled.comparisons, pooled.pairs, pooled.trainings) == (("across", "within"), 9, 6)
    assert pooled.r == pytest.approx(stats.pearsonr(*zip(*(v[1:] for v in everything), strict=True))[0])
    left_out = []
    for training in (f"{network}-s{seed}-" for network in ("net", "other") for seed in range(3)):
        rest = [value[1:] for value in everything if training not in value[0]]
        left_out.append(stats.pearsonr(*zip(*rest, strict=True))[0])
    spread = np.array(left_out) - np.mean(left_out)
    assert pooled.standard_error == pytest.approx(np.sqrt(5 / 6 * (spread**2).sum()))


@pytest.mark.parametrize(
    "values",
    [
        {"trained": drawn(NET, 1), "again": drawn(NET, 1)},
        {"trained": drawn(NET, 1), "early": drawn([pair.replace("final", "epoch1") for pair in OTHER], 2)},
        {"trained": drawn(NET, 1), "third": drawn([pair.replace("other", "third") for pair in OTHER], 2)},
    ],
    ids=["the same pairs", "another stage", "another data set"],
)
def test_correlations__are_not_pooled_over(values: Values) -> None:
    found = gain.correlations(table_of(values), DATA)
    assert [one.comparisons for one in found] == [(name,) for name in values]


def test_rows__of_two_data_sets_are_told_apart() -> None:
    pairs = [f"{n}-s{p}-final--{n}-s{q}-final" for n in ("third", "fourth") for p, q in ((0, 1), (0, 2), (1, 2))]
    values = {"trained": drawn([*NET, *OTHER, *pairs], 4)}
    found = gain.rows(gain.correlations(table_of(values), DATA | {"fourth": "cifar10"}))
    assert found["pair"].to_list()[-2:] == ["all of digits", "all of cifar10"]
    assert not found.duplicated(["comparison", "pair", "layer"]).any()


def test_correlations__count_a_pair_of_two_comparisons_once() -> None:
    values = {"trained": drawn(NET, 1), "across": [*drawn(ACROSS, 2), *drawn(NET, 1)]}
    *_, pooled = gain.correlations(table_of(values), DATA)
    assert pooled.pairs == 6


@pytest.mark.parametrize("missing", ["gain", gain.DISSIMILARITY])
def test_correlations__need_gain_and_dissimilarity(missing: str) -> None:
    table = table_of({"trained": drawn(NET, 1)})
    assert gain.correlations(table[table["statistic"] != missing], DATA) == []
    assert gain.rows([]).empty


def test_rows__say_over_which_pairs() -> None:
    values = {"across": drawn(ACROSS, 1), "within": drawn(NET, 2)}
    table = table_of(values)
    found = gain.rows(gain.correlations(table, DATA))
    assert list(found.columns) == tables.COLUMNS
    assert found[["comparison", "pair", "layer"]].to_numpy().tolist() == [
        ["across", "net--other-all", "layer1"],
        ["within", "net-all", "layer1"],
        ["across + within", "all of digits", "layer1"],
    ]
    assert set(found["statistic"]) == {"correlation_gain_dissimilarity"}
    of_within = table[(table["pair"] == "net-all") & (table["statistic"] == gain.DISSIMILARITY)]
    assert of_within["value"].item() == pytest.approx(np.mean([value[1] for value in values["within"]]))
