"""The default experiment, whole: eleven measures of all pairs of four seeds, trained and untrained, and its report."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Result, seconds

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "rules", "config", "envs", "profiles", "src")


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(folder, name))

        def whole() -> None:
            for more in ([], ["--report", "report.html"]):
                command = [sys.executable, "-m", "snakemake", "--cores", "2", *more]
                subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)

        yield Result(
            "default experiment and its report on two cores", seconds(whole) / 60, 8, at_most=True, unit="minutes"
        )
