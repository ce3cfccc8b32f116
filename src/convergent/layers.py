"""Which layers of a network are recorded and altered.

The Snakefile imports this module: no scientific library.
"""

from collections.abc import Sequence
from typing import Literal

from convergent.declarations import closest, listed
from convergent.errors import InputError


def chosen_layers(
    network: str, layers: Literal["all"] | Sequence[str], nodes: Sequence[str], relu: Sequence[str]
) -> list[str]:
    """The layers of a network that are meant, in order of depth, however they are listed.

    Parameters
    ----------
    network : its name
    layers : all that follow a ReLU, or some nodes
    nodes, relu : of its graph, in order of depth: those that can be recorded, and those that follow a ReLU

    Raises
    ------
    InputError : for layers that are no nodes, or where nothing follows a ReLU
    """
    if layers == "all" and not relu:
        raise InputError(f"{network} has no post-ReLU layers; name some of its nodes under layers: {listed(nodes)}")
    if layers == "all":
        return list(relu)
    for layer in layers:
        if layer not in nodes:
            raise InputError(
                f"configuration: layers: {network} has no layer {layer!r}; its post-ReLU layers are {listed(relu)}"
                f"{closest(layer, nodes)}"
            )
    return [node for node in nodes if node in layers]
