"""The report in words says what the table holds and no more."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from convergent import gain, reading, tables
from convergent.measures.summary import summary
from convergent.snapshots import network_of
from convergent.store import Store

PAIRS = [f"net-s{p}-final--net-s{q}-final" for p, q in itertools.combinations(range(3), 2)]
SPREAD = np.array([-0.1, 0.0, 0.1])  # of the three pairs about their mean, and its error over seeds:
ERROR = np.sqrt(2 / 3 * 0.02)
NETWORKS = ("net", "net_s", "other")
T = 4.302653  # the 97.5 % quantile of Student's t with two degrees of freedom

# {measure: {layer: {statistic: value of each pair}}}
Measured = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]


def results_of(measured: Measured, pairs: Sequence[str] = PAIRS, **nulls: float) -> list[tables.Result]:
    """Results of some values, every one beside the same nulls."""

    def store(measure: str, i: int) -> Store:
        return Store(
            {
                layer: summary(
                    tuple(values),
                    np.array([value[i] for value in values.values()]),
                    nulls={kind: np.full(len(values), null) for kind, null in nulls.items()},
                )
                for layer, values in measured[measure].items()
            },
            {},
        )

    return [
        tables.Result("same", pair, measure, store(measure, i), None)
        for measure in measured
        for i, pair in enumerate(pairs)
    ]


def comparison(name: str, pairs: Sequence[str] = PAIRS, untrained: str | None = None) -> dict[str, object]:
    """A comparison as the rules give it: its pairs are lists of two snapshots."""
    split = [pair.split("--") for pair in pairs]
    return {"name": name, "pairs": split, "untrained": untrained, "figures": []}


def of_results(
    results: Sequence[tables.Result], comparisons: Sequence[Mapping[str, object]], opening: Sequence[str] = ()
) -> str:
    table = tables.summarise(results)
    details = {(one.comparison, network_of(one.pair), one.measure): reading.of_store(one.store) for one in results}
    return reading.write(
        table, details, comparisons, opening, gain.correlations(table, dict.fromkeys(NETWORKS, "digits"))
    )


def written(measured: Measured, pairs: Sequence[str] = PAIRS, **nulls: float) -> str:
    return of_results(results_of(measured, pairs, **nulls), [comparison("same", pairs)])


def matched(**layers: Sequence[float]) -> Measured:
    return {"matching": {layer: {"mean_r_one_to_one": values} for layer, values in layers.items()}}


def test_write__is_a_page_with_a_paragraph_for_each_comparison() -> None:
    compared = [comparison("same"), comparison("other", PAIRS[:1])]
    text = of_results(results_of(matched(conv1=0.6 + SPREAD)), compared, ["**Networks and probe**.", "- Compared."])
    heading, *opening, first, sentence, second, footnote = text.split("\n\n")
    assert opening == ["**Networks and probe**.", "- Compared."]
    title, line = heading.split("\n")
    assert title.endswith("?")
    assert line == "=" * len(title)
    assert first == "**same**, 3 pairs of net."
    assert sentence.startswith("- Matched one to one")
    assert second == "**other**, 1 pair of net."
    assert "*summary.csv*" in footnote


def test_write__has_a_paragraph_for_each_network() -> None:
    """Two networks of one comparison with a layer of the same name are never mixed."""
    pairs = [*PAIRS, *(pair.replace("net", "net_s") for pair in PAIRS)]
    values = np.concatenate([0.9 + SPREAD, SPREAD - 0.5])
    _, *lists, _ = written(matched(conv1=values), pairs, untrained=0.2).split("\n\n")
    for title, sentence, network, mean, verdict in (
        (*lists[:2], "net", "0.90", "larger in ``conv1`` (+0.70"),
        (*lists[2:], "net_s", "-0.50", "smaller in ``conv1`` (-0.70"),
    ):
        assert title == f"**same**, 3 pairs of {network}."
        assert sentence == (
            f"- Matched one to one, units correlate by a mean r of {mean} (``conv1``). "
            f"Against the same seeds untrained, this is {verdict} ± {ERROR:.2f})."
        )


def test_write__has_no_paragraph_for_a_comparison_that_is_a_null() -> None:
    """By its name: another comparison may be of the same pairs."""
    untrained = [pair.replace("final", "init") for pair in PAIRS]
    comparisons = [comparison("look", untrained), comparison("same", untrained="start"), comparison("start", untrained)]
    text = of_results(results_of(matched(conv1=0.6 + SPREAD)), comparisons)
    assert "**look**" in text
    assert "**same**" in text
    assert "**start**" not in text


def test_write__gives_the_range_over_layers() -> None:
    text = written(matched(conv1=0.6 + SPREAD, conv2=0.3 + SPREAD, fc=0.5 + SPREAD))
    assert "units correlate by a mean r of 0.30 (``conv2``) to 0.60 (``conv1``)." in text


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("untrained", "the same seeds untrained"),
        ("rotated", "B's axes turned at random in the space they span"),
    ],
)
@pytest.mark.parametrize(
    ("errors", "verdict"),
    [(T + 0.01, "larger"), (T - 0.01, "not told apart"), (0.01 - T, "not told apart"), (-T - 0.01, "smaller")],
)
def test_write__judges_by_students_t(kind: str, what: str, errors: float, verdict: str) -> None:
    text = written(matched(conv1=0.2 + errors * ERROR + SPREAD), **{kind: 0.2})
    assert f"Against {what}, this is {verdict} in ``conv1`` ({errors * ERROR:+.2f} ± {ERROR:.2f})." in text
    assert text.count("Against") == 1


@pytest.mark.parametrize("seeds", [4, 5])
@pytest.mark.parametrize(("beyond", "verdict"), [(1.01, "larger"), (0.99, "not told apart")])
def test_write__takes_the_degrees_of_freedom_from_the_seeds(seeds: int, beyond: float, verdict: str) -> None:
    """Six pairs of four seeds have three degrees of freedom, ten of five four."""
    pairs = [f"net-s{p}-final--net-s{q}-final" for p, q in itertools.combinations(range(seeds), 2)]
    spread = np.linspace(-0.1, 0.1, len(pairs))
    bound = stats.t(seeds - 1).ppf(0.975) * tables.over_seeds(pairs, spread)[1]
    text = written(matched(conv1=0.2 + beyond * bound + spread), pairs, untrained=0.2)
    assert f"this is {verdict} in ``conv1``" in text


def test_write__judges_layer_by_layer() -> None:
    text = written(matched(a=0.8 + SPREAD, b=SPREAD - 0.4, c=0.2 + SPREAD, d=0.9 + SPREAD), untrained=0.2)
    assert (
        "larger in ``a`` (+0.60 ± 0.12), ``d`` (+0.70 ± 0.12), "
        "smaller in ``b`` (-0.60 ± 0.12), not told apart in ``c`` (+0.00 ± 0.12)."
    ) in text


def test_write__judges_nothing_below_three_seeds() -> None:
    text = written(matched(conv1=[0.9]), PAIRS[:1], untrained=0.1)
    assert "this is untested, for want of a standard error over at least three seeds, in ``conv1`` (+0.80)." in text


def test_write__tells_where_a_statistic_is_not_defined_for_every_pair() -> None:
    text = written(matched(conv1=0.6 + SPREAD, conv2=[0.6, np.nan, 0.5]), untrained=0.1)
    assert "``conv1`` (+0.50 ± 0.12), not defined for every pair, so untested, in ``conv2``." in text


def test_write__without_a_null_gives_no_verdict() -> None:
    text = written(matched(conv1=0.6 + SPREAD), permuted=0.0)
    assert "this is" not in text
    assert "LASSO" not in text
    assert "clusters" not in text


def test_write__tells_sparse_prediction() -> None:
    values = {
        "r2_best_single_ab": 0.3 + SPREAD,
        "r2_one_standard_error_ab": 0.5 + SPREAD,
        "mean_nonzero_one_standard_error_ab": [4, 5, 5],
    }
    text = written({"sparse_prediction": {"conv1": values}})
    assert (
        "the best single unit of A explains 30% (``conv1``) of the variance of a unit of B, "
        "a LASSO of 5 (``conv1``) units 50% (``conv1``)."
    ) in text
    assert "Matched" not in text


def test_write__names_the_network_as_a_whole() -> None:
    text = written({"cross_layer": {tables.WHOLE: {"share_same_layer_a": 0.7 + SPREAD}}}, untrained=0.2)
    assert (
        "- By debiased CKA 70% of the layers of A are most similar to the same layer of B. Against the same "
        f"seeds untrained, this is larger in the network as a whole (+50.0 ± {100 * ERROR:.1f} points)."
    ) in text


def test_write__tells_clusters() -> None:
    text = written({"clustering": {"conv1": {"share_clusters_with_both": 0.9 + SPREAD}}}, permuted_labels=0.25)
    assert (
        "Of the spectral clusters, 90% (``conv1``) hold units of both networks. "
        f"Against permuted labels, this is larger in ``conv1`` (+65.0 ± {100 * ERROR:.1f} points)."
    ) in text


def test_write__tells_what_similarity_is_worth() -> None:
    text = written(
        {
            "stitching": {
                "conv1": {
                    "accuracy_one_to_one": 0.6 + SPREAD,
                    "accuracy_lasso_few": 0.7 + SPREAD,
                    "accuracy_least_squares": [0.8] * 3,
                    "accuracy_intact": [0.9] * 3,
                }
            },
            "unit_removal": {"conv1": {"lost_shared_minus_rare": 0.3 + SPREAD}},
            "ensemble": {tables.WHOLE: {"gain": [0.012] * 3, "error_correlation": [0.4] * 3}},
        },
        untrained_sender=0.1,
        variance=0.3,
        permuted_within_classes=0.2,
    )
    assert (
        "- With a layer of the other network matched one to one, a network answers 60% (``conv1``) right, with all "
        "units of it mapped by least squares 80% (``conv1``), by itself 90% (``conv1``). Against the other network "
        f"untrained, the first is larger in ``conv1`` (+50.0 ± {100 * ERROR:.1f} points)."
    ) in text
    assert "by the LASSO, it answers 70% (``conv1``) right. Against the other network untrained, this is larger" in text
    assert (
        "Without the most shared quarter of the units of a layer a network answers 30.0% (``conv1``) of the images "
        "less right than without the rarest. Against units removed by their variance, this is not told apart in"
    ) in text
    assert "gains 1.2% of the images over the mean accuracy of both; their errors correlate by 0.40." in text


def test_write__tells_which_figure_shows_it_where_it_is_drawn() -> None:
    results = results_of({**matched(fc1=0.6 + SPREAD), "rsa": {"fc1": {"spearman_correlation": SPREAD}}})
    text = of_results(results, [comparison("same") | {"figures": ["matching_by_depth", "matching_curves"]}])
    assert text.count("(Figure") == 1
    assert "by a mean r of 0.60 (``fc1``). (Figure *matching_by_depth*.)" in text


def of_subspaces(**statistics: Sequence[float]) -> list[tables.Result]:
    """Results whose minimal matches are at ε = 0.4."""
    results = results_of({"subspace_match": {"fc1": statistics}}, untrained=0.25)
    for result in results:
        result.store.layers["fc1"]["minimal_size"] = ("start", [2], {"epsilon": 0.4})
    return results


@pytest.mark.parametrize(
    ("reported", "told"), [(("0.15", "0.3", "0.5"), "0.3"), (("0.1", "0.25", "0.5"), "0.25"), (("1",), "1")]
)
def test_write__tells_the_maximum_match_at_the_reported_distance_next_to_a_third(
    reported: Sequence[str], told: str
) -> None:
    values = {f"similarity_at_{epsilon}": float(epsilon) / 2 + SPREAD for epsilon in reported}
    text = of_results(of_subspaces(**values), [comparison("same")])
    excess = float(told) / 2 - 0.25
    assert f"- At ε = {told} the maximum match holds {float(told) / 2:.0%} (``fc1``) of the units. Against" in text
    assert f"({100 * excess:+.1f} ± {100 * ERROR:.1f} points)" in text
    assert text.count("maximum match") == 1


def test_write__tells_the_size_of_minimal_matches() -> None:
    sizes = {"median_minimal_size": 3.5 + SPREAD, "share_minimal_pairs": 0.2 + SPREAD}
    text = of_results(of_subspaces(**sizes), [comparison("same")])
    assert (
        "- The median size of minimal matches at ε = 0.4 is 3.5 (``fc1``), in units of both networks together; the "
        "share that is one unit of each is 20% (``fc1``). Against the same seeds untrained, the first is larger in "
        f"``fc1`` (+3.25 ± {ERROR:.2f})."
    ) in text


def test_write__says_where_no_minimal_match_was_searched() -> None:
    nothing = {"median_minimal_size": [np.nan] * 3, "share_minimal_pairs": [np.nan] * 3}
    text = of_results(of_subspaces(**nothing), [comparison("same")])
    assert "minimal matches at ε = 0.4 is not defined in any layer, in units" in text


@pytest.mark.parametrize("bypassed", [(), ("block1",), ("block1", "block2")])
def test_write__says_where_the_receiver_sees_past_the_stitched_layer(bypassed: Sequence[str]) -> None:
    accuracies = {f"accuracy_{name}": [0.8] * 3 for name in ("one_to_one", "lasso_few", "least_squares", "intact")}
    results = results_of({"stitching": dict.fromkeys(("block1", "stem", "block2"), accuracies)})
    for result in results:
        for layer, dataset in result.store.layers.items():
            dataset.attrs["bypassed"] = int(layer in bypassed)
    text = of_results(results, [comparison("same")])
    named = ", ".join(f"``{layer}``" for layer in bypassed)
    past = f" A skip connection bypasses {named}: there the receiver sees the images past the layer as well."
    assert f"by itself 80%.{past if bypassed else ''}\n" in text
    assert text.count("bypass") == bool(bypassed)


def of_ensembles(pairs: Sequence[str], dissimilarity: Sequence[float], gained: Sequence[float]) -> list[tables.Result]:
    values = {"gain": gained, "error_correlation": [0.5] * len(pairs)}
    alike = results_of(matched(conv1=dissimilarity, fc1=1 - np.array(dissimilarity)), pairs)
    return results_of({"ensemble": {tables.WHOLE: values}}, pairs) + [
        tables.Result("same", result.pair, "ensemble", gain.of_pair(result.store), None) for result in alike
    ]


@pytest.mark.parametrize(
    ("noise", "verdict"), [(0.001, "beyond 0"), (0.4, "not told apart from 0")], ids=["predicts", "does not"]
)
def test_write__tells_whether_dissimilarity_predicts_the_gain(noise: float, verdict: str) -> None:
    """Of the last layer alone, over the pairs of four seeds."""
    pairs = [f"net-s{p}-final--net-s{q}-final" for p, q in itertools.combinations(range(4), 2)]
    dissimilarity = np.linspace(0.8, 0.3, 6)
    gained = dissimilarity + noise * np.random.default_rng(1).standard_normal(6)
    r, error, _ = tables.correlation_over_seeds(pairs, dissimilarity, gained)
    text = of_results(of_ensembles(pairs, dissimilarity, gained), [comparison("same", pairs)])
    told = f"this gain and 1 − the mean r one to one in ``fc1`` correlate by {r:.2f} ± {error:.2f}, {verdict}. (Figure"
    assert text.count("correlate by") == 2  # errors do, too
    assert told in text


def test_write__pools_the_gains_of_several_networks() -> None:
    """By Student's t over six trainings."""
    both = [*PAIRS, *(pair.replace("net", "other") for pair in PAIRS)]
    dissimilarity = np.array([0.1, 0.2, 0.3, 0.5, 0.6, 0.8])
    gained = np.array([0.2, 0.1, 0.4, 0.3, 0.5, 0.6])
    r, error, trainings = tables.correlation_over_seeds(both, dissimilarity, gained)
    assert trainings == 6
    assert stats.t(5).ppf(0.975) < r / error < stats.t(4).ppf(0.975)
    text = of_results(of_ensembles(both, dissimilarity, gained), [comparison("same", both)])
    assert text.count("Over the pairs, this gain") == 2
    assert (
        "\n\n**same**. Over all 6 pairs on digits, gain and 1 − the mean r one to one in ``fc1`` correlate by "
        f"{r:.2f} ± {error:.2f}, beyond 0. (Figure *ensemble* of *all*.)\n\n±"
    ) in text


