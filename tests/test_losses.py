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

# In the path of each process of a pass: when it is about to open or rename the n-th file of some name, it or what has
# started it is ended without a word, as often as the environment says.
DYING = """
import itertools, os, signal, sys

event, name, nth = os.environ["AT"].split()
met = itertools.count(1)
worker = any("spawn_main" in argument for argument in sys.orig_argv)
victim = os.getppid() if os.environ.get("VICTIM") == "parent" else os.getpid()

def hook(found, arguments):
    if found == event and name in str(arguments[0]) and next(met) == int(nth) and worker:
        for number in range(int(os.environ["KILLS"])):
            try:
                os.mkdir(f"{os.environ['KILLED']}{number}")
            except FileExistsError:
                continue
            os.kill(victim, signal.SIGKILL)
            return

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


@pytest.mark.parametrize("engine", ["local --threads 2", "slurm --workers 2"])
@pytest.mark.parametrize(("at", "held"), [(READING, "1000"), (WRITING, "0")])
def test_cluster__computes_again_what_a_killed_worker_has_lost(
    pair: Path, tmp_path: Path, srun: dict[str, str], engine: str, at: str, held: str
) -> None:
    process = begin(pair, tmp_path, f"--engine {engine}", at, 1, **srun, HELD=held)
    (log,) = end(process)
    assert process.returncode == 0, log
    assert killed(tmp_path) == 1
    check_same(pair, tmp_path)
    assert not [*tmp_path.rglob("*.partial")]


@pytest.mark.parametrize("engine", ["local --threads 1", "slurm --workers 1"])
def test_cluster__says_that_a_task_kills_its_workers(
    pair: Path, tmp_path: Path, srun: dict[str, str], engine: str
) -> None:
    failures = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    process = begin(pair, tmp_path, f"--engine {engine}", READING, 9, **srun, **failures)
    (log,) = end(process)
    assert process.returncode == 1
    assert killed(tmp_path) > 1
    told = f"the engine {engine.split()[0]}: 2 workers were killed at the same task; see the log, and give the job"
    assert f"convergent between: {told} more memory or fewer threads" in log.splitlines()
    assert "Traceback" not in log
    assert not [*tmp_path.glob("moments*")]


def test_slurm__says_that_no_worker_is_left(pair: Path, tmp_path: Path, srun: dict[str, str]) -> None:
    gone = srun | {"VICTIM": "parent", "PATIENCE": "5"}  # the nannies, and their workers with them
    process = begin(pair, tmp_path, "--engine slurm --workers 2", READING, 2, **gone)
    (log,) = end(process)
    assert process.returncode == 1
    assert killed(tmp_path) == 2
    told = "the engine slurm: all workers were killed, and none has come back within 5 s; see the log, and give the job"
    assert log.splitlines()[-1] == f"convergent between: {told} more memory or fewer threads"
    assert not [*tmp_path.glob("moments*")]


def test_slurm__says_that_a_worker_never_came(pair: Path, tmp_path: Path, srun: dict[str, str]) -> None:
    process = begin(pair, tmp_path, "--engine slurm --workers 2", READING, 0, **srun, FEWER="1", PATIENCE="5")
    (log,) = end(process)
    assert process.returncode == 1
    told = "Only 1/2 workers arrived in 5 s; see the log, or ask for fewer"
    assert log.splitlines()[-1] == f"convergent between: the engine slurm: {told}"


def test_slurm__says_that_srun_has_failed(pair: Path, tmp_path: Path, srun: dict[str, str]) -> None:
    process = begin(pair, tmp_path, "--engine slurm --workers 2", READING, 0, **srun, FEWER="2")
    (log,) = end(process)
    assert process.returncode == 1
    assert log.splitlines()[-1] == "convergent between: the engine slurm: srun ended with 0; see the log"
