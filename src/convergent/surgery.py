"""Networks cut at a layer: what follows it, run on activations that were altered or come from another network.

The graph of a network is traced and the node of the layer gives way to an input (torch.fx). What by-passes the layer,
as a skip connection does, is still computed from the images by the network itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.fx import GraphModule
from torchvision.models.feature_extraction import NodePathTracer

from convergent import networks

# images, labels, the fold that they are of
Batch = tuple[torch.Tensor, torch.Tensor, int]
# layer, fold, its activations → the altered ones, each a tensor of its own
Alter = Callable[[str, int, torch.Tensor], Iterable[torch.Tensor]]


def after(network: nn.Module, layer: str) -> GraphModule:
    """The part of a network that follows a layer, as a module of the images and the activations of that layer."""
    tracer = NodePathTracer()
    module = GraphModule(network, tracer.trace(network.eval()))
    graph = module.graph
    node = next(node for node in graph.nodes if tracer.node_to_qualname.get(node) == layer)
    images = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(images):
        given = graph.placeholder("given")
    node.replace_all_uses_with(given)
    graph.eliminate_dead_code()
    module.recompile()
    return module.eval()


def bypassed(rest: GraphModule) -> bool:
    """Whether images reach the answer of `after` by another way than the layer."""
    images = next(node for node in rest.graph.nodes if node.op == "placeholder")
    return bool(images.users)


def accuracies(
    sender: nn.Module, receiver: nn.Module, layers: Sequence[str], altered: Alter, batches: Iterable[Batch]
) -> dict[str, np.ndarray]:
    """Accuracy of a network whose layer is replaced, each layer by itself.

    Parameters
    ----------
    sender, receiver : what computes the activations of a layer, and what goes on from there; they may be one
    layers : nodes of both
    altered : what the receiver is given in the place of its layer, as many variants as it yields
    batches : of one fold each, on the device of both

    Returns
    -------
    share of correct answers [variant, fold], 0–1, by layer
    """
    seen, rest = networks.extractor(sender, layers), {layer: after(receiver, layer) for layer in layers}
    correct: dict[str, dict[int, torch.Tensor]] = {layer: {} for layer in layers}
    images_of: dict[int, int] = {}
    with torch.no_grad():
        for images, labels, fold in batches:
            activations = seen(images)
            images_of[fold] = images_of.get(fold, 0) + len(images)
            for layer in layers:
                answers = (rest[layer](images, given) for given in altered(layer, fold, activations.pop(layer)))
                found = torch.stack([(answer.argmax(1) == labels).sum() for answer in answers])
                correct[layer][fold] = correct[layer].get(fold, torch.zeros_like(found)) + found
    shares = {layer: [found.cpu() / images_of[fold] for fold, found in of.items()] for layer, of in correct.items()}
    return {layer: torch.stack(of_folds, 1).double().numpy() for layer, of_folds in shares.items()}


def intact(network: nn.Module, batches: Iterable[Batch]) -> np.ndarray:
    """Share of correct answers of a network as it is, [fold]."""
    correct: dict[int, list[torch.Tensor]] = {}
    with torch.no_grad():
        for images, labels, fold in batches:
            correct.setdefault(fold, []).append(network(images).argmax(1) == labels)
    return np.array([float(torch.cat(of_fold).double().mean()) for of_fold in correct.values()])


def mapped(activation: torch.Tensor, weight: torch.Tensor, intercept: torch.Tensor) -> Iterator[torch.Tensor]:
    """The activations of a layer through affine maps of its units, the same at every position.

    Parameters
    ----------
    activation : [image, unit, y, x] or [image, unit]
    weight, intercept : [map, unit of the receiver, unit], [map, unit of the receiver]
    """
    for w, b in zip(weight, intercept, strict=True):
        if activation.ndim == 2:
            yield nn.functional.linear(activation, w, b)
        else:
            yield nn.functional.conv2d(activation, w[:, :, None, None], b)


def removed(activation: torch.Tensor, mask: torch.Tensor, mean: torch.Tensor) -> Iterator[torch.Tensor]:
    """The activations of a layer with some units at their mean.

    Parameters
    ----------
    activation : [image, unit, y, x] or [image, unit]
    mask : which units are removed, bool[variant, unit]
    mean : of each unit, [unit]
    """
    shape = (-1, *[1] * (activation.ndim - 2))
    for chosen in mask:
        yield torch.where(chosen.reshape(shape), mean.reshape(shape), activation)


def logits(network: nn.Module, batches: Iterable[torch.Tensor]) -> np.ndarray:
    """The answers of a network, [image, class]."""
    device = next(network.parameters()).device
    with torch.no_grad():
        return torch.cat([network(batch.to(device)).float().cpu() for batch in batches]).numpy()
