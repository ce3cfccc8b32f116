"""One number of a benchmark, and the clock it is measured with."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Result:
    """What one comparison found.

    Attributes
    ----------
    name : what is compared with what
    value : the ratio, or what `unit` says
    target : what it should be
    at_most : whether the target is the largest value that passes; else the smallest
    unit : of the value
    details : what the value is made of, in seconds unless the name says otherwise
    """

    name: str
    value: float
    target: float
    at_most: bool
    unit: str = "ratio"
    details: dict[str, float | str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternately(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """The median wall time of each function, the functions called in turn, so that noise meets them all alike."""
    times = [[seconds(function) for function in functions] for _ in range(repeats)]
    return [median(of_one) for of_one in zip(*times, strict=True)]
