"""python -m benchmarks [NAME …]: run benchmarks, each in a process of its own, and write their table.

A benchmark is a module of this package with a function ``run`` that yields `Result`s.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "results"
NOT_ALONE = {"result", "stores"}  # what the others share
LONG = {"scale"}  # only where it is named
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem not in NOT_ALONE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all but {', '.join(LONG)}"
    )
    parser.add_argument("--one", action="store_true", help="run one benchmark here and print its results as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if arguments.one:
        for result in import_module(f"benchmarks.{arguments.names[0]}").run():
            print(json.dumps(asdict(result) | {"passed": result.passed}), flush=True)
        return
    results, failed = [], []
    for name in arguments.names or [name for name in NAMES if name not in LONG]:
        command = [sys.executable, "-m", "benchmarks", "--one", name]
        done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        results += [{"benchmark": name} | result for result in found]
        failed += [name] * (done.returncode != 0)
        print("\n".join(map(_line, results[len(results) - len(found) :])), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "benchmarks.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "benchmarks.md").write_text(table(results), encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def table(results: list[dict]) -> str:
    """The results as a page with the machine's description."""
    rows = [
        f"| {r['name']} | {r['value']:.3g} | {'≤' if r['at_most'] else '≥'} {r['target']:g} | {r['unit']} "
        f"| {'yes' if r['passed'] else 'no'} | {', '.join(f'{k} {_text(v)}' for k, v in r['details'].items())} |"
        for r in results
    ]
    head = ["| comparison | value | target | unit | reached | of |", "|---|---|---|---|---|---|"]
    return "\n".join(["# Benchmarks", "", machine(), "", *head, *rows]) + "\n"


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
