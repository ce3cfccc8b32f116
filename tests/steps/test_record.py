"""The step record: what is stored is what the trained network answers to the held-out images of the probe."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from convergent import config, data, declarations, networks, store
from convergent.errors import InputError
from convergent.steps import inspect, probe, record, train

RECIPE = declarations.build(
    config.Recipe,
    {
        "data": "digits",
        "architecture": {"name": "convnet", "arguments": {"channels": [3, 4], "hidden": [8]}},
        "training": {"epochs": 1, "batch_size": 256, "learning_rate": 0.05},
        "stages": ["init", "final"],
    },
    "test",
)
LAYERS = ["conv1.relu", "conv2.relu", "fc1.relu"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the steps before write."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    root = tmp_path_factory.mktemp("made")
    common: dict[str, Any] = {"recipe": RECIPE, "data_root": None}
    inspect.run(network="net", layers="all", output=root / "net.json", **common)
    settings = config.Probe(500, 10, 0)
    probe.run(data="digits", image_size=None, settings=settings, data_root=None, output=root / "digits.zarr")
    train.run(seed=3, threads=1, output=root / "net-s3", **common)
    yield root
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def run(
    made: Path,
    output: Path,
    stage: str = "final",
    dtype: str = "float32",
    batch: int = 16,
    layers: Any = "all",
    autocast: str = "none",
    positions: Any = "all",
) -> list[store.Store]:
    """The stores of activations and of their means."""
    paths = [output / "activations.zarr", output / "pooled.zarr"]
    record.run(
        recipe=RECIPE,
        settings=config.Recording(dtype, batch, "crc32c", autocast, positions),  # type: ignore[arg-type]
        inspected=made / "net.json",
        layers=layers,
        training=made / "net-s3",
        stage=stage,
        probe=made / "digits.zarr",
        threads=1,
        data_root=None,
        activations=paths[0],
        pooled=paths[1],
    )
    return [store.read(path, path.stem) for path in paths]


@pytest.mark.parametrize("stage", ["init", "final"])
def test_run__stores_what_the_network_answers_to_the_probe(made: Path, tmp_path: Path, stage: str) -> None:
    activations, pooled = run(made, tmp_path, stage)
    held_out = data.load("digits", "held_out")
    chosen = store.read(made / "digits.zarr", "probe").layers["/"]
    shown = held_out.normalised(torch.tensor([held_out.ids.index(i) for i in chosen["image_id"].values]))
    network = networks.of_recipe(RECIPE, held_out).eval()
    network.load_state_dict(load_file(made / "net-s3" / f"{stage}.safetensors"))
    for layer, module in zip(LAYERS, ("conv1", "conv2", "fc1"), strict=True):
        with torch.no_grad():
            shown = network.get_submodule(module)(network.get_submodule("pool")(shown) if module == "fc1" else shown)
        expected = np.moveaxis(shown.numpy(), 1, -1)
        found = activations.layers[layer]["activation"].values
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        means = expected.mean(tuple(range(1, expected.ndim - 1)), dtype=np.float64)
        np.testing.assert_allclose(pooled.layers[layer]["activation"].values, means, rtol=1e-5, atol=1e-6)


def test_run__shows_held_out_images_only(made: Path, tmp_path: Path) -> None:
    chosen = store.read(made / "digits.zarr", "probe").layers["/"]
    for opened in run(made, tmp_path):
        assert list(opened.layers) == LAYERS
        for dataset in opened.layers.values():
            ids = dataset["image_id"].values
            assert ids.tolist() == chosen["image_id"].values.tolist()
            assert not set(ids) & set(data.load("digits", "training").ids)
            np.testing.assert_array_equal(dataset["label"], chosen["label"])
            np.testing.assert_array_equal(dataset["fold"], chosen["fold"])


def test_run__records_the_layers_that_are_named_in_order_of_depth(made: Path, tmp_path: Path) -> None:
    for opened in run(made, tmp_path, layers=["fc1.relu", "conv1.linear"]):
        assert list(opened.layers) == ["conv1.linear", "fc1.relu"]


def test_run__refuses_an_unknown_layer(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\A.*net has no layer 'fc1\.rleu'; .*; did you mean fc1\.relu\?\Z"):
        run(made, tmp_path, layers=["fc1.rleu"])
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_run__stores_the_type_that_was_asked_for(made: Path, tmp_path: Path, dtype: str) -> None:
    activations, pooled = run(made, tmp_path, dtype=dtype)
    assert {str(layer["activation"].dtype) for layer in activations.layers.values()} == {dtype}
    assert {str(layer["activation"].dtype) for layer in pooled.layers.values()} == {"float32"}


@pytest.mark.parametrize("stage", ["init", "final"])
def test_run__stamps_both_stores_with_their_origin(made: Path, tmp_path: Path, stage: str) -> None:
    trained = json.loads((made / "net-s3" / "training.json").read_text())
    chosen = store.read(made / "digits.zarr", "probe").attributes
    expected = {
        "snapshot": f"net-s3-{stage}",
        "seed": 3,
        "stage": stage,
        "data": "digits",
        "checkpoint_digest": trained["checkpoints"][stage],
        "probe_fingerprint": chosen["probe_fingerprint"],
        "probe_seed": 0,
        "autocast": "none",
        "positions": "all",
    }
    for opened in run(made, tmp_path, stage):
        assert expected.items() <= opened.attributes.items()
        of_stage = {"final": trained["held_out_accuracy"]}
        assert opened.attributes.get("held_out_accuracy") == of_stage.get(stage)


def test_run__records_the_precision_and_the_sample_of_positions(made: Path, tmp_path: Path) -> None:
    activations, pooled = run(made, tmp_path, autocast="bfloat16", positions=5)
    for opened in (activations, pooled):
        assert {"autocast": "bfloat16", "positions": 5}.items() <= opened.attributes.items()
    assert dict(activations.layers["conv1.relu"]["activation"].sizes) == {"image": 500, "position": 5, "unit": 3}
    assert dict(pooled.layers["conv1.relu"]["activation"].sizes) == {"image": 500, "unit": 3}


def test_run__refuses_a_training_of_which_a_digit_has_changed(made: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(made, tmp_path / "changed")
    file = changed / "net-s3" / "training.json"
    file.write_text(file.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(InputError, match=r"\A.*training\.json: not what it was finished with; make it anew\Z"):
        run(changed, tmp_path)


@pytest.mark.parametrize("changed", ["pixel", "label"])
def test_run__refuses_images_that_have_changed_since_the_probe(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    held_out = data.load("digits", "held_out")
    shown = int(store.read(made / "digits.zarr", "probe").layers["/"]["source_index"][30])
    pixels, labels = held_out.read(torch.arange(500)), held_out.labels.clone()
    if changed == "pixel":
        pixels[shown, 0, 3, 3] += 1
    else:
        labels[shown] += 1
    monkeypatch.setattr(data, "load", lambda *_: replace(held_out, labels=labels, read=pixels.__getitem__))
    with pytest.raises(InputError, match=r"\A.*digits\.zarr: the images of digits have changed .+ probe anew\Z"):
        run(made, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_run__refuses_a_stage_that_was_not_kept(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="epoch7"):
        run(made, tmp_path, stage="epoch7")


def test_run__refuses_weights_that_are_not_those_of_the_training(made: Path, tmp_path: Path) -> None:
    """The stages of one training, their files exchanged."""
    swapped = shutil.copytree(made, tmp_path / "swapped")
    for training in swapped.glob("**/training.json"):
        folder = training.parent
        (folder / "init.safetensors").rename(folder / "kept")
        (folder / "final.safetensors").rename(folder / "init.safetensors")
        (folder / "kept").rename(folder / "final.safetensors")
    with pytest.raises(InputError, match=r"init\.safetensors is not what the training wrote"):
        run(swapped, tmp_path, stage="init")
