"""The step inspect: names and shapes of layers, and mistakes found before any training."""

import json
from pathlib import Path
from typing import Any

import pytest

from convergent import config, data, declarations, provenance
from convergent.errors import InputError
from convergent.steps import inspect

CONVNET = {"name": "convnet", "arguments": {"channels": [3, 4], "hidden": [8]}}
NODES = {
    "conv1.linear": [3, 8, 8],
    "conv1.relu": [3, 8, 8],
    "conv2.linear": [4, 4, 4],
    "conv2.relu": [4, 4, 4],
    "pool.0": [4, 2, 2],
    "pool.1": [16],
    "fc1.linear": [8],
    "fc1.relu": [8],
    "classify": [10],
}
OWN = """
from torch import nn

class Tokens(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.embed = nn.Conv2d(in_channels, 6, 2, stride=2)
        self.act = nn.ReLU()
        self.classify = nn.Linear(6, num_classes)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)  # image, token, unit
        return self.classify(self.act(tokens).mean(1))

def linear(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
"""


def run(output: Path, architecture: dict[str, Any] = CONVNET, layers: Any = "all") -> dict[str, Any]:
    content = {
        "data": "digits",
        "architecture": architecture,
        "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.1},
        "stages": ["final"],
    }
    recipe = declarations.build(config.Recipe, content, "test")
    inspect.run(network="net", recipe=recipe, layers=layers, data_root=None, output=output)
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path / "own.py")


def test_run__describes_a_network(tmp_path: Path) -> None:
    found = run(tmp_path / "networks" / "net.json")
    parameters = (9 * 3 + 3) + (9 * 3 * 4 + 4) + (4 * 4 * 8 + 8) + (8 * 10 + 10)
    assert (found["network"], found["parameters"], found["image_shape"]) == ("net", parameters, [1, 8, 8])
    products = 9 * 3 * 64 + 9 * 3 * 4 * 16 + 4 * 4 * 8 + 8 * 10
    assert found["operations"] == 2 * products
    assert found["relu"] == ["conv1.relu", "conv2.relu", "fc1.relu"]
    assert list(found["nodes"].items()) == list(NODES.items())


@pytest.mark.parametrize("layers", ["all", {}, {"other": ["z"]}, {"net": ["classify", "conv2.linear"]}])
def test_run__describes_it_alike_whatever_the_layers(tmp_path: Path, layers: Any) -> None:
    """What an experiment records is no part of the network, lest other layers train it again."""
    assert run(tmp_path / "net.json", layers=layers) == run(tmp_path / "again.json")


@pytest.mark.parametrize(
    ("layer", "hint"), [("conv2.rleu", "; did you mean conv2.relu?"), ("conv9.relu", "; did you mean conv"), ("z", "")]
)
def test_run__refuses_an_unknown_layer_with_the_closest_name(tmp_path: Path, layer: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        run(tmp_path / "net.json", layers={"net": ["conv1.relu", layer]})
    message = str(error.value).removeprefix("configuration: layers: ")
    expected = f"net has no layer {layer!r}; its post-ReLU layers are conv1.relu, conv2.relu, fc1.relu{hint}"
    assert message.startswith(expected) if hint else message == expected
    assert "\n" not in message
    assert not (tmp_path / "net.json").exists()


def test_run__names_the_nodes_of_a_network_without_relus(tmp_path: Path, own: str) -> None:
    with pytest.raises(InputError, match=r"\Anet has no post-ReLU layers; .*: 0, 1\Z"):
        run(tmp_path / "net.json", {"name": "linear", "file": own})
    found = run(tmp_path / "net.json", {"name": "linear", "file": own}, {"net": ["1"]})
    assert found["nodes"] == {"0": [64], "1": [10]}


def test_run__refuses_a_network_that_draws_at_random(tmp_path: Path, own: str) -> None:
    Path(own).write_text(OWN.replace("self.act(tokens)", "nn.functional.dropout(tokens)"))
    with pytest.raises(InputError, match=r"\Anet: its traced graph does not answer as forward does"):
        run(tmp_path / "net.json", {"name": "Tokens", "file": own}, {"net": ["classify"]})
    assert not (tmp_path / "net.json").exists()


@pytest.mark.parametrize("file", [False, True])
def test_run__identifies_a_network_by_all_that_builds_it(tmp_path: Path, own: str, file: bool) -> None:
    architecture = {"name": "Tokens", "file": own}
    layers = {"net": ["classify"]}
    before = run(tmp_path / "net.json", architecture, layers)["identity"]
    assert run(tmp_path / "net.json", architecture, layers)["identity"] == before
    if file:
        Path(own).write_text(OWN.replace("self.embed(x)", "self.embed(-x)"))
        provenance._tree.cache_clear()  # as in a process of its own
    else:
        architecture["arguments"] = {}  # type: ignore[assignment]
    assert run(tmp_path / "net.json", architecture, layers)["identity"] != before


def test_run__refuses_a_network_that_does_not_take_the_images(tmp_path: Path) -> None:
    """torchvision's networks want three channels, the digits have one: to be said before any training."""
    with pytest.raises(InputError, match=r"\Anet: does not take images of \(1, 8, 8\): .*channel.*\Z"):
        run(tmp_path / "net.json", {"name": "resnet18"})


def test_run__refuses_layers_that_cannot_be_recorded(tmp_path: Path, own: str) -> None:
    """A store holds [unit] or [unit, y, x] of an image, not [token, unit]: to be said before any training."""
    with pytest.raises(InputError, match=r"\A.*net has no layer 'act'"):
        run(tmp_path / "net.json", {"name": "Tokens", "file": own}, {"net": ["act"]})


def test_run__lists_the_held_out_images_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ImageNet the others are over a million files."""
    opened, load = [], data.load
    monkeypatch.setattr(data, "load", lambda name, split, *given: opened.append(split) or load(name, split, *given))
    run(tmp_path / "net.json")
    assert opened == ["held_out"]
