"""Ranges over layers and verdicts, in words."""

from collections.abc import Mapping

import numpy as np
import pytest

from convergent import wording
from convergent.tables import WHOLE, Excess


def larger(mean: float) -> Excess:
    return Excess(mean, 0.12, "larger")


def not_apart(mean: float) -> Excess:
    return Excess(mean, 0.12, "not told apart")


def same(mean: float) -> Excess:
    return Excess(mean, 0.0, "no spread")


UNDEFINED = Excess(np.nan, np.nan, "")


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({"conv1": 0.6}, "0.60 (``conv1``)"),
        ({"conv1": 0.6, "conv2": 0.3, "fc": 0.5}, "0.30 (``conv2``) to 0.60 (``conv1``)"),
        ({"conv1": 0.6, "conv2": 0.601}, "0.60"),  # the same in all layers, as it is told
        ({"conv1": 0.6, "conv2": np.nan, "fc": 0.5}, "0.50 (``fc``) to 0.60 (``conv1``) (undefined in ``conv2``)"),
        ({"conv1": 0.6, "conv2": np.nan}, "0.60 (``conv1``) (undefined in ``conv2``)"),
        (
            {"conv1": np.nan, "conv2": 0.6, "conv3": np.nan, "conv4": np.nan, "fc1": np.nan, "fc2": 0.6},
            "0.60 (undefined in ``conv1``, ``conv3`` through ``fc1``)",
        ),
        ({"conv1": np.nan}, "not defined in any layer"),
        ({"conv1": -0.001}, "0.00 (``conv1``)"),
        ({WHOLE: 0.6}, "0.60"),
        ({WHOLE: np.nan}, "(not defined)"),
    ],
)
def test_span__is_the_least_and_the_largest_of_the_layers(means: Mapping[str, float], expected: str) -> None:
    assert wording.span(means, ".2f") == expected


@pytest.mark.parametrize(
    ("excess", "expected"),
    [
        ({"a": larger(0.6)}, "larger in ``a`` (+0.60 ± 0.12)"),
        ({WHOLE: larger(0.6)}, "larger in the network as a whole (+0.60 ± 0.12)"),
        ({"a": Excess(-0.6, 0.12, "smaller")}, "smaller in ``a`` (-0.60 ± 0.12)"),
        (
            {"a": Excess(0.8, np.nan, "")},
            "untested, for want of a standard error over at least three seeds, in ``a`` (+0.80)",
        ),
        ({"a": same(0.5)}, "the same in every pair, so untested, in ``a`` (+0.50)"),
        ({"a": UNDEFINED}, "not defined for every pair, so untested, in ``a``"),
        (
            {"a": UNDEFINED, "b": not_apart(0.1), "c": larger(0.6), "d": larger(0.5)},
            "larger in ``c`` (+0.60 ± 0.12), ``d`` (+0.50 ± 0.12), not told apart in ``b`` (+0.10 ± 0.12), "
            "not defined for every pair, so untested, in ``a``",
        ),
    ],
)
def test_verdicts__tell_few_layers_one_by_one(excess: Mapping[str, Excess], expected: str) -> None:
    assert wording.verdicts(excess, ".2f") == expected


@pytest.mark.parametrize(
    ("larger_in", "where"),
    [
        ("abc", "``a`` through ``c`` "),
        ("abce", "``a`` through ``c``, ``e`` "),
        ("bcef", "``b``, ``c``, ``e``, ``f`` "),
        ("acdef", "``a``, ``c`` through ``f`` "),
        ("abcdef", "every layer "),
    ],
)
def test_verdicts__tell_many_layers_by_runs_with_the_least_and_the_most(larger_in: str, where: str) -> None:
    excess = {layer: larger(i / 10) if layer in larger_in else same(0.0) for i, layer in enumerate("abcdef", 1)}
    least, most = (f"+{excess[layer].mean:.2f} ± 0.12 in ``{layer}``" for layer in (larger_in[0], larger_in[-1]))
    assert wording.verdicts(excess, ".2f").startswith(f"larger in {where}({least} to {most})")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (not_apart(0.1), "not told apart in any layer (+0.10 ± 0.12)"),
        (same(0.5), "the same in every pair, so untested, in every layer (+0.50)"),
        (UNDEFINED, "not defined for every pair, so untested, in every layer"),
    ],
)
def test_verdicts__tell_what_is_one_in_every_layer_once(one: Excess, expected: str) -> None:
    assert wording.verdicts(dict.fromkeys("abc", one), ".2f") == expected


def test_verdicts__name_many_undefined_layers_without_numbers() -> None:
    excess = {"a": larger(0.6)} | dict.fromkeys("bcd", UNDEFINED)
    assert wording.verdicts(excess, ".2f").endswith(", not defined for every pair, so untested, in ``b`` through ``d``")


@pytest.mark.parametrize("form", [".0%", ".1%"])
def test_verdicts__tell_shares_in_points(form: str) -> None:
    told = wording.verdicts({"a": larger(0.0951), "b": same(-0.5)}, form)
    assert told == "larger in ``a`` (+9.5 ± 12.0 points), the same in every pair, so untested, in ``b`` (-50.0 points)"
