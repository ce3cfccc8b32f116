"""Processes of a cluster that are killed in mid-pass: the right result, or one line that says so, and no waiting."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import recorded
import xarray as xr

from convergent import store
from convergent.__main__ import main

# In the path of each process of a pass: when it is about to open or rename the n-th file of some name, it or another is
# ended without a word, as often as the environment says.
DYING = """
import itertools, os, signal, sys

event, name, nth = os.environ["AT"].split()
met = itertools.count(1)

def hook(found, arguments):
    if found == event and name in str(arguments[0]) and next(met) == int(nth):
        for number in range(int(os.environ["KILLS"])):
            try:
                os.mkdir(f"{os.environ['KILLED']}{number}")
            except FileExistsError:
                continue
            os.kill(int(os.environ.get("VICTIM", os.getpid())), signal.SIGKILL)

sys.addaudithook(hook)
"""
READING, WRITING = "open a.zarr/conv/activation/c. 3", "os.rename moments.zarr.part/conv/comoment/c. 1"
# The command, less patient, with moments that workers write or that come back to it.
COMMAND = """
import os, sys
from convergent import engine, moments
from convergent.__main__ import main
engine.PATIENCE, moments.HELD = int(os.environ["PATIENCE"]), int(os.environ["HELD"])
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores, and the moments between them by threads."""
    folder, generator = tmp_path_factory.mktemp("pair"), np.random.default_rng(0)
    for side in "ab":
        values = generator.standard_normal((4 * recorded.FOLD, 2, 2, 3)).astype(np.float16)
        recorded.write(folder / f"{side}.zarr", {"conv": values})
    main(arguments(folder, folder / "expected.zarr"))
    return folder


def arguments(pair: Path, output: Path) -> list[str]:
    stores = ["--a", str(pair / "a.zarr"), "--b", str(pair / "b.zarr")]
    return ["between", *stores, "--settings", '{"precision": "float64", "permutations": 1}', "--output", str(output)]


def begin(pair: Path, folder: Path, engine: str, at: str, kills: int, **more: str) -> subprocess.Popen[str]:
    """One process of a pass that writes `moments.zarr` into a folder."""
    (folder / "path").mkdir(exist_ok=True)
    (folder / "path" / "sitecustomize.py").write_text(DYING)
    path = os.pathsep.join([str(folder / "path"), *sys.path])
    dying = {"AT": at, "KILLS": str(kills), "KILLED": str(folder / "killed"), "PYTHONPATH": path}
    usual = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3 s", "PATIENCE": "60", "HELD": str(2**20)}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments(pair, folder / "moments.zarr"), *engine.split()],
        env=os.environ | usual | dying | more,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begin_step(
    pair: Path, folder: Path, patience: list[int], kills: int, *, of_scheduler: bool = False
) -> list[subprocess.Popen[str]]:
    """The tasks of a Slurm step as srun would start them, each with its patience: scheduler, client, workers."""
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1", "SLURM_NTASKS": str(len(patience))}
    started: list[subprocess.Popen[str]] = []
    for rank, seconds in enumerate(patience):
        step |= {"SLURM_PROCID": str(rank), "PATIENCE": str(seconds)}
        step |= {"VICTIM": str(started[0].pid)} if of_scheduler and rank else {}
        started.append(begin(pair, folder, "--engine slurm", READING, kills, **step))
    return started


def end(*started: subprocess.Popen[str]) -> list[str]:
    """What the processes wrote to their logs."""
    try:
        return [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()


def check_same(pair: Path, folder: Path) -> None:
    found, expected = (
        store.read(path, "moments_between").layers["conv"].load()
        for path in (folder / "moments.zarr", pair / "expected.zarr")
    )
    assert expected["comoment"].any()
    xr.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def killed(folder: Path) -> int:
    return len([*folder.glob("killed*")])


@pytest.mark.parametrize(("at", "held"), [(READING, "1000"), (WRITING, "0")])
def test_local__computes_again_what_a_killed_worker_has_lost(pair: Path, tmp_path: Path, at: str, held: str) -> None:
    process = begin(pair, tmp_path, "--engine local --threads 2", at, 1, HELD=held)
    (log,) = end(process)
    assert process.returncode == 0, log
    assert killed(tmp_path) == 1
    check_same(pair, tmp_path)
    assert not [*tmp_path.rglob("*.partial")]


def test_local__says_that_a_task_kills_its_workers(pair: Path, tmp_path: Path) -> None:
    failures = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    process = begin(pair, tmp_path, "--engine local --threads 1", READING, 9, **failures)
    (log,) = end(process)
    assert process.returncode == 1
    assert killed(tmp_path) > 1
    told = "convergent between: the engine local: 2 workers were killed at the same task; see the log, and give the job"
    assert log.splitlines()[-1] == f"{told} more memory or fewer threads"
    assert "Traceback" not in log
    assert not [*tmp_path.glob("moments*")]


def test_slurm__computes_again_what_a_killed_worker_has_lost(pair: Path, tmp_path: Path) -> None:
    step = begin_step(pair, tmp_path, [60, 60, 60, 60], 1)
    logs = end(*step)
    assert [process.returncode for process in step[:2]] == [0, 0], logs[1]
    assert sorted(process.returncode for process in step[2:]) == [-9, 0]
    check_same(pair, tmp_path)


def test_slurm__says_that_no_worker_is_left(pair: Path, tmp_path: Path) -> None:
    step = begin_step(pair, tmp_path, [1, 60, 60, 60], 2)
    logs = end(*step)
    assert [process.returncode for process in step] == [0, 1, -9, -9]
    told = "the engine slurm: all workers were killed, and none has come back within 1 s; see the log, and give the job"
    assert logs[1] == f"convergent between: {told} more memory or fewer threads\n"
    assert not [*tmp_path.glob("moments*")]


def test_slurm__says_that_a_worker_never_came(pair: Path, tmp_path: Path) -> None:
    *step, never = begin_step(pair, tmp_path, [60, 5, 5, 5], 0)
    never.kill()
    logs = end(*step, never)
    assert [process.returncode for process in step[:2]] == [0, 1]
    told = (
        "convergent between: the engine slurm: Only . workers arrived after 5 s; see the log, or ask for fewer tasks\n"
    )
    assert logs[1].replace("0/2", ".").replace("1/2", ".") == told


def test_slurm__says_that_the_scheduler_is_gone(pair: Path, tmp_path: Path) -> None:
    step = begin_step(pair, tmp_path, [60, 60, 60], 1, of_scheduler=True)
    logs = end(*step)
    assert [process.returncode for process in step] == [-9, 1, 0]
    told = "convergent between: the engine slurm: the scheduler is gone; see the log, and give the job more memory"
    assert logs[1].splitlines()[-1] == f"{told} or fewer threads"
    assert not [*tmp_path.glob("moments*")]
