"""The opening of the report: which networks were trained, on which images they are compared, and what is compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from convergent.snapshots import network_of, stages_of, trainings_of

STAGES = {"init": "untrained", "final": "trained"}


@dataclass(frozen=True)
class Training:
    """One network and seed, and the share of all held-out images that it answers right at its end."""

    network: str
    seed: int
    data: str
    architecture: str
    epochs: int
    accuracy: float


@dataclass(frozen=True)
class Probe:
    """The held-out images of a data set on which networks are compared."""

    data: str
    images: int
    classes: int
    folds: int


def write(
    name: str | None,
    trainings: Sequence[Training],
    probes: Sequence[Probe],
    comparisons: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Paragraphs in reStructuredText: networks and probe, then a list of what is compared.

    Parameters
    ----------
    name : of the experiment; None: the default one
    trainings : of all networks and seeds
    comparisons : with ``name``, ``pairs`` and ``untrained`` (name of the null, or None)
    """
    heading = "**Networks and probe**" + (f" of the experiment *{name}*." if name else ".")
    stages = {stage for one in comparisons for pair in one["pairs"] for stage in stages_of("--".join(pair))}
    networks = dict.fromkeys(training.network for training in trainings)
    told = [_network([one for one in trainings if one.network == network], stages != {"init"}) for network in networks]
    shown = [
        f"Compared are their activations on the same {probe.images} held-out images of {probe.data}, "
        f"of {probe.classes} classes, in {probe.folds} folds."
        for probe in probes
    ]
    return [" ".join([heading, *told, *shown]), *(f"- {text}" for text in _comparisons(comparisons))]


def _network(trainings: Sequence[Training], trained: bool) -> str:
    """Seeds and, unless all networks are compared as they were before training, what they reach."""
    one, seeds = trainings[0], _listed([str(training.seed) for training in trainings])
    text = f"*{one.network}* ({one.architecture}), seeds {seeds}"
    if not trained:
        return f"{text}, is not trained."
    accuracies = [training.accuracy for training in trainings]
    least, largest = f"{min(accuracies):.1%}", f"{max(accuracies):.1%}"
    spread = "with each seed" if least == largest else f"on average, {least} to {largest} by seed"
    epochs = "1 epoch" if one.epochs == 1 else f"{one.epochs} epochs"
    return (
        f"{text}, trained on {one.data} for {epochs}, in the end answers {fmean(accuracies):.1%} of the held-out "
        f"images right {spread}."
    )


def _comparisons(comparisons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for comparison in comparisons:
        names = ["--".join(pair) for pair in comparison["pairs"]]
        stages = list(map(_stage, stages_of(names[0])))
        when = f"both {stages[0]}" if len(set(stages)) == 1 else f"A {stages[0]}, B {stages[1]}"
        null = comparison["untrained"]
        networks = dict.fromkeys(map(network_of, names))
        counts = (f"{_count(names, network)} of {network.replace('--', ' and ')}" for network in networks)
        beside = f" Beside it, as its null, **{null}**." if null else ""
        yield f"**{comparison['name']}**: {_sides(names[0])}, {when}: {_listed(list(counts))}.{beside}"


def _sides(pair: str) -> str:
    if "--" in network_of(pair):
        return "two different networks, of different seeds"
    return "two seeds of one network" if len(trainings_of(pair)) == 2 else "one seed at two stages"


def _stage(stage: str) -> str:
    epochs = stage.removeprefix("epoch")
    return STAGES.get(stage) or f"after {epochs} {'epoch' if epochs == '1' else 'epochs'}"


def _count(names: Sequence[str], network: str) -> str:
    pairs = sum(network_of(name) == network for name in names)
    return "1 pair" if pairs == 1 else f"{pairs} pairs"


def _listed(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]
