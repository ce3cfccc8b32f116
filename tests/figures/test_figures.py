"""Every figure, drawn from results that are whole, dead in a layer, of one pair, or without an untrained null."""

import importlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from convergent import activations, bins, folds, grids, histograms, joint_histograms, moments, rdms, samples, shown
from convergent.figures import mosaic, order, style
from convergent.measures.clustering import clustering
from convergent.measures.correlation import correlation
from convergent.measures.cross_layer import cross_layer
from convergent.measures.ensemble import ensemble
from convergent.measures.layer_pairs import indices, layer_pairs
from convergent.measures.matching import matching
from convergent.measures.mutual_information import mutual_information
from convergent.measures.rsa import rsa
from convergent.measures.similarity import similarity
from convergent.measures.sparse_prediction import sparse_prediction
from convergent.measures.statistics import statistics
from convergent.measures.stitching import stitching
from convergent.measures.subspace_match import subspace_match
from convergent.measures.subspace_match_sampled import subspace_match_sampled
from convergent.measures.unit_removal import ORDERS, unit_removal
from convergent.plan import jobs
from convergent.steps.figure import FIGURES
from convergent.store import Store

LAYERS = ("conv", "fc", "dead")
NET = "net-s{}-{}"
FUNCTIONAL = ("stitching", "unit_removal", "ensemble")
Stores = dict[str, list[Store]]


def layers_of(seed: int, shared: dict[str, np.ndarray], strength: float) -> dict[str, xr.DataArray]:
    """A convolutional layer, a fully connected one with a dead unit, and one that is dead."""
    generator = np.random.default_rng([seed, int(100 * strength)])
    label = xr.DataArray(np.arange(40) % 3, dims="image")
    found = {}
    for name, base in shared.items():
        noise = generator.standard_normal(base.shape)
        values = np.maximum(strength * base + noise, 0) if name != "dead" else np.zeros(base.shape)
        values[..., -1] *= name != "fc"
        dims = ("image", "y", "x", "unit") if base.ndim == 4 else ("image", "unit")
        found[name] = activations.label(xr.DataArray(values, dims=dims).assign_coords(label=label), folds=4)
    return found


def patches_of(pair: xr.Dataset) -> xr.Dataset:
    """Patches of all units of a pair: random colours, the last rank without an image."""
    generator = np.random.default_rng(1)
    found = {}
    for side in "ab":
        units, dims = pair.sizes[f"unit_{side}"], (f"unit_{side}", "rank", "patch_y", "patch_x")
        colours = (*dims, "channel"), generator.integers(0, 255, (units, 3, 6, 5, 3)).astype(np.uint8)
        inside = np.ones((units, 3, 6, 5), dtype=np.int8)
        inside[:, 0, 4:], inside[:, 2] = 0, 0
        found |= {
            f"patch_{side}": colours,
            f"deconvolution_{side}": ((*dims, "channel"), generator.uniform(-1, 1, (units, 3, 6, 5, 3))),
            f"guided_backpropagation_{side}": ((*dims, "channel"), generator.uniform(-1, 1, (units, 3, 6, 5, 3))),
            f"inside_{side}": (dims, inside),
            f"preferred_{side}": ((dims[0], *dims[2:], "channel"), colours[1][:, 0]),
        }
    return xr.Dataset(found, {f"unit_{side}": pair[f"unit_{side}"].values for side in "ab"})


def pair_of(a: dict[str, xr.DataArray], b: dict[str, xr.DataArray], names: dict[str, str]) -> dict[str, Store]:
    """Every measure of a pair."""
    found: dict[str, dict[str, xr.Dataset]] = {}
    for name in LAYERS:
        x, y = a[name], b[name]
        pair = moments.of(x, y)
        predicted = sparse_prediction(pair, alphas=4, smallest=0.1)
        counted = joint_histograms.between(x, y, bins.edges(x, bins=3), bins.edges(y, bins=3))
        rows = [side.mean([dim for dim in ("y", "x") if dim in side.dims]) for side in (x, y)]
        results = {
            "correlation": correlation(pair),
            "patches": patches_of(pair),
            "matching": matching(pair, *rows, rotations=3, permutations=3),
            "mutual_information": mutual_information(counted, pair),
            "sparse_prediction": predicted,
            "clustering": clustering(pair, predicted["coefficient_ab"], repeats=2),
            "subspace_match": subspace_match(pair, minimal_epsilon=0.9, starts=3, orders=2),
            "similarity": similarity(pair, *rows, permutations=3),
            "rsa": rsa(rdms.of(x), rdms.of(y), permutations=3),
        }
        for measure, result in results.items():
            found.setdefault(measure, {})[name] = result
        drawn = samples.between(x, y, positions=20, draws=2, seed=0)
        found.setdefault("subspace_match_sampled", {})[name] = subspace_match_sampled(drawn)
    pooled = [
        {name: side[name].mean(["y", "x"]) if name == "conv" else side[name] for name in LAYERS} for side in (a, b)
    ]
    found |= functional(np.random.default_rng([*"".join(names.values()).encode()]), pooled)
    return {measure: Store(layers, names | {"units": 2, "data": "digits"}) for measure, layers in found.items()} | {
        "cross_layer": Store({"/": cross_layer(*pooled)}, names),
        "layer_pairs": Store({"/": of_layer_pairs(a, b)}, names),
    }


