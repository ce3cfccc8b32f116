"""What a plan knows of a network: the shapes of its nodes, as `inspect` finds them with meta tensors.

The rules read them from the file of `inspect`; a plan before any rule has run makes them itself.
The Snakefile imports this module: the standard library only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Layer:
    """One recorded layer: its units, and the positions of an image that are stored; 1 where it has none."""

    units: int
    positions: int


@dataclass(frozen=True)
class Network:
    """A network as far as a plan goes; values are of one image.

    Attributes
    ----------
    layers : that are recorded
    outputs : values of these layers, at all positions
    largest : values of the largest node of the graph
    values : of all nodes
    parameters : weights and biases
    operations : of a forward pass, a multiplication and an addition counted as two; 0: not counted
    """

    layers: tuple[Layer, ...]
    outputs: int
    largest: int
    values: int
    parameters: int
    operations: int


def network(
    graph: Mapping[str, Any],
    chosen: Literal["all"] | Sequence[str],
    positions: Literal["all"] | int,
) -> Network:
    """From what `inspect` writes.

    Parameters
    ----------
    graph : ``nodes``, [unit, y, x] or [unit] of each, ``relu``, those that follow a ReLU, ``parameters`` and
        ``operations``
    chosen : layers to record, `all` that follow a ReLU or some nodes
    positions : of each image that are stored, at most
    """
    nodes: Mapping[str, Sequence[int]] = graph["nodes"]
    shapes = [nodes[name] for name in (graph["relu"] if chosen == "all" else chosen)]
    sizes = [math.prod(shape) for shape in nodes.values()]
    most = math.inf if positions == "all" else positions
    return Network(
        tuple(Layer(shape[0], int(min(math.prod(shape[1:]), most))) for shape in shapes),
        sum(math.prod(shape) for shape in shapes),
        max(sizes),
        sum(sizes),
        graph["parameters"],
        graph["operations"],
    )
