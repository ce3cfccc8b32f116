"""The step plan: an experiment is read as Snakemake reads it, and networks are described without data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr

from convergent.errors import InputError
from convergent.plan.shapes import Layer
from convergent.steps import plan

ROOT = Path(__file__).parents[2]
RECIPE = {
    "data": "somewhere",
    "image_size": 32,
    "architecture": {"name": "resnet18"},
    "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.1},
    "stages": ["final"],
}
OVERLAY = {
    "networks": ["net"],
    "seeds": [0, 1, 2],
    "comparisons": [{"name": "trained", "stage": "final"}],
    "probe": {"images": 1000},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the default experiment, and one of a network on images that are not there."""
    (tmp_path / "config" / "networks").mkdir(parents=True)
    (tmp_path / "config" / "config.yaml").write_text((ROOT / "config" / "config.yaml").read_text())
    (tmp_path / "config" / "networks" / "net.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVERGENT_DATA", raising=False)
    return tmp_path


def run(project: Path, capsys: pytest.CaptureFixture[str], machines: bool = True, **changes: Any) -> Any:
    (project / "mine.yaml").write_text(yaml.safe_dump(OVERLAY | changes))
    plan.run(config=project / "mine.yaml", for_machines=machines, like=None)
    told = capsys.readouterr().out
    return json.loads(told) if machines else told


def test_overlaid__replaces_keys_of_mappings() -> None:
    below = {"a": {"b": 1, "c": {"d": 2}}, "e": "all", "f": [1, 2]}
    above = {"a": {"c": {"g": 3}}, "e": {"h": 4}, "f": [5]}
    assert plan.overlaid(below, above) == {"a": {"b": 1, "c": {"d": 2, "g": 3}}, "e": {"h": 4}, "f": [5]}


def test_run__plans_a_network_on_images_that_are_not_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(project, capsys)
    rows = {row["rule"]: row for row in found["rules"]}
    # Post-ReLU layers of ResNet-18 at 32 × 32 pixels, by hand: a stem, and four stages of four layers.
    values = 64 * 16**2 + 4 * (64 * 8**2 + 128 * 4**2 + 256 * 2**2 + 512)
    means = 64 + 4 * (64 + 128 + 256 + 512)
    recorded = 3 * 1000 * (2 * values + 4 * means)
    assert recorded < rows["record"]["written"] < 1.03 * recorded  # and labels
    assert rows["train"]["jobs"] == 3
    assert rows["train"]["written"] == pytest.approx(3 * 4 * 11_689_512, rel=0.01)  # torchvision's number of parameters
    assert rows["train"]["seconds"] is None
    assert found["totals"]["unmeasured"] == ["train"]
    assert found["totals"]["jobs"] == sum(row["jobs"] for row in found["rules"])
    assert found["totals"]["largest_job"]["memory"] == max(row["memory"] for row in found["rules"])


def test_run__prints_a_line_for_each_rule(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(project, capsys, machines=False).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["inspect", "train", "probe", "record"]
    assert len({len(line) for line in lines[: lines.index("")]}) == 1
    assert "unmeasured" in lines[3]
    assert any(line.startswith("Bottleneck: ") for line in lines)
    assert not any("compressed" in line for line in lines)


def test_run__tells_compressed_bytes_where_there_is_a_codec(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = run(project, capsys, recording={"codec": "zstd"})["rules"][3]
    assert record["written"] / 2 < record["compressed"] < record["written"]
    assert "compressed" in run(project, capsys, machines=False, recording={"codec": "zstd"})


def test_ratio__is_that_of_the_chunks(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    array = group.create_array("l/activation", shape=(1000, 100), dtype="float32", chunks=(100, 100))
    array[:] = np.random.default_rng(0).integers(0, 4, (1000, 100))
    stored = sum(file.stat().st_size for file in (tmp_path / "a.zarr" / "l").rglob("*") if file.is_file())
    assert plan.ratio(tmp_path / "a.zarr") == pytest.approx(1000 * 100 * 4 / stored, rel=0.01)
    assert stored < 200_000


@pytest.mark.parametrize("path", ["nowhere.zarr", "empty.zarr"])
def test_ratio__refuses_what_is_no_store_of_activations(tmp_path: Path, path: str) -> None:
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(InputError, match="--like"):
        plan.ratio(tmp_path / path)


def test_described_network__counts_operations_and_stored_positions(project: Path) -> None:
    experiment = plan.build(plan.Experiment, plan.overlaid(plan._read(plan.DEFAULT), OVERLAY), "test")
    recipe = plan.load_recipe(Path("config/networks/net.yaml"))
    found = plan.described_network("net", recipe, experiment)
    assert found.layers[0] == Layer(64, 16**2)
    assert len(found.layers) == 17
    # 1.8 billion multiplications at 224 pixels, published, but for the last layer.
    assert found.operations == pytest.approx(2 * 1.814e9 * (32 / 224) ** 2, rel=0.03)


def test_described_network__refuses_images_it_does_not_take(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "networks" / "net.yaml").write_text(yaml.safe_dump(RECIPE | {"data": "digits"}))
    with pytest.raises(InputError, match=r"net: does not take images of \(1, 8, 8\)"):
        run(project, capsys)


def test_described_network__takes_one_that_computes_while_it_is_built(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RegNet makes its widths by tensors, which on the meta device have no numbers."""
    regnet = RECIPE | {"architecture": {"name": "regnet_y_400mf"}}
    (project / "config" / "networks" / "net.yaml").write_text(yaml.safe_dump(regnet))
    assert run(project, capsys)["totals"]["jobs"] > 0


@pytest.mark.parametrize(("layer", "named"), [("relu9", "relu9"), ("layer1.0.relux", "layer1.0.relu")])
def test_described_network__refuses_unknown_layers(
    project: Path, capsys: pytest.CaptureFixture[str], layer: str, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        run(project, capsys, layers={"net": [layer]})


def test_run__refuses_a_file_that_is_none(project: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        plan.run(config=project / "nowhere.yaml", for_machines=True, like=None)
