"""The whole pipeline on 5 GB of activations of CIFAR-10: the memory of its largest process, and its time.

Results stay in results/scale, so that it goes on where it was stopped.
"""

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Result

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "scale"


def run() -> Iterator[Result]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/experiments/scale.yaml"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    jobs = {path: next(csv.DictReader(path.open(), delimiter="\t")) for path in (RESULTS / "benchmarks").rglob("*.tsv")}
    memory: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for path, job in jobs.items():
        rule = path.relative_to(RESULTS / "benchmarks").parts[0].removesuffix(".tsv")
        memory[rule] = max(memory.get(rule, 0), float(job["max_rss"]) / 1024)
        seconds[rule] = seconds.get(rule, 0) + float(job["s"])
    activations = [
        sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
        for store in sorted((RESULTS / "activations").glob("*.zarr"))
    ]
    yield Result("activations stored", sum(activations) / 1e9, 5, at_most=False, unit="GB")
    yield Result(
        "memory of the largest process of the pipeline",
        max(memory.values()),
        2,
        at_most=True,
        unit="GiB",
        details={rule: f"{peak:.2f} GiB in {seconds[rule]:.0f} s" for rule, peak in sorted(memory.items())},
    )
