"""Steps and Snakemake itself, killed at a moment drawn once: a rerun gives the same results, and redoes none."""

import random
from pathlib import Path

import pytest
from reliability import fault
from workflow.project import Project, copy_of_project

STEPS = {
    "inspect": ("networks",),
    "train": ("training",),
    "record": ("activations", "pooled"),
    "within": ("moments",),
    "between": ("moments",),
}
TARGETS = [f"results/moments/{name}.zarr" for name in ("small-s0-final", "small-s0-final--small-s1-final")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """What comes of it without a fault, and how many moments each step has."""
    project = copy_of_project(tmp_path_factory.mktemp("whole"))
    fault.put_into(project)
    run(project)
    return project


def run(project: Project, what: str = "", code: int = 0) -> None:
    """Snakemake, one job at a time, with a fault; what comes after the step is not asked for."""
    targets = TARGETS if what.startswith("between") or not what else TARGETS[:1]
    begun = fault.begin(project, "--cores=1", *targets, what=what)
    told = fault.end(begun)
    assert begun.returncode == code, told


def contents(project: Project) -> dict[str, bytes]:
    return {str(path): (project.root / path).read_bytes() for path in written(project)}


def written(project: Project) -> dict[Path, int]:
    """The files of the results that tell no times, and when each was written."""
    results = project.root / "results"
    return {
        path.relative_to(project.root): path.stat().st_mtime_ns
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
        and not path.name.startswith(".")
        and path.name != "history.csv"
    }


@pytest.mark.parametrize(("victim", "seed"), [("kill", 0), ("snakemake", 1)])
def test_run__is_the_same_after_a_kill_in_every_step(whole: Project, tmp_path: Path, victim: str, seed: int) -> None:
    project, generator = copy_of_project(tmp_path), random.Random(seed)
    folder = fault.put_into(project)
    complete: dict[Path, int] = {}
    for step, places in STEPS.items():
        moment = fault.some_moment(whole.root / "faults", step, generator)
        run(project, f"{step} {moment} {victim}", -9 if victim == "snakemake" else 1)
        assert (folder / f"done.{step}.{victim}").is_dir()
        if victim == "snakemake":  # its job goes on meanwhile
            told = project.snakemake(*TARGETS, "--cores=1", check=False)
            assert told.returncode == 1
            assert "removed with the --unlock argument" in " ".join(told.stderr.split())
            project.snakemake("--unlock")
        complete |= {path: at for path, at in written(project).items() if path.parts[1] not in places}
    run(project)
    assert complete.items() <= written(project).items()
    assert contents(project) == contents(whole)
    assert "Nothing to be done" in project.snakemake(*TARGETS, "--cores=1").stderr
