"""A plan, held against what a finished experiment has written and held, and the page that is made of one."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from convergent import (
    activations,
    declarations,
    experiments,
    histograms,
    joint_histograms,
    moments,
    patches,
    rdms,
    recording,
    samples,
    store,
    tiles,
)
from convergent.config import Experiment, Recipe
from convergent.datasets import NAMED
from convergent.errors import InputError
from convergent.figures import mosaic
from convergent.measures import cka, code_types, held_out, lasso, maps, row_blocks, sparse_prediction, unit_removal
from convergent.plan import jobs, memory, shapes, stores, table, times
from convergent.plan.shapes import Layer, Network
from convergent.steps import _pair, plan

ROOT = Path(__file__).parents[1]
SCALING = ROOT / "docs" / "scaling.md"
MEASURED = pd.read_csv(ROOT / "docs" / "measured" / "memory.csv").to_dict("records")
RECIPES = {path.stem: experiments.load_recipe(path) for path in (ROOT / "config" / "networks").glob("*.yaml")}
NODE = 32  # cores


def experiment(**changes: object) -> Experiment:
    """The default experiment with changes to its sections."""
    default = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    built: Experiment = declarations.build(Experiment, plan.overlaid(default, changes), "test")
    return built


def recipe(**training: object) -> Recipe:
    """That of the default network with changes to its training."""
    default = RECIPES["digits_cnn"]
    return replace(default, training=replace(default.training, **training))


def of_layers(*layers: Layer) -> Network:
    values = sum(layer.units * layer.positions for layer in layers)
    return Network(layers, values, values, values, 0, 0)


def test_memory__has_the_constants_of_the_code() -> None:
    """The Snakefile imports the plan, so the plan cannot import the code."""
    assert memory.PENDING == recording.PENDING
    assert memory.ATTRIBUTED == patches.BATCH
    assert memory.DRAWN == mosaic.MOST
    assert memory.PANEL == rdms.HELD_BYTES
    assert memory.JOINED == _pair.IN_MEMORY
    assert memory.SPLIT == held_out.IN_MEMORY
    assert (memory.ROW_BLOCK, memory.ROW_TILE) == (row_blocks.IMAGES, row_blocks.TILE_BYTES)
    assert memory.HISTOGRAMS == joint_histograms.MEMORY
    assert memory.COMOMENTS == moments.MEMORY / moments.STATES
    assert memory.HELD == moments.HELD
    assert memory.TILE == tiles.BYTES
    assert memory.SHARD == store.SHARD_BYTES
    assert memory.SAMPLES == samples.MEMORY
    assert (memory.KERNEL_IMAGES, memory.PICKED) == (cka.KERNEL_IMAGES, cka.PICKED)
    assert (memory.TARGETS, memory.PATHS) == (sparse_prediction.TARGETS, sparse_prediction.PATH_BYTES)
    assert memory.FEW == code_types.MOST
    assert memory.OCTAVES == histograms.PART
    assert memory.WIDEST_REPEATED == sparse_prediction.WIDEST_REPEATED
    assert times.WIDEST_DESCENT == lasso.WIDEST_DESCENT
    assert stores.BLOCK == store.BLOCK
    assert set(store.SINGLY) == stores.WHOLE
    assert len(unit_removal.ORDERS) == times.ORDERS
    assert len(maps.SINGLE) + 1 == stores.OTHER_MAPS


def test_network__reads_layers_as_they_are_stored() -> None:
    graph = {"nodes": {"a": [3, 4, 5], "b": [3, 4, 5], "c": [7]}, "relu": ["b", "c"], "parameters": 11, "operations": 5}
    assert shapes.network(graph, "all", "all") == Network((Layer(3, 20), Layer(7, 1)), 67, 60, 127, 11, 5)
    assert shapes.network(graph, ["a"], 6).layers == (Layer(3, 6),)
    assert shapes.network(graph, ["a"], 60).layers == (Layer(3, 20),)


@pytest.mark.parametrize("units", [64, 1024, 1500])
def test_written__counts_whole_chunks(units: int) -> None:
    """By hand: chunks of 1024 × 1024 hold the comoments of 1500 units in four."""
    side = 2048 if units == 1500 else units
    found = stores.written("within", [Layer(units, 9)], experiment(probe={"images": 30, "folds": 3}), "digits")
    index = 3 * 72
    assert found == 8 * (3 * side**2 + 3 * side + 2 * units + 2 * 3) + index + stores.FIXED["within"]


@pytest.mark.parametrize(
    ("dtype", "positions", "values"), [("float16", 16, 2 * 16 * 3), ("float32", 16, 4 * 16 * 3), ("float16", 1, 2 * 3)]
)
def test_written__counts_activations(dtype: str, positions: int, values: int) -> None:
    of = experiment(recording={"dtype": dtype}, probe={"images": 100, "folds": 10})
    labels = 100 * (8 + 8 + 4 + 4) + 8 * 3
    assert stores.written("activations", [Layer(3, positions)], of, "digits") == (
        100 * values + labels + stores.FIXED["activations"]
    )


def test_count__follows_measures_and_comparisons() -> None:
    """By hand: two networks, three seeds, two comparisons of one stage."""
    twice = [{"name": name, "stage": "final"} for name in ("once", "again")]
    of = experiment(networks=["a", "b"], seeds=[0, 1, 2], comparisons=twice, measures=["cross_layer", "rsa"])
    counted = jobs.count(of, {"a": recipe(), "b": recipe()})
    found = {rule: sum(of_rule.values()) for rule, of_rule in counted.items()}
    each = {"inspect": 2, "train": 6, "probe": 1, "record": 6, "rdm": 6, "cross_layer": 6, "rsa": 6}
    assert found == each | {"summary": 1, "figure": 8}
    assert jobs.results(of) == 12


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        ([{"name": "one", "stage": "final"}], 3),
        ([{"name": "one", "stage": "final", "untrained": "two"}, {"name": "two", "stage": "init"}], 6),
        ([{"name": "one", "stage": "final"}, {"name": "two", "stage": "init", "pairs": "networks"}], 3),
        ([{"name": "one", "stage": "init", "stage_b": "final", "pairs": "same_seed"}], 3),
    ],
)
def test_drawn__is_of_one_network_and_its_untrained(comparisons: list[dict[str, str]], expected: int) -> None:
    """By hand: two networks, three seeds."""
    assert jobs.drawn(experiment(networks=["a", "b"], seeds=[0, 1, 2], comparisons=comparisons)) == expected


@pytest.mark.parametrize(
    ("stages", "kept", "records", "between"),
    [
        (["final"], ("init", "final"), 6, 3 + 6),  # each network of a pair untrained beside the other
        (["final", "init"], ("init", "final"), 6, 3 + 6),  # and nothing of the untrained by themselves
        (["final", "epoch1"], ("init", "epoch1", "final"), 9, 6 + 12),
        (["final"], ("final",), 3, 3),  # no stage init, no control
    ],
)
def test_count__of_stitching_has_the_untrained_senders(
    stages: list[str], kept: tuple[str, ...], records: int, between: int
) -> None:
    """By hand: one network, three seeds."""
    named = [{"name": stage, "stage": stage} for stage in stages]
    of = experiment(networks=["a"], seeds=[0, 1, 2], comparisons=named, measures=["stitching"])
    counted = {rule: number["a"] for rule, number in jobs.count(of, {"a": replace(recipe(), stages=kept)}).items()}
    assert (counted["record"], counted["within"]) == (records, records)
    assert (counted["between"], counted["maps"]) == (between, between)
    assert counted["stitching"] == jobs.results(of) == 3 * len({*stages} - {"init"})


@pytest.mark.parametrize(
    ("measures", "images", "expected"),
    [
        (["matching"], 9, {"exemplars": 8, "patches": 4, "figure": 2 * 2 * 3}),
        (["matching", "subspace_match"], 9, {"exemplars": 8, "patches": 4, "figure": 2 * 2 * 6}),
        (["matching"], 0, {"figure": 2 * 2 * 2}),
        (["rsa"], 9, {"figure": 2 * 2 * 1}),
    ],
)
def test_count__has_patches_of_first_pairs_alone(measures: list[str], images: int, expected: dict[str, int]) -> None:
    """By hand: two networks at two stages; figures of matching two, or three with patches."""
    of = experiment(networks=["a", "b"], measures=measures, patches={"images": images})
    counted = jobs.count(of, {"a": recipe(), "b": recipe()})
    found = {rule: sum(of_rule.values()) for rule, of_rule in counted.items()}
    assert {rule: found.get(rule) for rule in ("exemplars", "patches", "figure") if rule in found} == expected


def test_rows__of_different_networks_are_those_of_both() -> None:
    """By hand: two layers beside three; five indices of 8 bytes, names of 30. The wide network is B, or A."""
    narrow, wide = of_layers(Layer(4, 1), Layer(4, 1)), of_layers(*[Layer(600, 1)] * 3)
    found = []
    for a, b in ((narrow, wide), (wide, narrow)):
        of = experiment(
            networks=["a", "b"],
            seeds=[0, 1],
            comparisons=[{"name": "across", "stage": "final", "pairs": "networks"}],
            measures=["cross_layer"],
        )
        rows = table.rows(of, {"a": recipe(), "b": recipe()}, {"a": a, "b": b})
        found.append(next(row for row in rows if row.rule == "cross_layer"))
    assert found[0] == found[1]
    assert found[0].jobs == 2
    assert found[0].written == 2 * (stores.FIXED["cross_layer"] + 5 * 8 * 2 * 3 + 30 * (2 + 3))
    assert found[0].memory == memory.peak("cross_layer", wide, of)


def test_rows__of_figures_grow_with_layers() -> None:
    """The 18 figures of config/experiments/scale.yaml, 11 layers each, had 34.8 MB, PNG and PDF."""
    of = experiment(networks=["a"], seeds=[0, 1], comparisons=[{"name": "trained", "stage": "final"}])
    found = table.rows(of, {"a": recipe()}, {"a": of_layers(*[Layer(64, 1)] * 11)})
    figure = next(row for row in found if row.rule == "figure")
    assert figure.jobs == 18
    assert 34.8e6 / 2 <= figure.written <= 34.8e6 * 2


def test_patches__are_at_most_of_whole_images_and_of_the_units_there_are() -> None:
    """By hand: digits of 64 pixels in one channel; 4 and 8 units a side, 5 patches and a preferred image of each."""
    of = experiment(patches={"images": 5, "units": 2})
    layers = [Layer(4, 1), Layer(30, 1)]
    pixels = 5 * 64 * (1 + 2 + 2 + 1) + 64
    assert stores.patches(layers, of, recipe()) == 2 * 12 * pixels + 2 * stores.PATCHES_FIXED


def test_seconds__of_patches_are_those_of_its_passes() -> None:
    """By hand: 16 rows and columns at twice the cost; 2 × 4 units, 5 patches there and back twice, 7 steps."""
    of = experiment(patches={"images": 5, "units": 1, "steps": 7})
    network = replace(of_layers(Layer(16, 64)), operations=10**9)
    passes = 2 * 16 + 3 * 8 * (2 * 5 + 7) / 2
    assert times.seconds("patches", network, recipe(), of) == pytest.approx(7 + passes * 1e9 / times.FORWARD)


def measured(row: dict[str, Any]) -> tuple[str, Network, Experiment, Recipe | None, int, int]:
    """What `memory.peak` is asked for a row of docs/measured/memory.csv."""
    cores = row["threads"], row["workers"]
    of = experiment(
        seeds=list(range(row["seeds"])),
        probe={"images": row["images"], "folds": row["folds"]},
        sparse_prediction={"alphas": row["alphas"]},
        rsa={"images": row["rdm_images"]},
    )
    if row["layers"] in RECIPES:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            made = RECIPES[row["layers"]]
            return row["rule"], plan.described_network(row["layers"], made, of), of, made, *cores
    shapes = (map(int, layer.split("x")) for layer in row["layers"].split())
    return row["rule"], of_layers(*(Layer(*shape) for shape in shapes)), of, None, *cores


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: "{rule}-{layers}-{folds}-{threads}-{workers}".format(**row))
def test_peak__is_within_a_third_of_what_was_measured(row: dict[str, Any]) -> None:
    found = memory.peak(*measured(row)) / 2**20
    assert row["max_rss_mib"] / 1.3 <= found <= row["max_rss_mib"] * 1.3


def test_peak__of_patches_that_are_drawn_is_within_a_third_of_what_was_measured() -> None:
    """Nine layers of whole images of 224 pixels: the figure of matched units held 416 MiB."""
    found = memory.peak("figure", of_layers(*[Layer(64, 1)] * 9), experiment(), RECIPES["googlenet"]) / 2**20
    assert 416 / 1.3 <= found <= 416 * 1.3


def test_peak__is_measured_for_every_rule() -> None:
    assert {row["rule"] for row in MEASURED} == set(memory.RULES)


def test_peak__grows_with_units_and_not_with_images() -> None:
    """But for what holds one value a unit and image, or compares images."""
    network, wider = of_layers(Layer(512, 16)), of_layers(Layer(1024, 16))
    few, many = (experiment(probe={"images": images}) for images in (20_000, 200_000))
    of_images = {"matching", "similarity", "ensemble"}
    whole = {"inspect", "train", "probe", "patches", "summary"}
    shared = {"rsa", "mutual_information", "ensemble"}  # of wider layers the latter holds less at once
    for rule in memory.RULES.keys() - whole:
        assert rule in shared or memory.peak(rule, wider, few) > memory.peak(rule, network, few), rule
        grown = memory.peak(rule, network, many) / memory.peak(rule, network, few)
        assert (grown > 1.5) if rule in of_images else (grown < 1.15), rule


def test_peak__of_streamed_rules_is_that_of_the_largest_layer() -> None:
    one, many = of_layers(Layer(1024, 1)), of_layers(*[Layer(1024, 1)] * 20)
    for rule in ("within", "between", "edges", "exemplars", "rdm", "statistics", "subspace_match_sampled"):
        assert memory.peak(rule, many, experiment()) == memory.peak(rule, one, experiment()), rule
    assert (
        memory.peak("correlation", many, experiment()) > memory.peak("correlation", one, experiment()) + 19 * 5 * 2**23
    )


def test_peak__of_the_last_jobs_grows_with_pairs() -> None:
    """By hand: of two seeds and ten, one pair and 45, and as many untrained: 20 and 900 stores of pairs, 4 and 20 of
    snapshots; three layers, twenty rows each.
    """
    network = of_layers(*[Layer(16, 16)] * 3)
    few, many = (experiment(seeds=list(range(seeds))) for seeds in (2, 10))
    found = {rule: memory.peak(rule, network, many) - memory.peak(rule, network, few) for rule in ("summary", "figure")}
    assert found["summary"] == memory.ROW * 20 * 3 * (920 - 24)
    assert found["figure"] == memory.OPENED * 3 * (90 - 2)


@pytest.mark.parametrize(
    ("limit", "passes"),
    [
        (8000, 1),  # all samples of both sides
        (7999, 2),  # those of four draws
        (3840, 3),  # of two
        (10, 5),  # of none
    ],
)
def test_draws_together__are_those_that_share_a_pass(monkeypatch: pytest.MonkeyPatch, limit: int, passes: int) -> None:
    """By hand: 500 samples of 4 + 4 units in float16, 120 of them a draw: 8000 and 1920 bytes."""
    of = experiment(probe={"images": 500}, subspace_match_sampled={"positions": 120, "draws": 5})
    monkeypatch.setattr(memory, "SAMPLES", limit)
    assert math.ceil(5 / memory.draws_together(Layer(4, 1), of)) == passes
    read, compute = [], samples.compute
    monkeypatch.setattr(samples, "compute", lambda *parts: read.append(1) or compute(*parts))
    sides = [activations.label(np.random.default_rng(i).random((500, 4)).astype(np.float16), folds=10) for i in (1, 2)]
    assert len(list(samples.between(*sides, positions=120, draws=5, seed=0, memory=limit))) == 5
    assert len(read) == passes


def test_seconds__are_unknown_where_the_training_images_are() -> None:
    known = times.seconds("train", of_layers(Layer(4, 4)), recipe(), experiment())
    assert known is not None
    unknown = replace(recipe(), data="photographs")
    assert times.seconds("train", of_layers(Layer(4, 4)), unknown, experiment()) is None


@pytest.mark.parametrize(
    ("seconds", "threads", "minutes"),
    [
        (60, 1, 240),
        (8 * 3600, 2, 240),
        (8 * 3600 + 1, 2, 241),
        (30 * 3600, 2, 900),
        (90 * 3600, 2, 1440),
        (None, 8, 1440),
    ],
)
def test_training_minutes__follow_the_recipe(seconds: float | None, threads: int, minutes: int) -> None:
    assert times.training_minutes(seconds, threads) == minutes


@pytest.mark.parametrize(
    ("units", "folds", "expected"),
    [(64, 10, 2 * (1 + 10 + 45)), (1024, 10, 112), (1025, 10, 2 * (1 + 10)), (64, 2, 2 * (1 + 2))],
)
def test_fits__are_those_of_sparse_prediction(units: int, folds: int, expected: int) -> None:
    """By hand: in both directions the whole, without each fold and, up to 1024 units, without each two."""
    assert times.fits(Layer(units, 1), experiment(probe={"folds": folds})) == expected


@pytest.mark.parametrize("folds", [2, 3, 4])
def test_fits__are_as_many_as_sparse_prediction_makes(monkeypatch: pytest.MonkeyPatch, folds: int) -> None:
    solved, solve = [], sparse_prediction.solve
    monkeypatch.setattr(sparse_prediction, "solve", lambda *given: solved.append(1) or solve(*given))
    generator = np.random.default_rng(0)
    sparse_prediction.sparse_prediction(
        moments.of(generator.random((60, 3)), generator.random((60, 3)), folds=folds), alphas=2
    )
    assert len(solved) == times.fits(Layer(3, 1), experiment(probe={"folds": folds}))


def test_seconds__of_sparse_prediction_are_those_of_its_fits() -> None:
    """By hand: 20 + 1 + 6 penalties; 112 fits of 1024 units by coordinate descent, 22 of 2048 by proximal gradient."""
    narrow, wide = (
        times.seconds("sparse_prediction", of_layers(Layer(units, 1)), recipe(), experiment()) for units in (1024, 2048)
    )
    assert narrow == pytest.approx(2 + 112 * 1024 * (27 * 1024**2 / times.DESCENDED + 1 / times.STARTED))
    assert wide == pytest.approx(2 + 22 * 2048 * 27 * 2048**2 / times.PROXIMAL)


def test_seconds__of_subspace_match_sampled_count_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 500 × 4 samples of 8 + 8 units; 5 draws in one pass, or each in its own."""
    of = experiment(probe={"images": 500}, subspace_match_sampled={"positions": 28, "draws": 5})
    given = "subspace_match_sampled", of_layers(Layer(8, 4)), recipe(), of
    together = times.seconds(*given)
    monkeypatch.setattr(memory, "SAMPLES", 1)
    apart = times.seconds(*given)
    assert together is not None
    assert apart == pytest.approx(together + 4 * 2 * 500 * 4 * 8 / times.READ)


