"""python -m benchmarks [NAME …]: run benchmarks, each in a process of its own, and write their table.

A benchmark is a module of this package with a function ``run`` that yields `Result`s. They take the place of those of
its last run; the results of the other benchmarks stay in the table.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "results"
NOT_ALONE = {"result", "stores"}  # what the others share
LONG = {"scale", "plan"}  # only where they are named
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem not in NOT_ALONE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all but {', '.join(sorted(LONG))}"
    )
    parser.add_argument("--one", action="store_true", help="run one benchmark here and print its results as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.one:
        for result in import_module(f"benchmarks.{arguments.names[0]}").run():
            print(json.dumps(asdict(result) | {"passed": result.passed}), flush=True)
        return
    failed = []
    for name in arguments.names or [name for name in NAMES if name not in LONG]:
        command = [sys.executable, "-m", "benchmarks", "--one", name]
        done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        failed += [name] * (done.returncode != 0)
        print("\n".join(map(_line, found)), flush=True)
        write(name, found)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def write(name: str, found: list[dict]) -> None:
    """Put the results of a benchmark in the place of those of its last run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "benchmarks.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [result for result in before if result["benchmark"] in set(NAMES) - {name}]
    run = f"{date.today()}: {machine()}"
    results = sorted(
        [*kept, *({"benchmark": name, "run": run} | result for result in found)], key=lambda r: r["benchmark"]
    )
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(table(results), encoding="utf-8")


def table(results: list[dict]) -> str:
    """The results as a page, with the days and machines of their runs."""
    of_result = [r.get("run", "not known") for r in results]  # of results from before runs were told apart
    runs = list(dict.fromkeys(of_result))
    rows = [
        f"| {r['name']} | {r['value']:.3g} | {'≤' if r['at_most'] else '≥'} {r['target']:g} | {r['unit']} "
        f"| {'yes' if r['passed'] else 'no'} | {runs.index(run) + 1} "
        f"| {', '.join(f'{k} {_text(v)}' for k, v in r['details'].items())} |"
        for r, run in zip(results, of_result, strict=True)
    ]
    head = ["| comparison | value | target | unit | reached | run | of |", "|---|---|---|---|---|---|---|"]
    told = [f"{number}. {run}" for number, run in enumerate(runs, start=1)]
    return "\n".join(["# Benchmarks", "", *told, "", *head, *rows]) + "\n"


def machine() -> str:
    """Processor, cores, memory and versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("numpy", "scipy", "scikit-learn", "dask", "zarr", "numba", "torch")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, {memory:.0f} GiB; Python {platform.python_version()}, {versions}."


def _line(result: dict) -> str:
    sign = "≤" if result["at_most"] else "≥"
    verdict = "" if result["passed"] else "  NOT REACHED"
    return f"{result['name']}: {result['value']:.3g} {result['unit']} (target {sign} {result['target']:g}){verdict}"


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


if __name__ == "__main__":
    main()