def test_write__pools_the_gains_of_two_comparisons_of_one_network() -> None:
    mixed = [f"net-s{p}-final--net-s{p}-final" for p in range(3)]
    results = of_ensembles(PAIRS, 0.4 + SPREAD, 0.1 + SPREAD)
    results += [replace(result, comparison="mixed") for result in of_ensembles(mixed, 0.5 + SPREAD, 0.2 - SPREAD)]
    text = of_results(results, [comparison("same"), comparison("mixed", mixed)])
    assert "**same and mixed**. Over all 6 pairs on digits, gain" in text


def test_write__says_where_the_error_of_the_gain_is_not_defined() -> None:
    """Four seeds; without the last one, three pairs of the same gain are left."""
    pairs = [f"net-s{p}-final--net-s{q}-final" for p, q in itertools.combinations(range(4), 2)]
    gained = [0.1 if "net-s3" not in pair else 0.1 * i for i, pair in enumerate(pairs)]
    text = of_results(of_ensembles(pairs, np.linspace(0.3, 0.8, 6), gained), [comparison("same", pairs)])
    assert "untested, as it is not defined without every one of the seeds." in text


def test_write__needs_four_seeds_to_judge_the_gain() -> None:
    text = of_results(of_ensembles(PAIRS, 0.4 + SPREAD, 0.1 + SPREAD), [comparison("same")])
    assert "correlate by 1.00, untested, for want of four seeds." in text
    without = {"gain": 0.1 + SPREAD, "error_correlation": SPREAD}
    assert "Over the pairs" not in written({"ensemble": {tables.WHOLE: without}})