ACROSS = {"name": "across", "stage": "final", "pairs": "networks"}
WITHIN = {"name": "within", "stage": "final"}


@pytest.mark.parametrize(
    ("measures", "comparisons", "alike", "pairs"),
    [
        (["ensemble", "layer_pairs", "matching"], [ACROSS, WITHIN], "layer_pairs", 2 + 2),
        (["ensemble", "matching"], [ACROSS, WITHIN], "matching", 2),
        (["ensemble", "matching"], [WITHIN, WITHIN | {"name": "again"}], "matching", 2),
        (["ensemble", "matching"], [ACROSS], "matching", 0),
        (["ensemble"], [WITHIN], "layer_pairs", 0),
        (["matching"], [WITHIN], "matching", 0),
    ],
)
def test_averaged__are_the_pairs_with_gain_and_dissimilarity(
    measures: list[str], comparisons: list[dict[str, str]], alike: str, pairs: int
) -> None:
    """By hand: two networks of two seeds; one figure of all pairs, and none without."""
    of = experiment(
        networks=["a", "b"], seeds=[0, 1], measures=measures, comparisons=comparisons, patches={"images": 0}
    )
    needed, found = jobs.averaged(of)
    assert (needed, len(found), len(set(found))) == (["ensemble", alike], pairs, pairs)
    drawn = jobs.count(of, {"a": recipe(), "b": recipe()}).get("figure", {})
    others = sum(len(jobs.figures(of, one)) * len(jobs.networks(of, one)) for one in of.comparisons)
    assert sum(drawn.values()) == others + (pairs > 0)


