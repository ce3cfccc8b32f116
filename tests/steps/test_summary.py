"""The step that gathers results: what it adds to the table and to the words from trainings, probe and stores."""

import argparse
import io
import itertools
import json
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from convergent import config, declarations, files, store
from convergent.errors import InputError
from convergent.measures.summary import summary as summarised
from convergent.steps import summary

RECIPE: dict[str, Any] = {
    "data": "digits",
    "architecture": {"name": "convnet"},
    "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.1},
    "stages": ["init", "final"],
}
PAIRS = [[f"net-s{p}-final", f"net-s{q}-final"] for p, q in itertools.combinations(range(3), 2)]
ALIKE, GAIN = (0.5, 0.25, 0.75), (0.1, 0.2, 0.0)


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """Three trainings, a probe of 12 images, and of each pair matching and ensemble: the options of the step."""
    trainings = [tmp_path / "training" / f"net-s{seed}" for seed in range(3)]
    for seed, folder in enumerate(trainings):
        folder.mkdir(parents=True)
        recipe = asdict(declarations.build(config.Recipe, RECIPE, "test"))
        told = {"recipe": recipe, "seed": seed, "held_out_accuracy": 0.9 + seed / 100}
        files.write_sealed(told, folder / "training.json")
    text = np.array(["x"] * 12, dtype=np.dtypes.StringDType())
    index = np.arange(12)
    images = {"image_id": text, "class_name": text, "label": index % 3, "fold": index // 3, "source_index": index}
    probe = xr.Dataset({name: ("image", values) for name, values in images.items()})
    store.save(
        {"/": probe}, tmp_path / "probe.zarr", "probe", {"data": "digits", "probe_fingerprint": "f", "probe_seed": 0}
    )
    for pair, alike, gain in zip(PAIRS, ALIKE, GAIN, strict=True):
        name, attributes = f"{'--'.join(pair)}.zarr", {"snapshot_a": pair[0], "snapshot_b": pair[1]}
        layers = {layer: summarised(("mean_r_one_to_one",), np.array([r])) for layer, r in (("conv", 0), ("fc", alike))}
        store.save(layers, tmp_path / "matching" / name, "measure", attributes)
        of_answers = summarised(("gain", "error_correlation"), np.array([gain, 0.5]))
        store.save({"/": of_answers}, tmp_path / "ensemble" / name, "measure", attributes)
    comparison = {"name": "trained", "pairs": PAIRS, "untrained": None, "figures": ["matching_by_depth"]}
    return {
        "comparisons": [comparison | {"measures": ["matching", "ensemble"]}],
        "name": "mine",
        "trainings": trainings,
        "probes": [tmp_path / "probe.zarr"],
        "folder": tmp_path,
        "table": tmp_path / "tables" / "summary.csv",
        "reading": tmp_path / "tables" / "reading.rst",
    }


def test_run__opens_with_networks_and_probe(made: dict[str, Any]) -> None:
    summary.run(**made)
    opening, compared = made["reading"].read_text(encoding="utf-8").split("\n\n")[1:3]
    assert "experiment *mine*. *net* (convnet), seeds 0, 1 and 2, trained on digits for 3 epochs" in opening
    assert "91.0% of the held-out images right on average, 90.0% to 92.0% by seed." in opening
    assert "the same 12 held-out images of digits, of 3 classes, in 4 folds." in opening
    assert compared == "- **trained**: two seeds of one network, both trained: 3 pairs of net."


def test_run__adds_dissimilarity_and_its_correlation_with_the_gain(made: dict[str, Any]) -> None:
    summary.run(**made)
    table = pd.read_csv(made["table"]).set_index(["statistic", "pair"])
    assert (table.loc["dissimilarity", "layer"] == "fc").all()
    expected = [*(1 - np.array(ALIKE)), 1 - np.mean(ALIKE)]
    assert table.loc["dissimilarity", "value"].to_list() == pytest.approx(expected)
    (correlation,) = table.loc["correlation_gain_dissimilarity"].itertuples()
    assert (correlation.Index, correlation.comparison, correlation.layer) == ("net-all", "trained", "fc")
    assert correlation.value == pytest.approx(1)
    text = made["reading"].read_text(encoding="utf-8")
    assert "this gain and 1 − the mean r one to one in ``fc`` correlate by 1.00, untested" in text
    assert "(Figure *matching_by_depth*.)" in text


def test_run__without_anything_that_tells_likeness_has_no_correlation(made: dict[str, Any]) -> None:
    made["comparisons"][0]["measures"] = ["ensemble"]
    summary.run(**made)
    assert set(pd.read_csv(made["table"])["statistic"]) == {"gain", "error_correlation"}


def test_run__holds_few_stores_at_a_time(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A result and its null, while those of the next are opened; of each what the table and the words tell."""
    opened, alive, read = [], [], store.read

    def seen(path: Path, kind: str, **options: Any) -> store.Store:
        found = read(path, kind, **options)
        assert all("matrix" not in dataset for dataset in found.layers.values())
        opened.append(weakref.ref(found))
        alive.append(sum(one() is not None for one in opened))
        return found

    for path in made["folder"].glob("matching/*.zarr"):
        layers = read(path, "measure").layers
        wide = {name: of.load().assign(matrix=(("unit_a", "unit_b"), np.eye(3))) for name, of in layers.items()}
        store.save(wide, path.with_name(path.name.replace("final", "init")), "measure", {})
    trained = made["comparisons"][0] | {"measures": ["matching"]}
    init = [[snapshot.replace("final", "init") for snapshot in pair] for pair in PAIRS]
    made["comparisons"] = [trained | {"untrained": "untrained"}, trained | {"name": "untrained", "pairs": init}]
    monkeypatch.setattr(store, "read", seen)
    summary.run(**made)
    assert len(opened) == 3 + 3 + 3 + 1
    assert max(alive) <= 4
    rows = pd.read_csv(made["table"])
    null = rows[(rows["comparison"] == "trained") & (rows["null_kind"] == "untrained") & (rows["layer"] == "fc")]
    np.testing.assert_array_equal(null["value"], null["null"])


def test_comparisons__come_by_standard_input_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    summary.add_arguments(parser)
    others = ["--trainings", "t", "--probes", "p", "--folder", "f", "--table", "t.csv", "--reading", "r.rst"]
    told = [{"name": "trained", "pairs": PAIRS}]
    assert parser.parse_args(["--comparisons", json.dumps(told), *others]).comparisons == told
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(told)))
    assert parser.parse_args(["--comparisons", "-", *others]).comparisons == told


def test_run__refuses_a_training_of_no_recipe(made: dict[str, Any]) -> None:
    told = {"recipe": {}, "seed": 1, "held_out_accuracy": 1}
    files.write_sealed(told, made["trainings"][1] / "training.json")
    with pytest.raises(InputError, match=r"net-s1/training.json: recipe: the key 'data' is missing"):
        summary.run(**made)


def test_run__refuses_a_training_of_which_a_digit_has_changed(made: dict[str, Any]) -> None:
    file = made["trainings"][1] / "training.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("0.91", "0.97"), encoding="utf-8")
    with pytest.raises(InputError, match=r"net-s1/training.json: not what it was finished with; make it anew"):
        summary.run(**made)
