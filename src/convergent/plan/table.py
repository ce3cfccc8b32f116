"""The plan of an experiment: a row for each rule, the totals, and where it will be slow or large."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convergent.config import Experiment, Recipe
from convergent.plan import jobs, memory, stores, times
from convergent.plan.shapes import Network

# Bytes of what is no store, as measured, beside the weights of a training. Tables and figures hang on what is found:
# these are estimates.
OF_INSPECT = 5_000
OF_TRAINING = 4_000  # history and description
ROW = 118  # of a row of the table
PANEL = 175_000  # of a layer of a figure, both of its files; 30 000 of a few units, 190 000 of hundreds
# Bytes of activations after a ReLU for one that is written, by codec; None: not compressed.
RATIOS = {"crc32c": None, "lz4": 1.2, "zstd": 1.7}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True)
class Row:
    """What one rule costs.

    Attributes
    ----------
    rule : its name
    jobs : how many
    written, compressed : bytes, of all jobs; None where no codec is chosen
    memory : bytes, of the largest job
    seconds : of the longest job, on one core; None: unmeasured
    cpu_seconds : of all jobs, on however many cores; None: unmeasured
    """

    rule: str
    jobs: int
    written: int
    compressed: int | None
    memory: int
    seconds: float | None
    cpu_seconds: float | None


def rows(
    experiment: Experiment, recipes: Mapping[str, Recipe], networks: Mapping[str, Network], ratio: float | None = None
) -> list[Row]:
    """The plan, a row for each rule in the order of the workflow.

    Parameters
    ----------
    experiment, recipes : as in the configuration
    networks : of the recipes
    ratio : bytes of activations for one that is written, as measured; None: that of the codec
    """
    ratio = ratio or RATIOS[experiment.recording.codec]
    found = []
    for rule, counted in jobs.count(experiment, recipes).items():
        of_names = {name: [(networks[n], recipes[n]) for n in name.split("--")] for name in counted}
        seconds = {name: _seconds(rule, of_name, experiment) for name, of_name in of_names.items()}
        known = {name: value for name, value in seconds.items() if value is not None}
        written = sum(counted[name] * _written(rule, of_name, experiment) for name, of_name in of_names.items())
        packed = 0
        if rule == "record" and ratio is not None:
            packed = sum(counted[name] * _activations(*of_name[0], experiment) for name, of_name in of_names.items())
        found.append(
            Row(
                rule,
                sum(counted.values()),
                written,
                None if ratio is None else round(written - packed + packed / ratio),
                max(memory.peak(rule, n, experiment, r) for of_name in of_names.values() for n, r in of_name),
                max(known.values()) if len(known) == len(counted) else None,
                sum(counted[name] * s for name, s in known.items()) if len(known) == len(counted) else None,
            )
        )
    return found


def totals(plan: Sequence[Row]) -> dict[str, Any]:
    """Sums over the rules, the largest job and the bottlenecks, for machines."""
    timed = [row for row in plan if row.cpu_seconds is not None]
    slowest = max(timed, key=lambda row: row.cpu_seconds or 0)
    longest = max(timed, key=lambda row: row.seconds or 0)
    writes_most, largest = (max(plan, key=lambda row: getattr(row, name)) for name in ("written", "memory"))
    compressed = [row.compressed for row in plan]
    return {
        "jobs": sum(row.jobs for row in plan),
        "written": sum(row.written for row in plan),
        "compressed": None if None in compressed else sum(value or 0 for value in compressed),
        "cpu_seconds": sum(row.cpu_seconds or 0 for row in timed),
        "unmeasured": [row.rule for row in plan if row.cpu_seconds is None],
        "largest_job": {"rule": largest.rule, "memory": largest.memory},
        "longest_job": {"rule": longest.rule, "seconds": longest.seconds},
        "writes_most": writes_most.rule,
        "takes_longest": slowest.rule,
    }


def text(plan: Sequence[Row]) -> str:
    """The plan as a table to read."""
    whole = totals(plan)
    packed = whole["compressed"] is not None
    header = ["rule", "jobs", "written", *(["compressed"] if packed else []), "memory", "longest, one core", "CPU time"]
    lines = [
        [
            row.rule,
            str(row.jobs),
            size(row.written),
            *([size(row.compressed or 0)] if packed else []),
            size(row.memory),
            duration(row.seconds),
            duration(row.cpu_seconds),
        ]
        for row in plan
    ]
    largest, longest = whole["largest_job"], whole["longest_job"]
    lines.append(
        [
            "in all",
            str(whole["jobs"]),
            size(whole["written"]),
            *([size(whole["compressed"])] if packed else []),
            size(largest["memory"]),
            duration(longest["seconds"]),
            duration(whole["cpu_seconds"]) + (" + unmeasured" if whole["unmeasured"] else ""),
        ]
    )
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    table = [_line(cells, widths) for cells in (header, *lines)]
    rule = "-" * len(table[0])
    of_rule = {row.rule: row for row in plan}
    slow, wide = of_rule[whole["takes_longest"]], of_rule[whole["writes_most"]]
    return "\n".join(
        [
            table[0],
            rule,
            *table[1:-1],
            rule,
            table[-1],
            "",
            f"Bottleneck: {slow.rule} takes {_share(slow.cpu_seconds or 0, whole['cpu_seconds'])} of the measured CPU "
            f"time, {wide.rule} writes {_share(wide.written, whole['written'])} of the bytes; the largest job is of "
            f"{largest['rule']}, {size(largest['memory'])}.",
            f"Times are indicative: rates of {times.MACHINE}, on the CPU.",
        ]
    )


def size(number: float) -> str:
    """Bytes for people: 1.5 GiB."""
    power = min(int(math.log(number, 1024)), len(UNITS) - 1) if number >= 1 else 0
    return f"{number / 1024**power:.{1 if power else 0}f} {UNITS[power]}"


def duration(seconds: float | None) -> str:
    """Seconds for people: 3.2 h."""
    if seconds is None:
        return "unmeasured"
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *rest])


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}"


def _activations(network: Network, recipe: Recipe, experiment: Experiment) -> int:
    return stores.written("activations", network.layers, experiment, recipe.data)


def _seconds(rule: str, networks: Sequence[tuple[Network, Recipe]], experiment: Experiment) -> float | None:
    """Time of one job; of a pair of different networks that of the slower."""
    taken = [times.seconds(rule, network, recipe, experiment) for network, recipe in networks]
    return None if None in taken else max(value for value in taken if value is not None)


def _written(rule: str, networks: Sequence[tuple[Network, Recipe]], experiment: Experiment) -> int:
    """Bytes of one job."""
    network, recipe = networks[0]
    if rule == "record":
        pooled = stores.written("pooled", network.layers, experiment, recipe.data)
        return _activations(network, recipe, experiment) + pooled
    if rule == "train":
        return len(recipe.stages) * 4 * network.parameters + OF_TRAINING
    if rule == "summary":
        return ROW * stores.ROWS * len(network.layers) * jobs.results(experiment)
    if rule == "patches":
        return stores.patches(network.layers, experiment, recipe)
    if rule == "figure":
        return PANEL * len(network.layers)
    if rule == "inspect":
        return OF_INSPECT
    return stores.written(rule, network.layers, experiment, recipe.data, networks[-1][0].layers)