def test_rows__tell_cpu_time_that_does_not_grow_with_threads() -> None:
    of, network = experiment(), replace(of_layers(Layer(16, 64)), operations=10**9)
    one, many = (
        {row.rule: row for row in table.rows(of, {"digits_cnn": recipe(threads=threads)}, {"digits_cnn": network})}
        for threads in (1, 16)
    )
    assert one == many
    passes = 3 * recipe().training.epochs * NAMED["digits"].training
    assert one["train"].seconds == pytest.approx(5 + passes * 1e9 / times.FORWARD)
    assert one["train"].cpu_seconds == pytest.approx(len(of.seeds) * one["train"].seconds)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"probe": {"images": 503}}, "probe: 503 images do not divide into 10 equal folds"),
        ({"comparisons": [{"name": "late", "stage": "epoch99"}]}, r"comparisons\[0\].stage: .* no stage 'epoch99'"),
        (
            {"comparisons": [{"name": "trained", "stage": "final", "untrained": "nothing"}]},
            r"comparisons\[0\].untrained: no comparison 'nothing'",
        ),
        ({"measures": ["clustering"]}, "measures: clustering reads sparse_prediction"),
        ({"measures": ["unit_removal"]}, "measures: unit_removal reads matching"),
        ({"moments": {"precision": "float32"}}, "moments.precision: subspace_match resolves"),
        ({"layers": {"digits_cn": ["fc1"]}}, "layers: no network 'digits_cn' .* did you mean digits_cnn"),
        ({"probe": {"images": 510}}, "probe.images: 510 is more than the 500 held-out images of digits"),
    ],
)
def test_plan__refuses_what_snakemake_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: str
) -> None:
    """By the same line."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(changes), encoding="utf-8")
    with pytest.raises(InputError, match=f"^configuration: {told}") as planned:
        plan.run(config=tmp_path / "mine.yaml", for_machines=True, like=None)
    with pytest.raises(InputError) as refused:
        experiments.load(plan.overlaid(yaml.safe_load(plan.DEFAULT.read_text()), changes), ROOT)
    assert str(planned.value) == str(refused.value)


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiments__name_layers_that_are_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    of = experiment(**yaml.safe_load(path.read_text(encoding="utf-8")))
    named = of.layers if isinstance(of.layers, dict) else {}
    for network, layers in named.items():
        found = plan.described_network(network, RECIPES[network], of).layers
        assert len(found) == len(layers)
        assert max(layer.units for layer in found) <= 1024  # wider ones would take most of the time


def test_text__shows_units_that_fit() -> None:
    assert [table.size(n) for n in (0, 1023, 1536, 5 * 2**40)] == ["0 B", "1023 B", "1.5 KiB", "5.0 TiB"]
    assert [table.duration(s) for s in (None, 5, 600, 7200, 864000)] == [
        "unmeasured",
        "5 s",
        "10.0 min",
        "2.0 h",
        "10.0 d",
    ]


def test_scaling__tells_what_the_plan_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/scaling.md is made by the commands it shows; `page` writes it anew."""
    monkeypatch.chdir(tmp_path)
    assert page() == SCALING.read_text(encoding="utf-8"), "make it anew: see `page` in tests/test_plan.py"


