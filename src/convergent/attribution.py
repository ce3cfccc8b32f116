"""What in an image excites a unit: guided back-propagation and deconvolution, by captum.

Both are the gradient of one activation by the pixels, but for what a ReLU hands back: guided back-propagation zeros
what is negative of the gradient (Springenberg et al. 2015, arXiv 1412.6806), deconvolution that and nothing else, also
where the ReLU was off (Zeiler and Fergus 2014, arXiv 1311.2901). Of other nonlinearities the gradient is as it is.
"""

import warnings
from collections.abc import Sequence

import torch
from captum.attr import Deconvolution, GuidedBackprop
from torch import nn
from torch.fx import Graph, GraphModule, Node

from convergent import networks

METHODS = {"guided_backpropagation": GuidedBackprop, "deconvolution": Deconvolution}


def until(network: nn.Module, layer: str, *, before_relu: bool = False) -> GraphModule:
    """The network up to one of its nodes, every ReLU a module of its own, as captum needs them.

    Parameters
    ----------
    network : in evaluation mode from now on; its weights are shared
    layer : the node whose activations it returns, [image, unit, y, x] or [image, unit]
    before_relu : return what enters the node, where that is a ReLU
    """
    made = networks.extractor(network, [layer])
    graph: Graph = made.graph
    (output,) = (node for node in graph.nodes if node.op == "output")
    node: Node = output.args[0][layer]
    relus = [node for node in graph.nodes if networks.is_relu(node, made)]
    output.args = (node.all_input_nodes[0] if before_relu and node in relus else node,)
    for i, relu in enumerate(relus):
        made.add_submodule(f"relu_{i}", nn.ReLU())
        with graph.inserting_before(relu):
            fresh = graph.call_module(f"relu_{i}", (relu.all_input_nodes[0],))
        relu.replace_all_uses_with(fresh)
        graph.erase_node(relu)
    graph.eliminate_dead_code()
    return GraphModule(made, graph)


def attribute(
    model: GraphModule, images: torch.Tensor, units: Sequence[int], places: Sequence[tuple[int, int]]
) -> dict[str, torch.Tensor]:
    """By both methods, what in each image excites a unit at a place.

    Parameters
    ----------
    model : from `until`
    images : [image, channel, y, x], as the network takes them
    units, places : of each image, a unit and the y and x of its position; of no meaning in layers without positions

    Returns
    -------
    of each method [image, channel, y, x], signed, in activation for a pixel as the network takes it
    """
    images = images.detach().clone().requires_grad_()
    with torch.no_grad():
        positions = model(images[:1]).ndim == 4
    target = [(u, *place) for u, place in zip(units, places, strict=True)] if positions else list(units)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU activations")
        return {name: method(model).attribute(images, target=target).detach() for name, method in METHODS.items()}