def of_layer_pairs(a: dict[str, xr.DataArray], b: dict[str, xr.DataArray]) -> xr.Dataset:
    found = {(p, q): grids.matched(x, y) for p, x in a.items() for q, y in b.items()}
    return layer_pairs(
        {pair: indices(moments.of(x, y)) for pair, (x, y, _) in found.items()},
        {pair: grid for pair, (_, _, grid) in found.items()},
    )


def functional(
    generator: np.random.Generator, sides: list[dict[str, xr.DataArray]]
) -> dict[str, dict[str, xr.Dataset]]:
    """Measures of networks altered, of answers at random."""
    names = ["mean", "identity", "one_to_one", "lasso_0.5", "lasso_0.01", "least_squares"]
    alpha = ("map", [np.nan, np.nan, np.nan, 0.5, 0.01, np.nan])
    scores = xr.Dataset(
        {
            "accuracy": (("direction", "map", "fold"), generator.random((2, 6, 4))),
            "intact": (("direction", "fold"), generator.random((2, 4))),
            "n_weights": (("direction", "map"), [[0, 1, 1, 0.5, 3, 4]] * 2),
        },
        {"direction": ["a_to_b", "b_to_a"], "map": np.array(names, dtype=np.dtypes.StringDType()), "alpha": alpha},
    )
    dims = ("side", "order", "share", "fold")
    accuracy = xr.DataArray(generator.random((2, len(ORDERS) + 2, 3, 4)), {"share": [0, 0.25, 1]}, dims)
    units = [generator.random(5), generator.random(5)]
    answers = []
    for side in sides:
        logit = xr.DataArray(generator.random((40, 3)), dims=("image", "class"))
        of = side["conv"].coords
        kept = {name: of[name] for name in ("image_id", "label", "fold")}
        answers.append(logit.to_dataset(name="logit").assign_coords(kept | {"class": ["x", "y", "z"]}))
    return {
        "stitching": {name: stitching(scores, 0.3).assign_attrs(bypassed=int(name == "fc")) for name in LAYERS},
        "unit_removal": {name: unit_removal(accuracy, units, units) for name in LAYERS},
        "ensemble": {"/": ensemble(*answers, permutations=3)},
    }


def stores_of(seeds: int, stage: str, strength: float) -> Stores:
    generator = np.random.default_rng(0)
    shared = {"conv": (40, 2, 2, 4), "fc": (40, 5), "dead": (40, 3)}
    base = {name: generator.standard_normal(shape) for name, shape in shared.items()}
    networks = [layers_of(seed, base, strength) for seed in range(seeds)]
    pairs = [
        pair_of(networks[i], networks[j], {"snapshot_a": NET.format(i, stage), "snapshot_b": NET.format(j, stage)})
        for i, j in itertools.combinations(range(seeds), 2)
    ]
    of_measure: Stores = {measure: [pair[measure] for pair in pairs] for measure in pairs[0]}
    of_measure["statistics"] = [
        Store(
            {name: statistics(moments.within(x), histograms.of_units(x)) for name, x in network.items()},
            {"snapshot": NET.format(seed, stage)},
        )
        for seed, network in enumerate(networks)
    ]
    return of_measure


@pytest.fixture(scope="module")
def trained() -> Stores:
    return stores_of(3, "final", 2.0)


@pytest.fixture(scope="module")
def untrained() -> Stores:
    return stores_of(3, "init", 0.5)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Figure], int]:
    """Draw a figure into a file; its size in bytes."""

    def save(figure: Figure) -> int:
        figure.savefig(tmp_path / "figure.png")
        return (tmp_path / "figure.png").stat().st_size

    return save