VARIANTS = {
    "as above": {},
    "`positions: 8`": {"recording": {"positions": 8}},
    "`dtype: float32`": {"recording": {"dtype": "float32"}},
    "10 000 images": {"probe": {"images": 10_000}},
    "five layers": {
        "layers": {
            "resnet50": ["relu", "layer1.2.relu_2", "layer2.3.relu_2", "layer3.5.relu_2", "layer4.2.relu_2"],
        },
    },
    "without `sparse_prediction`, `clustering`, `mutual_information`": {
        "measures": [
            *("statistics", "correlation", "matching", "subspace_match", "subspace_match_sampled"),
            *("similarity", "cross_layer", "rsa"),
        ],
    },
    "pooled only: `cross_layer`, `positions: 1`": {"measures": ["cross_layer"], "recording": {"positions": 1}},
}
VARIANTS["five layers, `positions: 8`"] = VARIANTS["`positions: 8`"] | VARIANTS["five layers"]


@pytest.mark.parametrize("name", ["li2016-small", "wang2018-small", "architectures-small"])
def test_twins__say_in_their_first_lines_what_the_plan_tells(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path("config", "experiments", f"{name}.yaml").read_text(encoding="utf-8")
    head = " ".join(line.removeprefix("#") for line in text.splitlines() if line.startswith("#"))
    told = re.search(r"Planned:\s+(\d+) core-minutes of training,.* (\d+) core-minutes\s+beyond; (\d+) GB", head)
    rows = planned(yaml.safe_load(text))
    seconds = {row.rule: row.cpu_seconds or 0 for row in rows}
    expected = (
        seconds["train"] / 60,
        (sum(seconds.values()) - seconds["train"]) / 60,
        sum(r.written for r in rows) / 1e9,
    )
    assert told
    assert [int(number) for number in told.groups()] == pytest.approx(expected, abs=0.51)


def page() -> str:
    """docs/scaling.md with the plan and the table made anew, from the files it shows, in the current folder."""
    text = SCALING.read_text(encoding="utf-8")
    shown = re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    shown.append(("config/config.yaml", (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")))
    for name, content in shown:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    overlay = yaml.safe_load(Path("config/experiments/imagenet.yaml").read_text(encoding="utf-8"))
    plans = {name: planned(plan.overlaid(overlay, changes)) for name, changes in VARIANTS.items()}
    text = re.sub(r"```text\n.*?```", f"```text\n{table.text(plans['as above'])}\n```", text, flags=re.DOTALL)
    lines = [
        "| | a snapshot | in all | CPU time | node-hours | nodes for a week | longest job | largest job |",
        "|---" * 8 + "|",
    ]
    lines += [_variant(name, rows) for name, rows in plans.items()]
    text = re.sub(r"\| \| a snapshot .*?\n\n+", "\n".join(lines) + "\n\n", text, flags=re.DOTALL)
    rows = {row.rule: row for row in plans["as above"]}
    between, read = rows["between"], 2 * rows["record"].written / rows["record"].jobs
    rate = f"{table.size(read * between.jobs)} in all, each job {table.size(read / (between.seconds or 1))} a second"
    return re.sub(r"(?<=`between` alone reads\n).*?(?=:)", rate, text)


def planned(overlay: dict[str, Any]) -> list[table.Row]:
    of = experiment(**overlay)
    recipes = {name: experiments.load_recipe(Path("config", "networks", f"{name}.yaml")) for name in of.networks}
    return table.rows(of, recipes, {name: plan.described_network(name, recipes[name], of) for name in of.networks})


def _variant(name: str, rows: list[table.Row]) -> str:
    whole = table.totals(rows)
    record = next(row for row in rows if row.rule == "record")
    largest = max((row for row in rows if row.rule != "train"), key=lambda row: row.memory)
    cells = (
        name,
        table.size(record.written / record.jobs),
        table.size(whole["written"]),
        table.duration(whole["cpu_seconds"]),
        f"{whole['cpu_seconds'] / 3600 / NODE:,.0f}",
        str(math.ceil(whole["cpu_seconds"] / 86400 / 7 / NODE)),
        f"{whole['longest_job']['rule']}, {table.duration(whole['longest_job']['seconds'])}",
        f"{largest.rule}, {table.size(largest.memory)}",
    )
    return "| " + " | ".join(cells) + " |"
