"""The step inspect: names and shapes of layers, and mistakes found before any training."""

import json
from pathlib import Path
from typing import Any

import pytest

from convergent import config
from convergent.errors import InputError
from convergent.steps import inspect

CONVNET = {"name": "convnet", "arguments": {"channels": [3, 4], "hidden": [8]}}
RELU = {"conv1.relu": [3, 8, 8], "conv2.relu": [4, 4, 4], "fc1.relu": [8]}
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
    recipe = config.build(config.Recipe, content, "test")
    inspect.run(network="net", recipe=recipe, layers=layers, data_root=None, output=output)
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return str(tmp_path / "own.py")


def test_run__describes_a_network(tmp_path: Path) -> None:
    found = run(tmp_path / "networks" / "net.json")
    nodes = found.pop("nodes")
    parameters = (9 * 3 + 3) + (9 * 3 * 4 + 4) + (4 * 4 * 8 + 8) + (8 * 10 + 10)
    assert found == {"network": "net", "parameters": parameters, "image_shape": [1, 8, 8], "layers": RELU}
    assert (nodes[0], nodes[-1]) == ("conv1.linear", "classify")
    assert set(RELU) < set(nodes)


def test_run__takes_all_relus_in_order_of_depth(tmp_path: Path) -> None:
    assert list(run(tmp_path / "net.json")["layers"]) == list(RELU)


@pytest.mark.parametrize("layers", [["fc1.relu"], ["classify", "conv2.linear"]])
def test_run__takes_the_nodes_that_are_named(tmp_path: Path, layers: list[str]) -> None:
    shapes = RELU | {"classify": [10], "conv2.linear": [4, 4, 4]}
    assert run(tmp_path / "net.json", layers=layers)["layers"] == {layer: shapes[layer] for layer in layers}


@pytest.mark.parametrize(
    ("layer", "hint"), [("conv2.rleu", "; did you mean conv2.relu?"), ("conv9.relu", "; did you mean conv"), ("z", "")]
)
def test_run__refuses_an_unknown_layer_with_the_closest_name(tmp_path: Path, layer: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        run(tmp_path / "net.json", layers=["conv1.relu", layer])
    message = str(error.value)
    expected = f"net has no layer {layer!r}; its post-ReLU layers are conv1.relu, conv2.relu, fc1.relu{hint}"
    assert message.startswith(expected) if hint else message == expected
    assert "\n" not in message
    assert not (tmp_path / "net.json").exists()


def test_run__names_the_nodes_of_a_network_without_relus(tmp_path: Path, own: str) -> None:
    expected = r"\Anet has no post-ReLU layers; name nodes of its graph under layers: 0, 1\Z"
    with pytest.raises(InputError, match=expected):
        run(tmp_path / "net.json", {"name": "linear", "file": own})
    assert run(tmp_path / "net.json", {"name": "linear", "file": own}, ["1"])["layers"] == {"1": [10]}


def test_run__refuses_a_network_that_does_not_take_the_images(tmp_path: Path) -> None:
    """torchvision's networks want three channels, the digits have one: to be said before any training."""
    with pytest.raises(InputError, match=r"\Anet: .*\Z"):
        run(tmp_path / "net.json", {"name": "resnet18"})


def test_run__refuses_layers_that_cannot_be_recorded(tmp_path: Path, own: str) -> None:
    """A store holds [unit] or [unit, y, x] of an image, not [token, unit]: to be said before any training."""
    with pytest.raises(InputError, match=r"\Anet: .*\bact\b.*\Z"):
        run(tmp_path / "net.json", {"name": "Tokens", "file": own})
