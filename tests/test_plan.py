"""A plan, held against what a finished experiment has written and held, and the page that is made of one."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from convergent import config, joint_histograms, moments, rdms, recording, samples, shards, store, tiles
from convergent.config import Experiment
from convergent.measures import cka
from convergent.plan import jobs, memory, shapes, stores, table, times
from convergent.plan.shapes import Layer, Network
from convergent.steps import _pair, plan

ROOT = Path(__file__).parents[1]
SCALING = ROOT / "docs" / "scaling.md"
MEASURED = pd.read_csv(ROOT / "docs" / "measured" / "memory.csv").to_dict("records")
NODE = 32  # cores


def experiment(**changes: object) -> Experiment:
    """The default experiment with changes to its sections."""
    default = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    built: Experiment = config.build(Experiment, plan.overlaid(default, changes), "test")
    return built


def of_layers(*layers: Layer) -> Network:
    values = sum(layer.units * layer.positions for layer in layers)
    return Network(layers, values, values, values, 0, 0)


def test_memory__has_the_constants_of_the_code() -> None:
    """The Snakefile imports the plan, so the plan cannot import the code."""
    assert memory.CHUNK == shards.CHUNK_BYTES
    assert memory.PENDING == recording.PENDING
    assert memory.PANEL == rdms.HELD_BYTES
    assert memory.JOINED == _pair.IN_MEMORY
    assert memory.HISTOGRAMS == joint_histograms.MEMORY
    assert memory.COMOMENTS == moments.MEMORY
    assert memory.TILE == tiles.BYTES
    assert memory.SHARD == store.SHARD_BYTES
    assert memory.SAMPLES == samples.MEMORY
    assert memory.KERNEL_IMAGES == cka.KERNEL_IMAGES
    assert stores.BLOCK == store.BLOCK


def test_network__reads_layers_as_they_are_stored() -> None:
    graph = {"nodes": {"a": [3, 4, 5], "b": [3, 4, 5], "c": [7]}, "relu": ["b", "c"], "parameters": 11}
    assert shapes.network(graph, "all", "all", 5) == Network((Layer(3, 20), Layer(7, 1)), 67, 60, 127, 11, 5)
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
    recipe = config.load_recipe(ROOT / "config" / "networks" / "digits_cnn.yaml")
    found = {rule: sum(counted.values()) for rule, counted in jobs.count(of, {"a": recipe, "b": recipe}).items()}
    each = {"inspect": 2, "train": 6, "probe": 1, "record": 6, "rdm": 6, "cross_layer": 6, "rsa": 6}
    assert found == each | {"summary": 1, "figure": 8}
    assert jobs.results(of) == 12


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['rule']}-{row['layers']}x{row['units']}")
def test_peak__is_within_a_third_of_what_was_measured(row: dict[str, Any]) -> None:
    layers = [Layer(row["units"], row["positions"])] * row["layers"]
    of = experiment(
        probe={"images": row["images"], "folds": row["folds"]},
        sparse_prediction={"alphas": row["alphas"]},
        rsa={"images": row["rdm_images"]},
    )
    found = memory.peak(row["rule"], of_layers(*layers), of) / 2**20
    assert row["max_rss_mib"] / 1.3 <= found <= row["max_rss_mib"] * 1.3


def test_peak__grows_with_units_and_not_with_images() -> None:
    """But for what holds one value a unit and image, or compares images."""
    network, wider = of_layers(Layer(512, 16)), of_layers(Layer(1024, 16))
    few, many = (experiment(probe={"images": images}) for images in (20_000, 200_000))
    of_images = {"cross_layer", "matching", "similarity"}
    for rule in (*memory.WORK, "record"):
        assert rule == "rsa" or memory.peak(rule, wider, few) > memory.peak(rule, network, few), rule
        grown = memory.peak(rule, network, many) / memory.peak(rule, network, few)
        assert (grown > 1.5) if rule in of_images else (grown < 1.15), rule


def test_seconds__are_unknown_where_the_training_images_are() -> None:
    recipe = config.load_recipe(ROOT / "config" / "networks" / "digits_cnn.yaml")
    known = times.seconds("train", of_layers(Layer(4, 4)), recipe, experiment())
    assert known is not None
    assert times.seconds("train", of_layers(Layer(4, 4)), replace(recipe, data="imagenet"), experiment()) is None


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
    recipes = {name: config.load_recipe(Path("config", "networks", f"{name}.yaml")) for name in of.networks}
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
