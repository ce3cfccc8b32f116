"""The networks that are trained, and the names of their layers.

A layer is a node of the traced graph, named as torchvision's feature extraction names it; by default the layers
are the nodes that follow a ReLU.
"""

import importlib.util
import inspect
import operator
import traceback
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision.models
from torch import nn
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.proxy import TraceError
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import NodePathTracer

from convergent.config import Recipe
from convergent.data import Images
from convergent.errors import InputError

# Arguments of torchvision's models that load weights from elsewhere.
PRETRAINED = {"weights", "weights_backbone", "pretrained", "pretrained_backbone"}
RELU = {torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_, "relu", "relu_"}
NOT_IN_PLACE = {
    torch.relu_: torch.relu,
    nn.functional.relu_: torch.relu,
    "relu_": "relu",
    operator.iadd: operator.add,
    operator.imul: operator.mul,
}


def convnet(
    num_classes: int, in_channels: int, channels: Sequence[int] = (16, 32, 32), hidden: Sequence[int] = (64,)
) -> nn.Module:
    """A small network for small images: 3×3 convolutions, one pooling, fully connected layers, ReLU after each.

    Parameters
    ----------
    num_classes, in_channels : of the data
    channels : of each convolution; the second and each later one halves the image
    hidden : units of each fully connected layer before the last

    Raises
    ------
    ValueError : without channels, or where one of the numbers is below 1
    """
    if not channels or min(*channels, *hidden, 1) < 1:
        raise ValueError(f"channels {channels} and hidden {hidden} are to be 1 or more each, of one channel at least")
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise((in_channels, *channels)), start=1):
        convolution = nn.Conv2d(before, after, 3, padding=1, stride=2 if i > 1 else 1)
        blocks[f"conv{i}"] = nn.Sequential(OrderedDict(linear=convolution, relu=nn.ReLU()))
    blocks["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    for i, (before, after) in enumerate(pairwise((4 * channels[-1], *hidden)), start=1):
        blocks[f"fc{i}"] = nn.Sequential(OrderedDict(linear=nn.Linear(before, after), relu=nn.ReLU()))
    blocks["classify"] = nn.Linear(hidden[-1] if hidden else 4 * channels[-1], num_classes)
    network = nn.Sequential(blocks)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network


def kaiming(network: nn.Module) -> nn.Module:
    """A network with its weights drawn anew as in Wang et al. 2018, and biases of zero.

    Those of convolutions are from N(0, 2 / inputs), after He et al. 2015, of fully connected layers from N(0, 0.01²).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network


def build(
    name: str, arguments: Mapping[str, Any] | None, file: Path | None, num_classes: int, in_channels: int
) -> nn.Module:
    """Build a network with new weights from the global generator of torch.

    Parameters
    ----------
    name : ``convnet``, a classifier of torchvision, or a function in `file`
    arguments : passed to that function
    file : a Python file that defines ``name(num_classes=…, in_channels=…, **arguments)``
    num_classes, in_channels : of the data; torchvision's models are not told the channels

    Raises
    ------
    InputError : if there is no such network, it refuses the arguments, or `file` fails
    """
    data = {"num_classes": num_classes, "in_channels": in_channels}
    if file is not None:
        make = _function(file, name)
    elif name == "convnet":
        make = convnet
    else:
        try:
            make = torchvision.models.get_model_builder(name)
        except ValueError:
            raise InputError(f"architecture.name: {name!r} is neither convnet nor a model of torchvision") from None
        if elsewhere := PRETRAINED & set(arguments or {}):
            raise InputError(f"architecture.arguments: {min(elsewhere)}: networks are trained here, from their seeds")
        del data["in_channels"]
        if "weights_backbone" in inspect.signature(make).parameters:  # which are loaded unless refused
            make = partial(make, weights_backbone=None)
    try:
        network: nn.Module = make(**data, **(arguments or {}))
        modules = [*network.modules()] if isinstance(network, nn.Module) else []
    except (TypeError, ValueError) as error:
        raise InputError(f"architecture.arguments: {name}: {_told(error)}{_taken(make)}") from error
    except (Exception, SystemExit) as error:
        where = "arguments" if file is None else "file"
        raise InputError(f"architecture.{where}: {name} fails: {_told(error)}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"architecture.name: {name} returns a {type(network).__name__}, not a torch.nn.Module")
    for module in modules:
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]  # in place it would overwrite the node before it
    return network


def of_recipe(recipe: Recipe, images: Images) -> nn.Module:
    """The network of a recipe, fitted to its images."""
    architecture = recipe.architecture
    file = Path(architecture.file) if architecture.file else None
    return build(architecture.name, architecture.arguments, file, len(images.class_names), images.shape[0])


def graph(network: nn.Module, image_shape: Sequence[int], classes: int) -> dict[str, Any]:
    """What a plan and a recording know of a network, without computing any of it.

    Parameters
    ----------
    network : moved to the meta device
    image_shape : channel, y, x of one image
    classes : of the data

    Returns
    -------
    ``nodes`` and ``relu`` as of `nodes`; ``parameters``, how many; ``operations`` of a forward pass of one image, a
    multiplication and an addition counted as two

    Raises
    ------
    InputError : if the network cannot be traced, does not take the images, or answers in training with anything but a
        value a class
    """
    parameters = sum(p.numel() for p in network.parameters())
    try:
        shapes, relu = nodes(network, image_shape)
    except TraceError as error:
        told = f"{_told(error)}; forward may not branch, assert or loop on its input"
        raise InputError(f"cannot be traced: {told}") from error
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"does not take images of {tuple(image_shape)}: {_told(error)}") from error
    operations = _operations(network, image_shape, classes)
    return {"parameters": parameters, "operations": operations, "nodes": shapes, "relu": relu}


def _operations(network: nn.Module, image_shape: Sequence[int], classes: int) -> int:
    """Those of a forward pass of one image in training, where some networks of torchvision have auxiliary outputs."""
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        try:
            answer = network.train()(torch.empty(2, *image_shape))
        except (Exception, SystemExit) as error:
            answer = f"an error ({_told(error)})"
    if not isinstance(answer, torch.Tensor) or answer.shape != (2, classes):
        found = list(answer.shape) if isinstance(answer, torch.Tensor) else getattr(answer, "_fields", answer)
        raise InputError(
            f"two images in training: not {classes} values each, but {found}; where these are auxiliary outputs of a "
            "network of torchvision, set aux_logits: false in architecture.arguments"
        )
    return int(counter.get_total_flops()) // len(answer)


def nodes(network: nn.Module, image_shape: Sequence[int]) -> tuple[dict[str, list[int]], list[str]]:
    """The layers that can be recorded, without computing any: one that follows a ReLU is a layer by default.

    Parameters
    ----------
    network : moved to the meta device
    image_shape : channel, y, x of one image

    Returns
    -------
    the shape of one image's activations in each node of the traced graph, [unit, y, x] or [unit], in order; and the
    names of those that are a ReLU

    Raises
    ------
    InputError : where a statement overwrites the activations of a node before it
    """
    with torch.no_grad(), torch.device("meta"):
        watched = _Watched(network.to("meta"))
        watched.run(torch.empty(2, *image_shape))
    return watched.shapes, watched.relu


class _Watched(Interpreter):
    """The graph of a network, which notes the nodes it runs, and refuses one that overwrites what came before it."""

    def __init__(self, network: nn.Module) -> None:
        tracer = NodePathTracer()
        super().__init__(GraphModule(network, tracer.trace(network.eval())))
        self.extra_traceback = False
        self.names: dict[Node, str] = tracer.node_to_qualname
        self.shapes: dict[str, list[int]] = {}
        self.relu: list[str] = []

    def run_node(self, n: Node) -> Any:
        versions = {node: held._version for node, held in self.env.items() if isinstance(held, torch.Tensor)}
        output = super().run_node(n)
        overwritten = [node for node, version in versions.items() if self.env[node]._version > version]
        if _is_function(n) and n.target in RELU | NOT_IN_PLACE.keys():  # `extractor` writes it elsewhere
            overwritten = [node for node in overwritten if node not in self.user_to_last_uses.get(n, [])]
        name = self.names.get(n, n.name)
        if overwritten:
            word = getattr(n.target, "__name__", str(n.target))
            instead = f"y.{word.rstrip('_')}(…)" if n.op == "call_method" else f"{word.rstrip('_')}(y, …)"
            lost = self.names.get(overwritten[0], overwritten[0].name)
            raise InputError(f"{name} overwrites {lost}; write y = {instead}, which is not in place")
        recordable = n in self.names and n.op not in ("placeholder", "output")
        if recordable and isinstance(output, torch.Tensor) and output.ndim in (2, 4):
            self.shapes[name] = list(output.shape[1:])
            self.relu += [name] if is_relu(n, self.module) else []
        return output


def check_graph(network: nn.Module, image_shape: Sequence[int]) -> None:
    """Show two images of noise to a network and to its graph, in evaluation.

    Parameters
    ----------
    network : with weights, of which `graph` has found no fault
    image_shape : channel, y, x of one image

    Raises
    ------
    InputError : where they do not answer alike, and what is recorded would not be what is trained
    """
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            expected, found = network.eval()(images), _traced(network)[0].eval()(images)
    except (Exception, SystemExit) as error:
        raise InputError(f"does not take images of {tuple(image_shape)}: {_told(error)}") from error
    try:
        torch.testing.assert_close(found, expected, equal_nan=True)
    except (AssertionError, TypeError):
        raise InputError(
            "its traced graph does not answer as forward does; in evaluation forward may neither draw at random, as "
            "F.dropout(y) does without training=self.training, nor change in place (y += …) what has a second name"
        ) from None


def extractor(network: nn.Module, layers: Sequence[str]) -> GraphModule:
    """A module that returns the activations of some layers by name: [image, unit, y, x] or [image, unit]."""
    extracting, named = _traced(network)
    (output,) = extracting.graph.find_nodes(op="output")
    output.args = ({layer: named[layer] for layer in layers},)
    extracting.graph.eliminate_dead_code()
    extracting.recompile()
    return extracting.eval()


def _traced(network: nn.Module) -> tuple[GraphModule, dict[str, Node]]:
    """The graph of a network in evaluation, and its nodes by name; what is in place writes elsewhere."""
    tracer = NodePathTracer()
    traced = GraphModule(network, tracer.trace(network.eval()))
    for node in traced.graph.nodes:
        # In place it would overwrite the node recorded before it.
        if _is_function(node):
            node.target = NOT_IN_PLACE.get(node.target, node.target)
        if node.target is nn.functional.relu:
            node.args, node.kwargs = node.args[:1], {"input": node.kwargs["input"]} if "input" in node.kwargs else {}
    traced.recompile()
    return traced, {name: node for node, name in tracer.node_to_qualname.items()}


def is_relu(node: Node, network: nn.Module) -> bool:
    """Whether a node of a network's graph is a ReLU, as a module or as a function."""
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.ReLU)
    return _is_function(node) and node.target in RELU


def _is_function(node: Node) -> bool:
    return node.op in ("call_function", "call_method")


def _function(file: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(f"architecture.file: {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"architecture.file: {_told(error)}") from error
    if not callable(getattr(module, name, None)):
        raise InputError(f"architecture.name: {file} defines no function {name!r}")
    return getattr(module, name)


def _taken(make: Any) -> str:
    try:
        return f"; it takes {inspect.signature(make)}"
    except (TypeError, ValueError):  # of some that are no Python
        return ""


def _told(error: BaseException) -> str:
    """The first sentence of an error, and the line of a user's file where it arose."""
    others = str(Path(torch.__file__).parents[1]), str(Path(__file__).parent), "<"  # installed, ours, and imports
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    told = (str(error).splitlines() or [""])[0].partition(". ")[0]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
    return f"{where}{type(error).__name__}: {told}"
