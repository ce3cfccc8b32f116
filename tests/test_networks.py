"""The networks, and the nodes of their graphs that are recorded."""

import copy
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models.feature_extraction import get_graph_node_names

from convergent import data, networks
from convergent.config import Architecture, Recipe, Training
from convergent.datasets import NAMED
from convergent.errors import InputError
from convergent.experiments import load_recipe

# A network in a file of the user's: a convolution, and after it a ReLU of some kind.
SOURCE = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, num_classes, in_channels, width):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3)
        self.act = nn.ReLU(inplace=True)
        self.classify = nn.Linear(width, num_classes)

    def forward(self, x):
        x = self.conv(x)
        x = {relu}
        return self.classify(x.mean((2, 3)))

def net(num_classes, in_channels, width=5):
    return Net(num_classes, in_channels, width)
"""
RELUS = {
    "self.act(x)": "act",
    "F.relu(x)": "relu",
    "F.relu(x, inplace=True)": "relu",
    "torch.relu(x)": "relu",
    "x.relu()": "relu",
}


def on_meta(name: str, **arguments: object) -> nn.Module:
    """A network whose weights take no memory and no time."""
    with torch.device("meta"):
        return networks.build(name, arguments, None, 10, 3)


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Path]:
    """Write a file with a network of the user's."""

    def write(relu: str = "self.act(x)") -> Path:
        file = tmp_path / "own.py"
        file.write_text(SOURCE.replace("{relu}", relu))
        return file

    return write


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# --- nodes ---


@pytest.mark.parametrize(("name", "count"), {"resnet18": 17, "vgg16_bn": 15, "alexnet": 7}.items())
def test_nodes__finds_every_relu_of_torchvision_networks(name: str, count: int) -> None:
    network = on_meta(name)
    shapes, relu = networks.nodes(network, (3, 224, 224))
    assert len(relu) == len(set(relu)) == count
    assert relu == [node for node in shapes if node in relu]  # in the order of the graph
    assert list(shapes) == get_graph_node_names(network, suppress_diff_warning=True)[1][1:]  # all but the input


def test_nodes__distinguishes_the_uses_of_one_relu() -> None:
    assert {"relu", "layer1.0.relu", "layer1.0.relu_1"} <= set(networks.nodes(on_meta("resnet18"), (3, 64, 64))[1])


@pytest.mark.parametrize(("relu", "name"), RELUS.items())
def test_nodes__finds_relus_of_every_kind(own: Callable[..., Path], relu: str, name: str) -> None:
    shapes, found = networks.nodes(networks.build("net", None, own(relu), 10, 1), (1, 8, 8))
    assert found == [name]
    assert shapes == {"conv": [5, 6, 6], name: [5, 6, 6], "mean": [5], "classify": [10]}


def test_nodes__finds_none_where_there_is_no_relu() -> None:
    assert networks.nodes(nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU()), (1, 4, 4)) == (
        {"0": [2, 2, 2], "1": [2, 2, 2]},
        [],
    )