@pytest.mark.parametrize("name", FIGURES)
def test_draw__names_every_layer_and_what_is_compared(
    name: str, trained: Stores, untrained: Stores, saved: Callable[[Figure], int]
) -> None:
    figure = importlib.import_module(f"convergent.figures.{name}").draw(trained, untrained)
    assert saved(figure) > 10_000
    written = texts(figure)
    assert all(layer in written for layer in (LAYERS[-1:] if name == "ensemble" else LAYERS))
    of_one_pair = name in jobs.FIGURES_OF_ONE_PAIR
    # Altered, an untrained network has nothing to lose.
    alone = (of_one_pair and name not in jobs.FIRST_UNTRAINED) or name in FUNCTIONAL
    assert ("net-s0-final" if of_one_pair else "final") in written
    assert ("untrained" in written) != alone
    assert any(axis.get_xlabel() or axis.get_ylabel() for axis in figure.findobj(lambda a: hasattr(a, "get_xlabel")))


@pytest.mark.parametrize("name", FIGURES)
def test_draw__needs_neither_an_untrained_null_nor_a_second_pair(
    name: str, trained: Stores, saved: Callable[[Figure], int]
) -> None:
    one = {measure: stores[:1] for measure, stores in trained.items()}
    figure = importlib.import_module(f"convergent.figures.{name}").draw(one, {})
    assert saved(figure) > 5_000
    assert "untrained" not in texts(figure)


