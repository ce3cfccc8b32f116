"""Names: a snapshot is ``{network}-s{seed}-{stage}``, a pair ``{a}--{b}``, a training ``{network}-s{seed}``."""

import re

SNAPSHOT = re.compile(r"([a-z0-9_]+)-s(\d+)-[a-z0-9_]+")


def network_of(name: str) -> str:
    """The network of a pair or snapshot; ``{network_a}--{network_b}`` of a pair of different ones."""
    return "--".join(dict.fromkeys(network for network, _ in SNAPSHOT.findall(name)))


def stages_of(name: str) -> tuple[str, ...]:
    """The stages of a pair or snapshot."""
    return tuple(snapshot.rpartition("-")[2] for snapshot in name.split("--"))


def trainings_of(name: str) -> frozenset[str]:
    """The trainings of a pair or snapshot."""
    return frozenset(f"{network}-s{seed}" for network, seed in SNAPSHOT.findall(name))