def test_nodes__leaves_out_what_is_no_map_or_vector_of_units() -> None:
    """Neither [image, unit, position] nor a size can be recorded."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(2), nn.ReLU(), nn.Flatten())
    assert networks.nodes(network, (1, 4, 4)) == ({"0": [2, 2, 2], "3": [8]}, [])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("F.relu(x); x.add_(x.mean())", "add_ overwrites relu; write y = y.add(…)"),
        ("F.relu(x); x = x.clamp_(max=0.1)", "clamp_ overwrites relu; write y = y.clamp(…)"),
        ("F.relu(x); x.flatten(1).mul_(2)", "mul_ overwrites relu; write y = y.mul(…)"),
        ("F.leaky_relu(x, 0.1, inplace=True)", "leaky_relu overwrites conv; write y = leaky_relu(y, …)"),
        ("F.leaky_relu(x, 0.1, True)", "leaky_relu overwrites conv; write y = leaky_relu(y, …)"),
        ("torch.clamp(x, max=0.1, out=x)", "clamp overwrites conv; write y = clamp(y, …)"),
        ("x; x.relu_()", "relu_ overwrites conv; write y = y.relu(…)"),
        ("x; F.relu(x, inplace=True)", "relu overwrites conv; write y = relu(y, …)"),
    ],
)
def test_graph__refuses_a_statement_that_overwrites_a_node(own: Callable[..., Path], code: str, told: str) -> None:
    """It would be recorded as it is overwritten, and a statement whose value nobody reads would not be run at all."""
    network = networks.build("net", None, own(code), 10, 1)
    with pytest.raises(InputError, match=rf"\A{re.escape(told)}, which is not in place\Z"):
        networks.graph(network, (1, 8, 8), 10)


@pytest.mark.parametrize("code", ["F.relu(x); y = x; x += 1; x = x + y", "F.dropout(x)", "F.relu(x) * torch.rand(1)"])
def test_check_graph__refuses_what_is_traced_otherwise(own: Callable[..., Path], code: str) -> None:
    """`y += 1` is traced as an addition, which leaves the other name of y as it was."""
    networks.graph(networks.build("net", None, own(code), 10, 1), (1, 8, 8), 10)
    with pytest.raises(InputError, match=r"\Aits traced graph does not answer as forward does; [^\n]+\Z"):
        networks.check_graph(networks.build("net", None, own(code), 10, 1), (1, 8, 8))


@pytest.mark.parametrize(
    "code", [*RELUS, "F.relu(x); x += x", "F.dropout(x, training=self.training)", "F.relu(x) * torch.tensor([0.5])"]
)
def test_check_graph__takes_what_is_traced_alike(own: Callable[..., Path], code: str) -> None:
    networks.graph(networks.build("net", None, own(code), 10, 1), (1, 8, 8), 10)
    networks.check_graph(networks.build("net", None, own(code), 10, 1), (1, 8, 8))


def test_check_graph__tells_what_fails_with_numbers(own: Callable[..., Path]) -> None:
    code = "F.relu(x)[torch.tensor([0, 9])]"
    networks.graph(networks.build("net", None, own(code), 10, 1), (1, 8, 8), 10)
    with pytest.raises(InputError, match=r"\Adoes not take images of \(1, 8, 8\): .+IndexError: [^\n]+\Z"):
        networks.check_graph(networks.build("net", None, own(code), 10, 1), (1, 8, 8))


@pytest.mark.parametrize("kind", [nn.LeakyReLU, nn.ReLU6, nn.Hardswish, nn.SiLU])
def test_nodes__takes_modules_that_are_made_in_place(own: Callable[..., Path], kind: type[nn.Module]) -> None:
    file = own()
    file.write_text(file.read_text().replace("nn.ReLU(", f"nn.{kind.__name__}("))
    network = networks.build("net", None, file, 10, 1)
    images = normal(4, 1, 8, 8)
    found = networks.extractor(network, ["conv", "act"])(images)
    torch.testing.assert_close(found["act"], kind()(network.get_submodule("conv")(images)), rtol=0, atol=0)
    assert list(networks.nodes(network, (1, 8, 8))[0]) == ["conv", "act", "mean", "classify"]


# --- the extractor ---


@pytest.mark.parametrize(("relu", "name"), RELUS.items())
def test_extractor__returns_what_comes_before_a_relu_unchanged(own: Callable[..., Path], relu: str, name: str) -> None:
    network = networks.build("net", None, own(relu), 10, 1)
    images = normal(4, 1, 8, 8)
    before = network.get_submodule("conv")(images)
    found = networks.extractor(network, ["conv", name])(images)
    assert (before < 0).any()
    torch.testing.assert_close(found["conv"], before, rtol=0, atol=0)
    torch.testing.assert_close(found[name], before.clamp(min=0), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "densenet121"])
def test_build__leaves_no_module_in_place(name: str) -> None:
    original = torchvision.models.get_model_builder(name)
    with torch.device("meta"):
        assert any(getattr(module, "inplace", False) for module in original().modules())
    assert not any(getattr(module, "inplace", False) for module in on_meta(name).modules())


def test_extractor__takes_a_module_that_is_named_like_a_function() -> None:
    network, images = nn.Sequential(OrderedDict(linear=nn.Linear(3, 4), relu_=nn.Tanh(), relu=nn.ReLU())), normal(5, 3)
    assert networks.nodes(copy.deepcopy(network), (3,))[1] == ["relu"]
    found = networks.extractor(network, ["relu_"])(images)["relu_"]
    torch.testing.assert_close(found, network.get_submodule("linear")(images).tanh(), rtol=0, atol=0)


def test_extractor__is_in_evaluation_mode() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.ReLU()).train()
    extractor, images = networks.extractor(network, ["2"]), normal(6, 3)
    first = extractor(images)["2"]
    torch.testing.assert_close(first, extractor(images)["2"], rtol=0, atol=0)
    torch.testing.assert_close(first[:2], extractor(images[:2])["2"], rtol=0, atol=0)
    assert network.get_submodule("0").num_batches_tracked == 0


def test_extractor__sees_into_the_blocks_of_torchvision() -> None:
    """By hand: the first block of MobileNet is a convolution, its normalisation and a ReLU that ends at 6."""
    network = networks.build("mobilenet_v2", {}, None, 10, 3)
    layers = ["features.0.1", "features.0.2"]
    found = networks.extractor(network, layers)(10 * normal(2, 3, 32, 32))
    assert found["features.0.1"].max() > 6
    torch.testing.assert_close(found["features.0.2"], found["features.0.1"].clamp(0, 6), rtol=0, atol=0)
    assert {"features.0.1", "features.0.2"} <= networks.nodes(network, (3, 32, 32))[0].keys()


# --- the graph ---


def test_graph__counts_parameters_and_operations() -> None:
    """By hand: 5 × 1 × 3 × 3 weights at 6 × 6 positions, and 5 × 10 once."""
    network = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 10))
    found = networks.graph(network, (1, 8, 8), 10)
    assert (found["parameters"], found["operations"]) == (45 + 5 + 50 + 10, 2 * (45 * 36 + 50))
    assert found["relu"] == ["1"]
    assert found["nodes"]["1"] == [5, 6, 6]


@pytest.mark.parametrize(
    ("name", "side", "found"),
    [("googlenet", 224, "aux_logits2"), ("inception_v3", 299, "aux_logits"), ("inception_v3", 96, "an error")],
)
def test_graph__refuses_auxiliary_outputs(name: str, side: int, found: str) -> None:
    network = networks.build(name, {"init_weights": False}, None, 10, 3)
    with pytest.raises(InputError, match=rf"\A.*in training: not 10 values each, but .*{found}.*aux_logits: false.*\Z"):
        networks.graph(network, (3, side, side), 10)
    network = networks.build(name, {"init_weights": False, "aux_logits": False}, None, 10, 3)
    assert networks.graph(network, (3, side, side), 10)["operations"] > 0


def test_graph__refuses_another_number_of_classes() -> None:
    with pytest.raises(InputError, match=r"not 9 values each, but \[2, 10\]"):
        networks.graph(networks.convnet(10, 1), (1, 8, 8), 9)


# --- shapes ---


@pytest.mark.parametrize(
    ("name", "arguments", "image_shape"),
    [
        ("convnet", {}, (1, 8, 8)),
        ("convnet", {"channels": [3, 5], "hidden": []}, (2, 9, 7)),
        ("resnet18", {}, (3, 40, 33)),
        ("squeezenet1_1", {}, (3, 32, 32)),
    ],
)
def test_nodes__have_the_shapes_of_a_forward_pass(
    name: str, arguments: dict[str, object], image_shape: tuple[int, int, int]
) -> None:
    network = networks.build(name, arguments, None, 10, image_shape[0])
    layers = get_graph_node_names(network, suppress_diff_warning=True)[1][1:]
    with torch.no_grad():
        outputs = networks.extractor(network, layers)(normal(1, *image_shape))
    expected = {layer: list(output.shape[1:]) for layer, output in outputs.items()}
    shapes, _ = networks.nodes(network, image_shape)
    assert list(shapes.items()) == list(expected.items())


def test_nodes__computes_nothing_for_a_large_network() -> None:
    network = networks.convnet(10, 3)
    shapes, _ = networks.nodes(network, (3, 10**5, 10**5))  # a terabyte of activations
    assert shapes["conv1.relu"] == [16, 10**5, 10**5]
    assert all(parameter.is_meta for parameter in network.parameters())


# --- convnet ---


def test_convnet__names_its_layers_by_kind_and_depth() -> None:
    network = networks.convnet(10, 1, [4, 6, 8], [12, 7])
    shapes, relu = networks.nodes(network, (1, 8, 8))
    assert relu == [f"{layer}.relu" for layer in ("conv1", "conv2", "conv3", "fc1", "fc2")]
    assert [shapes[layer] for layer in relu] == [[4, 8, 8], [6, 4, 4], [8, 2, 2], [12], [7]]


def test_convnet__draws_its_weights_after_he() -> None:
    torch.manual_seed(0)
    network = networks.convnet(10, 3, [64, 64], [256])
    for layer, inputs in {"conv2.linear": 64 * 9, "fc1.linear": 256}.items():
        weight, bias = (network.get_parameter(f"{layer}.{name}") for name in ("weight", "bias"))
        assert weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
        assert not bias.any()


def test_build__draws_from_the_global_generator() -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(networks.build("convnet", None, None, 10, 1).get_parameter("conv1.linear.weight"))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# --- a user's own network, and mistakes ---


def test_of_recipe__fits_a_network_from_a_file_to_the_data(own: Callable[..., Path]) -> None:
    architecture = Architecture("net", {"width": 3}, str(own()))
    recipe = Recipe("digits", architecture, Training(1, 32, 0.1), ("final",))
    network = networks.of_recipe(recipe, data.load("digits", "training"))
    assert network.get_parameter("conv.weight").shape == (3, 1, 3, 3)
    assert network.get_parameter("classify.weight").shape == (10, 3)


def test_build__gives_torchvision_the_number_of_classes_only() -> None:
    network = on_meta("resnet18", zero_init_residual=False)
    assert network.get_parameter("fc.weight").shape == (10, 512)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("resnet81", {}, "architecture.name: 'resnet81' is neither convnet nor a model of torchvision"),
        ("convnet", {"chanels": [4]}, "architecture.arguments: convnet: .*'chanels'.*channels"),
        ("convnet", {"in_channels": 4}, "architecture.arguments: convnet: .*'?in_channels'?"),
        ("resnet18", {"chanels": [4]}, "architecture.arguments: resnet18: .*'chanels'"),
        ("alexnet", {"num_classes": 4}, "architecture.arguments: alexnet: .*'?num_classes'?"),
        (
            "convnet",
            {"channels": []},
            r"architecture.arguments: convnet: ValueError: channels \[\] and hidden .* to be 1",
        ),
        ("convnet", {"channels": [0]}, r"architecture.arguments: convnet: ValueError: channels \[0\] and hidden"),
        ("convnet", {"channels": [2], "hidden": [-1]}, "architecture.arguments: convnet: ValueError: channels"),
        ("convnet", {"channels": 4}, "architecture.arguments: convnet: TypeError: "),
        ("vit_b_16", {"image_size": 225}, "architecture.arguments: vit_b_16 fails: AssertionError: Input shape"),
        ("quantized_resnet18", {"quantize": True}, "architecture.arguments: quantized_resnet18 fails: "),
    ],
)
def test_build__refuses_in_one_line(name: str, arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=rf"\A{expected}.*\Z"):
        on_meta(name, **arguments)


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("own.py", "nett", r"architecture\.name: .*own\.py defines no function 'nett'"),
        ("own.txt", "net", r"architecture\.file: .*own\.txt is no Python file"),
        ("absent.py", "net", r"architecture\.file: .*absent\.py"),
    ],
)
def test_build__refuses_a_file_without_the_network(
    own: Callable[..., Path], file: str, name: str, expected: str
) -> None:
    path = own().with_name(file)
    if file == "own.txt":
        path.write_text("")
    with pytest.raises(InputError, match=rf"\A{expected}.*\Z"):
        networks.build(name, None, path, 10, 1)


CLASS = """from torch import nn
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.fc = nn.Linear(64, classes)
    def forward(self, x):
        {forward}
        return self.fc(x.flatten(1))
