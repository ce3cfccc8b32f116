"""The table of the benchmarks: each run of one renews its own rows and leaves those of the others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MODULE = """from benchmarks.result import Result

def run():
    yield from (Result(f"{name} row {{i}}", {value}, 2, at_most=True) for i in range({rows}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The command, without a benchmark."""
    package = tmp_path / "benchmarks"
    package.mkdir()
    for name in ("__init__", "__main__", "result"):
        shutil.copy(BENCHMARKS / f"{name}.py", package)
    return tmp_path


def put(project: Path, name: str, value: float, rows: int = 1) -> None:
    """A benchmark that finds the value so many times."""
    text = MODULE.format(name=name, value=value, rows=rows)
    (project / "benchmarks" / f"{name}.py").write_text(text, encoding="utf-8")


def run(project: Path, *names: str) -> dict[str, float]:
    """The value of each row after a run."""
    subprocess.run([sys.executable, "-m", "benchmarks", *names], cwd=project, check=True, capture_output=True)
    results = json.loads((project / "results" / "benchmarks.json").read_text(encoding="utf-8"))
    table = (project / "results" / "benchmarks.md").read_text(encoding="utf-8")
    assert [line.split(" | ")[0] for line in table.splitlines() if " row " in line] == [
        f"| {r['name']}" for r in results
    ]
    return {result["name"]: result["value"] for result in results}


def test_main__keeps_the_rows_of_benchmarks_that_are_not_run(project: Path) -> None:
    put(project, "first", 1, rows=2)
    put(project, "scale", 2)  # only where it is named
    assert run(project) == {"first row 0": 1, "first row 1": 1}
    assert run(project, "scale") == {"first row 0": 1, "first row 1": 1, "scale row 0": 2}
    put(project, "first", 3)
    assert run(project) == {"first row 0": 3, "scale row 0": 2}
    (project / "benchmarks" / "scale.py").unlink()
    assert run(project) == {"first row 0": 3}


def test_table__tells_the_runs_apart(project: Path) -> None:
    put(project, "first", 1)
    put(project, "second", 2)
    run(project)
    path = project / "results" / "benchmarks.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"run": "', '"run": "another day, '), encoding="utf-8")
    run(project, "second")
    table = (project / "results" / "benchmarks.md").read_text(encoding="utf-8")
    assert "\n1. another day, " in table
    assert "| first row 0 | 1 | ≤ 2 | ratio | yes | 1 |" in table
    assert "| second row 0 | 2 | ≤ 2 | ratio | yes | 2 |" in table