def test_matching_by_depth__draws_the_mean_over_pairs(trained: Stores, untrained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.matching_by_depth").draw(trained, untrained)
    lines = [line.get_ydata() for line in figure.axes[1].lines if line.get_marker() == "o"]
    expected = [
        np.mean([float(s.layers[name]["summary"].sel(statistic="mean_r_one_to_one")) for s in trained["matching"]])
        for name in LAYERS
    ]
    np.testing.assert_allclose(lines[0], expected)
    assert np.isnan(expected[LAYERS.index("dead")])


def test_subspace_match__draws_the_curve_of_every_pair(trained: Stores, untrained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.subspace_match").draw(trained, untrained)
    drawn = [np.asarray(line.get_ydata()) for line in figure.axes[0].lines]
    for store in trained["subspace_match"]:
        curve = store.layers["conv"]["curve"].values
        assert any(len(y) == len(curve) and np.allclose(y, curve) for y in drawn)


def test_subspace_match__draws_the_mean_over_pairs_with_its_error_over_seeds() -> None:
    """By hand: means without seed 0, 1, 2 are those of the last, the second, the first pair."""
    stores = []
    for (i, j), share in zip(itertools.combinations(range(3), 2), (0.6, 0.8, 1.0), strict=True):
        curves = {name: ("distance", [0, share]) for name in ("curve", "curve_permuted", "curve_chance")}
        sizes = {"minimal_size": ("start", [2], {"epsilon": 0.5})}
        layer = xr.Dataset(curves | sizes, {"distance": [0.0, 1.0], "epsilon": [0.5]})
        names = {"snapshot_a": NET.format(i, "final"), "snapshot_b": NET.format(j, "final")}
        stores.append(Store({"conv": layer}, names))
    axis = importlib.import_module("convergent.figures.subspace_match").draw({"subspace_match": stores}, {}).axes[0]
    (mean,) = (line for line in axis.lines if line.get_label() == "final")
    np.testing.assert_allclose(mean.get_ydata(), [0, 0.8])
    band = axis.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(np.ptp(band[band[:, 0] == 1, 1]), 2 * np.sqrt(2 / 3 * 2 * 0.2**2))


def test_correlation_matrices__put_matched_units_on_the_diagonal(trained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.correlation_matrices").draw(trained, {})
    matched = figure.axes[3 * len(LAYERS)].images[0].get_array()
    r = trained["matching"][0].layers["conv"]["r_one_to_one_a"].values
    np.testing.assert_allclose(np.diag(matched), np.sort(r)[::-1])
    assert folds.RESOLUTION < np.abs(matched).max() <= 1


def test_correlation_matrices__match_the_null_anew(trained: Stores) -> None:
    """By the best of all assignments of four units."""
    figure = importlib.import_module("convergent.figures.correlation_matrices").draw(trained, {})
    drawn = figure.axes[4 * len(LAYERS)].images[0].get_array()
    r = trained["correlation"][0].layers["conv"]["r_permuted"].values
    best = max(itertools.permutations(range(4)), key=lambda columns: r[range(4), columns].sum())
    np.testing.assert_allclose(np.diag(drawn), np.sort(r[range(4), best])[::-1])
    np.testing.assert_allclose(np.sort(drawn, axis=None), np.sort(r, axis=None))


def test_clusters__shows_what_both_nulls_leave(trained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.clusters").draw(trained, {})
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[3].lines}
    measured = (
        trained["clustering"][0].layers["conv"].sel(statistic=["share_clusters_with_both", "mean_r_within_clusters"])
    )
    np.testing.assert_array_equal(drawn["as recorded"], measured["summary"])
    for label, kind in (("B's images permuted", "permuted"), ("labels permuted", "permuted_labels")):
        np.testing.assert_array_equal(drawn[label], measured["summary_null"].sel(null_kind=kind))


def test_correlation_matrices__show_both_networks_and_what_is_between_as_recorded(trained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.correlation_matrices").draw(trained, {})
    for row, (name, (rows, columns)) in enumerate({"r_a": "AA", "r_b": "BB", "r": "AB"}.items()):
        for axis, layer in zip(figure.axes[row * len(LAYERS) :], LAYERS, strict=False):
            drawn = np.ma.filled(axis.images[0].get_array(), np.nan)
            np.testing.assert_array_equal(drawn, trained["correlation"][0].layers[layer][name].values)
            assert axis.get_xlabel() == f"units of {columns}"
        assert figure.axes[row * len(LAYERS)].get_ylabel().endswith(f"units of {rows}")


def test_matrix__keeps_a_diagonal_that_is_finer_than_pixels(tmp_path: Path) -> None:
    """As a picture: of 250 units every row of a panel of 110 × 100 pixels shows some."""
    figure = Figure(figsize=(1, 1.1), dpi=100)
    style.matrix(figure.add_axes((0, 0, 1, 1)), np.eye(250))
    figure.savefig(tmp_path / "figure.png")
    green = imread(tmp_path / "figure.png")[2:-2, 2:-2, 1]  # without the border
    assert green.max() > 0.95
    assert green.min(axis=1).max() < 0.8


def test_order__puts_partners_on_the_diagonal_and_the_unmatched_last() -> None:
    """By hand: unit 11 of A is dead, unit 22 of B has no partner."""
    found = xr.Dataset(
        {"r_one_to_one_a": ("unit_a", [0.2, np.nan, 0.9]), "partner_one_to_one_a": ("unit_a", [23, -1, 21])},
        {"unit_a": [10, 11, 12], "unit_b": [21, 22, 23]},
    )
    rows, columns = order.matched(found)
    assert (list(rows), list(columns)) == ([2, 0, 1], [0, 2, 1])


def matching_of(semi: list[list[float]], one_to_one: list[list[float]]) -> list[Store]:
    """The three pairs of three seeds, r of the units of A of each."""
    names = [NET.format(seed, "final") for seed in range(3)]
    return [
        Store(
            {
                "conv": xr.Dataset(
                    {
                        "r_semi_a": ("unit_a", best),
                        "r_one_to_one_a": ("unit_a", matched),
                        "r_semi_ranked_null_a": (("null_kind", "rank_a"), [[0.3, 0.3, np.nan], [0.2] * 3]),
                    },
                    {"null_kind": ["permuted", "rotated"]},
                )
            },
            {"snapshot_a": a, "snapshot_b": b},
        )
        for (a, b), best, matched in zip(itertools.combinations(names, 2), semi, one_to_one, strict=True)
    ]


def test_matching_curves__keep_the_units_of_both_in_one_order() -> None:
    """By hand: a dead unit of the first pair, and one of the second that no partner is left for; two ranks are shared.

    The pairs without seed 0, 1, 2 are the last, the second, the first: r of the first rank 0.6, 0.8, 1.
    """
    nan = np.nan
    stores = matching_of(
        [[0.5, nan, 1.0], [0.4, 0.8, 0.9], [0.1, 0.2, 0.6]], [[0.3, nan, 0.2], [0.1, 0.7, nan], [0.1, -0.4, 0.6]]
    )
    axis = importlib.import_module("convergent.figures.matching_curves").draw({"matching": stores}, {}).axes[0]
    lines = {str(line.get_label()): np.asarray(line.get_xydata()).T for line in axis.lines}
    np.testing.assert_allclose(lines["final, best partner"], [[1, 2], [0.8, (0.5 + 0.4 + 0.2) / 3]])
    np.testing.assert_allclose(lines["final, one to one"], [[1, 2], [0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(lines["first pair, one to one"], [[1, 2], [0.2, 0.3]])
    for kind, null in (("B's images permuted", 0.3), ("B's axes rotated", 0.2)):
        np.testing.assert_allclose(lines[f"{kind}, best partner"], [[1, 2], [null, null]])
    band = axis.collections[0].get_paths()[0].vertices
    error = np.sqrt(2 / 3 * 2 * 0.2**2)
    np.testing.assert_allclose(np.ptp(band[band[:, 0] == 1, 1]), 2 * error)


def test_matching_curves__have_no_band_of_two_seeds() -> None:
    stores = matching_of([[0.5]] * 3, [[0.5]] * 3)[:1]
    axis = importlib.import_module("convergent.figures.matching_curves").draw({"matching": stores}, {}).axes[0]
    assert not any(band.get_paths() for band in axis.collections)


def of_similarity(stage: str, values: list[float], null: float) -> list[Store]:
    """The three pairs of three seeds, their similarity at 0.5 in both of two layers; at 0.25 it is half of that."""
    names = [NET.format(seed, stage) for seed in range(3)]
    pairs = itertools.combinations(names, 2)
    text = np.dtypes.StringDType()
    coordinates = {
        "epsilon": [0.5, 0.25],
        "statistic": np.array(["similarity_at_0.5", "similarity_at_0.25"], dtype=text),
        "null_kind": np.array(["chance", "permuted"], dtype=text),
    }
    found = []
    for (a, b), value in zip(pairs, values, strict=True):
        nulls = [[1, 1], [null, null / 2]]
        variables = {
            "summary": ("statistic", [value, value / 2]),
            "summary_null": (("null_kind", "statistic"), nulls),
        }
        one = xr.Dataset(variables, coordinates)
        found.append(Store({"conv": one, "fc": one}, {"snapshot_a": a, "snapshot_b": b}))
    return found


def test_subspace_match_by_depth__has_a_line_and_a_null_of_every_epsilon() -> None:
    """By hand: means over pairs, errors of leaving out one seed; both ε in order, the null in the colour of its own."""
    trained = {"subspace_match": of_similarity("final", [0.6, 0.8, 1.0], 0.2)}
    untrained = {"subspace_match": of_similarity("init", [0.2, 0.3, 0.4], 0.1)}
    figure = importlib.import_module("convergent.figures.subspace_match_by_depth").draw(trained, untrained)
    drawn = (("final", 0.8, np.sqrt(2 / 3 * 2) * 0.2, 0.2), ("untrained", 0.3, np.sqrt(2 / 3 * 2) * 0.1, 0.1))
    for axis, (title, mean, error, null) in zip(figure.axes, drawn, strict=True):
        assert axis.get_title() == title
        small, small_null, large, large_null = axis.containers
        for of_epsilon, share in (((small, small_null), 0.5), ((large, large_null), 1)):
            (line, _, (bars,)), (dashed, *_) = of_epsilon
            np.testing.assert_allclose(line.get_ydata(), 2 * [share * mean])
            np.testing.assert_allclose([np.ptp(bar[:, 1]) for bar in bars.get_segments()], 2 * [2 * share * error])
            np.testing.assert_allclose(dashed.get_ydata(), 2 * [share * null])
            assert dashed.get_linestyle() == "--"
            np.testing.assert_array_equal(dashed.get_color(), line.get_color())
        assert (small.get_label(), large.get_label()) == ("ε = 0.25", "ε = 0.5")


def of_weights(ab: np.ndarray, ba: np.ndarray, live_a: list[bool], live_b: list[bool], r: list[float]) -> Stores:
    """Stores of a pair with these weights, in which unit i of A is matched with the unit of B before the i-th last."""
    size_a, size_b = len(live_a), len(live_b)
    sparse = xr.Dataset(
        {
            "coefficient_ab": (("unit_b", "unit_a"), ab),
            "coefficient_ba": (("unit_a", "unit_b"), ba),
            "alpha_one_standard_error_ab": ("unit_b", np.where(live_b, 0.1, np.nan)),
            "alpha_one_standard_error_ba": ("unit_a", np.where(live_a, 0.1, np.nan)),
        }
    )
    partners = np.where(live_a, size_b - 1 - np.arange(size_a), -1)
    matched = xr.Dataset(
        {"r_one_to_one_a": ("unit_a", r), "partner_one_to_one_a": ("unit_a", partners)},
        {"unit_a": np.arange(size_a), "unit_b": np.arange(size_b)},
    )
    names = {"snapshot_a": NET.format(0, "final"), "snapshot_b": NET.format(1, "final")}
    return {"sparse_prediction": [Store({"fc": sparse}, names)], "matching": [Store({"fc": matched}, names)]}


def test_mapping_weights__put_partners_on_the_diagonal_and_count_predictors() -> None:
    """By hand: units 0, 2, 1 of A from best to worst are matched with 2, 0, 1 of B; unit 1 of both is dead."""
    ab = np.array([[0.1, 0, 0.7], [0, 0, 0], [0.9, 0, 0]])
    ba = np.array([[0, 0, 0], [0, 0, 0], [0.5, 0, 0]])
    stores = of_weights(ab, ba, [True, False, True], [True, False, True], [0.8, np.nan, 0.6])
    upper, lower, *_ = importlib.import_module("convergent.figures.mapping_weights").draw(stores, {}).axes
    drawn = np.ma.filled(upper.images[0].get_array(), np.nan)
    nan = np.nan
    np.testing.assert_array_equal(drawn, [[0.9, 0, nan], [0.1, 0.7, nan], [nan, nan, nan]])
    steps = {line.get_label(): np.asarray(line.get_xydata()).T for line in lower.lines}
    np.testing.assert_array_equal(steps["units of B from those of A"], [[0, 1, 2, 3], [0, 0.5, 1, 1]])
    np.testing.assert_array_equal(steps["units of A from those of B"], [[0, 1, 2, 3], [0.5, 1, 1, 1]])


def test_mapping_weights__stand_beside_those_of_the_same_seeds_untrained() -> None:
    """By hand: trained, one predictor a unit; untrained, of unit 1 of B both, and unit 1 of A is matched best."""
    live = [True, True]
    trained = of_weights(np.eye(2), np.eye(2), live, live, [0.8, 0.6])
    untrained = of_weights(np.array([[0.3, 0], [0.2, 0.4]]), np.eye(2), live, live, [0.6, 0.8])
    figure = importlib.import_module("convergent.figures.mapping_weights").draw(trained, untrained)
    upper, middle, lower, *_ = figure.axes
    np.testing.assert_array_equal(upper.images[0].get_array(), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(middle.images[0].get_array(), [[0, 0.3], [0.4, 0.2]])
    steps = {line.get_label(): line.get_ydata() for line in lower.lines}
    np.testing.assert_array_equal(steps["units of B from those of A"], [0, 1, 1, 1])
    np.testing.assert_array_equal(steps["untrained, units of B from those of A"], [0, 0.5, 1, 1])


def test_mapping_weights__show_the_largest_of_a_block_where_a_layer_is_wide() -> None:
    """By hand: 300 units in blocks of three, the last dead block grey; the mean of a block of nine would be pale."""
    ab, live = np.zeros((300, 300)), [True] * 297 + [False] * 3
    ab[299 - 4, 5], ab[299 - 3, 3] = -0.4, 0.3  # of partners 3, 4, 5, which stand in the second block
    stores = of_weights(ab, ab.T, live, [True] * 300, [*np.linspace(1, 0.1, 297), *[np.nan] * 3])
    axis = importlib.import_module("convergent.figures.mapping_weights").draw(stores, {}).axes[0]
    drawn = np.ma.filled(axis.images[0].get_array(), np.nan)
    expected = np.zeros((100, 100))
    expected[1, 1], expected[:, 99] = -0.4, np.nan
    np.testing.assert_array_equal(drawn, expected)


def test_stitching__shows_an_untrained_sender_where_there_is_one(trained: Stores) -> None:
    found = [
        Store(
            {
                name: layer.assign(accuracy_untrained=layer["accuracy"] / 2, n_weights_untrained=layer["n_weights"])
                for name, layer in store.layers.items()
            },
            store.attributes,
        )
        for store in trained["stitching"]
    ]
    figure = importlib.import_module("convergent.figures.stitching").draw({"stitching": found}, {})
    assert "untrained sender, one to one" in texts(figure)


def test_stitching__marks_the_layers_that_a_skip_connection_bypasses(trained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.stitching").draw(trained, {})
    assert [axis.get_title() for axis in figure.axes] == ["conv", "fc\nbypassed by a skip connection", "dead"]


def of_ensembles(pairs: list[tuple[str, str]], gained: list[float], **attributes: str) -> list[Store]:
    """Gains of pairs ± 0.01, under the null 0.5."""
    coordinates = {"statistic": ["gain"], "null_kind": ["permuted_within_classes"]}
    found = []
    for (a, b), value in zip(pairs, gained, strict=True):
        variables = {
            "summary": ("statistic", [value]),
            "summary_standard_error": ("statistic", [0.01]),
            "summary_null": (("null_kind", "statistic"), [[0.5]]),
        }
        names = {"snapshot_a": a, "snapshot_b": b, "data": "digits"} | attributes
        found.append(Store({"/": xr.Dataset(variables, coordinates)}, names))
    return found


def of_last_layers(r: list[float], last_b: str) -> list[Store]:
    names = {"layer_a": ["conv", "fc"], "layer_b": ["conv", last_b]}
    dims = ("layer_a", "layer_b")
    return [Store({"/": xr.Dataset({"r_one_to_one": (dims, [[0, 0], [0, value]])}, names)}, {}) for value in r]


def test_ensemble__pools_pairs_within_and_across_networks_in_one_panel(saved: Callable[[Figure], int]) -> None:
    """By hand: three pairs of one network and two of different ones; matching is not drawn where there is better."""
    seeds = [(NET.format(i, "final"), NET.format(j, "final")) for i, j in itertools.combinations(range(3), 2)]
    across = [(NET.format(i, "final"), f"wide-s{i + 1}-final") for i in range(2)]
    gained = [0.1, 0.2, 0.1, 0.3, 0.4]
    stores = {
        "ensemble": of_ensembles(seeds, gained[:3]) + of_ensembles(across, gained[3:]),
        "layer_pairs": of_last_layers([0.7, 0.7, 0.6], "fc") + of_last_layers([0.3, 0.2], "block"),
        "matching": [],
    }
    figure = importlib.import_module("convergent.figures.ensemble").draw(stores, {})
    assert saved(figure) > 10_000
    upper, axis = figure.axes
    r = np.corrcoef([0.3, 0.3, 0.4, 0.7, 0.8], gained)[0, 1]
    assert upper.get_title().startswith(f"final, digits: over 5 pairs, r = {r:.2f}")
    assert axis.get_xlabel() == "1 − mean r one to one, last layers"
    one, two = axis.containers
    assert (one.get_label(), two.get_label()) == ("net", "net and wide")
    np.testing.assert_allclose(one.lines[0].get_xydata(), [[0.3, 0.1], [0.3, 0.2], [0.4, 0.1]])
    np.testing.assert_allclose(two.lines[0].get_xydata(), [[0.7, 0.3], [0.8, 0.4]])
    assert [line.get_color() for line in upper.lines] == [one.lines[0].get_color(), two.lines[0].get_color()]
    np.testing.assert_allclose(upper.lines[1].get_xydata(), [[0.7, 0.5], [0.8, 0.5]])


def test_ensemble__has_a_panel_for_each_stage_and_data_set() -> None:
    pairs = [(NET.format(0, stage), NET.format(1, stage)) for stage in ("final", "epoch2")]
    stores = {
        "ensemble": of_ensembles(pairs, [0.1, 0.2]) + of_ensembles(pairs[:1], [0.3], data="cifar10"),
        "layer_pairs": of_last_layers([0.7, 0.6, 0.5], "fc"),
    }
    figure = importlib.import_module("convergent.figures.ensemble").draw(stores, {})
    titles = [axis.get_title() for axis in figure.axes[:3]]
    assert titles == [f"{of}: over 1 pair, r undefined" for of in ("final, digits", "epoch2, digits", "final, cifar10")]


def test_ensemble__takes_the_last_layer_of_matching_where_there_is_nothing_else(trained: Stores) -> None:
    """That of the others is dead."""
    live = [
        Store({name: layer for name, layer in store.layers.items() if name != "dead"}, store.attributes)
        for store in trained["matching"]
    ]
    stores = {"ensemble": trained["ensemble"], "matching": live}
    figure = importlib.import_module("convergent.figures.ensemble").draw(stores, {})
    alike = [float(s.layers["fc"]["summary"].sel(statistic="mean_r_one_to_one")) for s in live]
    gained = [float(s.layers["/"]["summary"].sel(statistic="gain")) for s in trained["ensemble"]]
    assert f"r = {-np.corrcoef(alike, gained)[0, 1]:.2f}, no error from so few seeds" in texts(figure)
    assert figure.axes[1].get_xlabel() == "1 − mean r one to one, fc"


def test_matched_units__draws_the_patches_of_the_best_match_first(trained: Stores) -> None:
    figure = importlib.import_module("convergent.figures.matched_units").draw(trained, {})
    matching, patches = (trained[measure][0].layers["conv"] for measure in ("matching", "patches"))
    best = int(matching["r_one_to_one_a"].values.argmax())
    partner = matching["partner_one_to_one_a"].values[best]
    written = [f"r = {matching['r_one_to_one_a'].values[best]:.2f}", f"A {best}", f"B {partner}"]
    assert [text.get_text() for text in figure.axes[0].texts[:3]] == written
    tiles = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    for tile, side, unit in ((tiles[0], "a", best), (tiles[4], "b", partner)):
        # Patches of 6 × 5 are drawn 7 times as large, with 4 white pixels between; the first ends after four rows.
        patch = patches[f"patch_{side}"].sel({f"unit_{side}": unit, "rank": 0})
        np.testing.assert_array_equal(tile[:28:7, :35:7], patch[:4])
        np.testing.assert_allclose(tile[35, 0] / 255, to_rgb(style.DEAD))
        np.testing.assert_array_equal(tile[46::7, :35:7][:6], 255)


def test_tiles__of_large_patches_are_as_large_as_they_are_drawn() -> None:
    """By hand: four patches of 240 pixels, each of one colour; the last has no image and is white."""
    dims, colours = (
        ("unit_a", "rank", "patch_y", "patch_x"),
        np.array([[200, 10, 0], [0, 99, 1], [7, 0, 255], [0, 0, 0]]),
    )
    inside = np.ones((1, 4, 240, 240), dtype=np.int8)
    inside[:, 3] = 0
    patch = np.broadcast_to(colours.astype(np.uint8)[None, :, None, None], (1, 4, 240, 240, 3))
    attributed = np.broadcast_to(np.array([-1, 0, 1], dtype=np.float16), patch.shape)
    of_unit = {
        "patch_a": ((*dims, "channel"), patch),
        "deconvolution_a": ((*dims, "channel"), -attributed),
        "guided_backpropagation_a": ((*dims, "channel"), attributed),
        "inside_a": (dims, inside),
    }
    found = mosaic.tiles(xr.Dataset(of_unit, {"unit_a": [5]}), "a", 5)
    for name, expected in {
        "patch": [*colours[:3], [255] * 3],
        "deconvolution": [[255, 128, 0]] * 3 + [[255] * 3],
        "guided_backpropagation": [[0, 128, 255]] * 3 + [[255] * 3],
    }.items():
        tile = found[name]
        assert tile.dtype == np.uint8
        assert mosaic.MOST / 2 < len(tile) <= mosaic.MOST
        near, far = len(tile) // 4, 3 * len(tile) // 4
        np.testing.assert_array_equal(tile[[near, near, far, far], [near, far, near, far]], expected)


@pytest.mark.parametrize(("row", "kind"), [(1, "deconvolution"), (2, "guided_backpropagation")])
def test_matched_units__draws_what_excites_a_unit_below_its_patches(trained: Stores, row: int, kind: str) -> None:
    axis = importlib.import_module("convergent.figures.matched_units").draw(trained, {}).axes[0]
    patches = trained["patches"][0].layers["conv"]
    best = int(trained["matching"][0].layers["conv"]["r_one_to_one_a"].values.argmax())
    drawn = np.asarray(axis.images[row].get_array())[:28:7, :35:7]
    values = patches[f"{kind}_a"].sel(unit_a=best, rank=0)[:4]
    np.testing.assert_array_equal(drawn, np.round(127.5 + 127.5 * values.values.astype(np.float32)))
    above, below = (axis.images[i].get_extent() for i in (row - 1, row))
    assert above[:2] == below[:2]
    assert below[3] > above[2]  # y from top to bottom


def test_matched_units__does_without_preferred_images(trained: Stores) -> None:
    without = [
        Store(
            {name: layer.drop_vars(["preferred_a", "preferred_b"]) for name, layer in one.layers.items()},
            one.attributes,
        )
        for one in trained["patches"]
    ]
    figure = importlib.import_module("convergent.figures.matched_units").draw(trained | {"patches": without}, {})
    assert "preferred" not in texts(figure)
    assert len(figure.axes[0].images) == 2 * 2 * 3


def test_minimal_match_units__draws_the_members_that_fit(trained: Stores) -> None:
    fc = trained["subspace_match"][0].layers["fc"]
    everything = fc.assign({name: xr.ones_like(fc[name]) for name in ("minimal_member_a", "minimal_member_b")})
    store = Store(trained["subspace_match"][0].layers | {"fc": everything}, {})
    figure = importlib.import_module("convergent.figures.minimal_match_units").draw(
        trained | {"subspace_match": [store]}, {}
    )
    chosen = shown.minimal(everything, 2)
    expected = [f"{side.upper()} {unit}" for side in "ab" for unit in chosen[f"unit_{side}"].values]
    written = [text.get_text() for text in figure.axes[LAYERS.index("fc")].texts]
    assert [text for text in written if "more" not in text] == expected
    assert written.count("1 more") == 2  # five units of each network, of which four are shown
