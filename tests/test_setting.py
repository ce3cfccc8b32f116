"""The opening of the report, by hand."""

import itertools
from typing import Any

import pytest

from convergent import setting
from convergent.setting import Probe, Training

PROBE = Probe("cifar10", 2000, 10, 5)


def trainings(network: str, *accuracies: float, epochs: int = 6) -> list[Training]:
    return [Training(network, seed, "cifar10", "vgg", epochs, value) for seed, value in enumerate(accuracies)]


def comparison(name: str, pairs: list[tuple[str, str]], untrained: str | None = None) -> dict[str, Any]:
    return {"name": name, "pairs": pairs, "untrained": untrained}


def of_seeds(network: str, stage: str = "final", stage_b: str | None = None) -> list[tuple[str, str]]:
    return [
        (f"{network}-s{p}-{stage}", f"{network}-s{q}-{stage_b or stage}")
        for p, q in itertools.combinations(range(3), 2)
    ]


def test_write__tells_networks_and_probe() -> None:
    of = [*trainings("small", 0.82, 0.83, 0.81), *trainings("wide", 0.91, 0.91, epochs=1)]
    told, *_ = setting.write("mine", of, [PROBE], [comparison("trained", of_seeds("small"))])
    assert told == (
        "**Networks and probe** of the experiment *mine*. "
        "*small* (vgg), seeds 0, 1 and 2, trained on cifar10 for 6 epochs, in the end answers 82.0% of the held-out "
        "images right on average, 81.0% to 83.0% by seed. "
        "*wide* (vgg), seeds 0 and 1, trained on cifar10 for 1 epoch, in the end answers 91.0% of the held-out images "
        "right with each seed. "
        "Compared are their activations on the same 2000 held-out images of cifar10, of 10 classes, in 5 folds."
    )


def test_write__tells_no_accuracy_where_no_network_is_compared_after_training() -> None:
    told, compared = setting.write(
        None, trainings("small", 0.8, 0.9), [PROBE], [comparison("start", of_seeds("small", "init"))]
    )
    assert told.startswith("**Networks and probe**. *small* (vgg), seeds 0 and 1, is not trained. Compared")
    assert compared == "- **start**: two seeds of one network, both untrained: 3 pairs of small."


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (of_seeds("a") + of_seeds("b")[:1], "two seeds of one network, both trained: 3 pairs of a and 1 pair of b."),
        (of_seeds("a", "final", "init"), "two seeds of one network, A trained, B untrained: 3 pairs of a."),
        ([("a-s0-epoch1", "a-s0-final")], "one seed at two stages, A after 1 epoch, B trained: 1 pair of a."),
        (of_seeds("a", "epoch12"), "two seeds of one network, both after 12 epochs: 3 pairs of a."),
        (
            [("a-s0-final", "b-s1-final"), ("a-s1-final", "b-s0-final")],
            "two different networks, of different seeds, both trained: 2 pairs of a and b.",
        ),
    ],
)
def test_write__tells_what_is_compared(pairs: list[tuple[str, str]], told: str) -> None:
    *_, compared = setting.write(None, trainings("a", 0.8, 0.8), [PROBE], [comparison("named", pairs)])
    assert compared == f"- **named**: {told}"


def test_write__names_the_null_of_a_comparison() -> None:
    start = of_seeds("a", "init")
    listed = [comparison("look", start), comparison("trained", of_seeds("a"), "untrained")]
    listed.append(comparison("untrained", start))
    *_, trained, untrained = setting.write(None, trainings("a", 0.8, 0.8), [PROBE], listed)
    assert trained.endswith("3 pairs of a. Beside it, as its null, **untrained**.")
    assert "null" not in untrained