def net(num_classes, in_channels):
    return Net(num_classes)
"""
LINE = r"own\.py, line"
LOOPS = "; forward may not branch, assert or loop on its input"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "def net(num_classes, in_channels) return 3",
            r"architecture\.file: SyntaxError: expected ':' \(own\.py, line 1\)",
        ),
        (
            "import not_installed",
            rf"architecture\.file: .*{LINE} 1: ModuleNotFoundError: No module named 'not_installed'",
        ),
        (
            "def net(num_classes, in_channels): pass",
            r"architecture\.name: net returns a NoneType, not a torch\.nn\.Module",
        ),
        ("net = 5", r"architecture\.name: .*own\.py defines no function 'net'"),
        ("raise SystemExit(0)", rf"architecture\.file: .*{LINE} 1: SystemExit: 0"),
        (
            "def net(num_classes, in_channels):\n    raise SystemExit(0)",
            rf"architecture\.file: net fails: .*{LINE} 2: SystemExit: 0",
        ),
        (
            "def net(num_classes, in_channels):\n    return 1 + 'a'",
            rf"architecture\.arguments: net: .*{LINE} 2: TypeError: .*; it takes \(num_classes, in_channels\)",
        ),
        (
            "from builtins import map as net",
            r"architecture\.arguments: net: TypeError: map\(\) takes no keyword arguments",
        ),
        (
            "from torch import nn\nclass net(nn.Module):\n    def __init__(self, num_classes, in_channels): pass",
            r"architecture\.file: net fails: AttributeError: 'net' object has no attribute '_modules'",
        ),
        (
            CLASS.format(forward="raise SystemExit(0)"),
            rf"does not take images of \(1, 8, 8\): .*{LINE} 7: SystemExit: 0",
        ),
        (
            CLASS.replace("        super().__init__()\n", ""),
            rf"architecture\.file: net fails: .*{LINE} 4: AttributeError: .*",
        ),
        (
            CLASS.format(forward="x = -x if x.sum() > 0 else x"),
            rf"cannot be traced: .*{LINE} 7: .* control flow{LOOPS}",
        ),
        (CLASS.format(forward="assert x.shape[1] == 1"), rf"cannot be traced: .*{LINE} 7: .* control flow{LOOPS}"),
        (CLASS.format(forward="x = [y for y in x][0]"), rf"cannot be traced: .*{LINE} 7: .*cannot be iterated{LOOPS}"),
        (CLASS.format(forward="x = y"), rf"does not take images of \(1, 8, 8\): .*{LINE} 7: NameError: .*"),
    ],
    ids=[
        "syntax",
        "import",
        "none",
        "constant",
        "exit",
        "exit in net",
        "type",
        "builtin",
        "no init",
        "exit in forward",
        "super",
        "branch",
        "assert",
        "loop",
        "name",
    ],
)
def test_graph__of_a_file_that_fails_names_its_line(tmp_path: Path, code: str, expected: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(code)
    with pytest.raises(InputError, match=rf"\A{expected}\Z"):
        networks.graph(networks.build("net", None, file, 10, 1), (1, 8, 8), 10)


# --- the recipes that come with the project ---

ROOT = Path(__file__).parents[1]
# Parameters: Caffe's bvlc_reference_caffenet without its groups, by hand; as published, He et al. 2016 3 × 3 stem,
# for ten classes, and torchvision's googlenet without its auxiliary classifiers; of the VGGs those of
# torchvision's convolutions, for each of their biases a second one of the batch normalisation, and the head by hand.
PARAMETERS = {
    "caffenet": 62_378_344,
    "cifar_resnet18": 11_173_962,
    "cifar_resnet34": 21_282_122,
    "cifar_vgg11": 9_220_480 + 2_752 + 2 * (512 * 512 + 512) + 5_130,
    "cifar_vgg16": 14_714_688 + 4_224 + 2 * (512 * 512 + 512) + 5_130,
    "googlenet": 6_624_904,
}


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "networks").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes__say_what_they_are_and_their_networks_take_the_images(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(path)
    comment = " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    for told in (
        r"et al\. 20\d\d|of this project",
        r"\d %|unmeasured",
        r"hour|minute|second",
    ):  # source, accuracy, cost
        assert re.search(told, comment), told
    known = NAMED[recipe.data]
    shape = known.shape or (3, recipe.image_size, recipe.image_size)
    architecture = recipe.architecture
    file = Path(architecture.file) if architecture.file else None
    with torch.device("meta"):
        network = networks.build(architecture.name, architecture.arguments, file, known.classes, shape[0])
    shapes, relu = networks.nodes(network, shape)
    assert len(relu) >= 4
    assert all(shapes[name] for name in relu)
    if path.stem in PARAMETERS:
        assert sum(p.numel() for p in network.parameters()) == PARAMETERS[path.stem]
    assert network.train()(torch.empty(2, *shape, device="meta")).shape == (2, known.classes)  # as in training


@pytest.mark.parametrize("name", ["cifar_vgg11", "cifar_vgg16", "cifar_resnet18", "cifar_resnet34"])
def test_recipes__of_wang2018_begin_with_their_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions from N(0, 2 / inputs), the first one too; fully connected layers from N(0, 0.01²); no bias."""
    monkeypatch.chdir(ROOT)
    made = load_recipe(Path("config", "networks", f"{name}.yaml")).architecture
    torch.manual_seed(0)
    network = networks.build(made.name, made.arguments, Path(made.file), 10, 3)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert isinstance(layers[0], nn.Conv2d)
    for layer in layers:
        inputs = layer.weight[0].numel()
        expected = (2 / inputs) ** 0.5 if isinstance(layer, nn.Conv2d) else 0.01
        assert layer.weight.std().item() == pytest.approx(expected, rel=4 / layer.weight.numel() ** 0.5)
        assert layer.weight.abs().max() > 2.5 * expected  # not uniform
        assert layer.bias is None or not layer.bias.any()
