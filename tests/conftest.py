"""What the tests share: small activations, the moments of a pair of them, and the data sets of the environment."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, settings
from workflow.project import Project, copy_of_project

from convergent import moments
from convergent.folds import joined

BESIDE = Path(__file__).parents[2] / "shared"

# The same examples in every run; the fixtures that properties use are pure functions.
settings.register_profile(
    "convergent",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("convergent")


def _from_environment(variable: str, folder: str) -> Path:
    """A folder named by the environment, or beside the project; where CI promises it, its absence is a failure."""
    path = Path(os.environ.get(variable) or BESIDE / folder)
    if path.is_dir():
        return path
    message = f"no {path}; set {variable}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the data sets, with CIFAR-10."""
    return _from_environment("CONVERGENT_DATA", "data")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with the matrices of Li et al. 2016."""
    return _from_environment("CONVERGENT_REFERENCE", "reference") / "li2016"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small experiment, complete: run once for all processes of pytest, of which each plans in a copy."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    run, whole = shared / "run", shared / "finished"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(run, ignore_errors=True)
            run.mkdir()
            copy_of_project(run).snakemake()
            run.rename(whole)
    copy = tmp_path_factory.mktemp("project")
    subprocess.run(["cp", "-a", f"{whole}/.", copy], check=True)
    return Project(copy)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def layer(values: np.ndarray, folds: int = 5, chunk: int | None = None) -> xr.DataArray:
    """Activations [image, ..., unit] as a recorded layer: labelled, in Dask chunks of `chunk` images (a fold)."""
    images = len(values)
    dims = ("image", "unit") if values.ndim == 2 else ("image", "y", "x", "unit")
    coordinates = {
        "image_id": ("image", np.array([f"{i:04d}" for i in range(images)], dtype=np.dtypes.StringDType())),
        "label": ("image", np.arange(images) % 3),
        "fold": ("image", np.arange(images) // (images // folds)),
        "unit": np.arange(values.shape[-1]),
    }
    return xr.DataArray(values, coordinates, dims).chunk(image=chunk or images // folds)


@pytest.fixture(name="layer")
def layer_fixture() -> Callable[..., xr.DataArray]:
    return layer


@pytest.fixture
def pair() -> Callable[..., xr.Dataset]:
    """The moments of a pair of activations, the input of every measure."""

    def of(x: np.ndarray, y: np.ndarray, folds: int = 5, permutations: int = 1) -> xr.Dataset:
        a, b = layer(x, folds), layer(y, folds)
        return joined(moments.within(a), moments.within(b), moments.between(a, b, permutations=permutations))

    return of


# As much of srun as the engine `slurm` uses, on a machine without Slurm (the real one: tests/slurm): so many tasks, or
# FEWER, that end with it.
SRUN = """#!/bin/sh
for argument; do
    case $argument in --ntasks=*) tasks=${argument#*=};; --*) ;; *) break;; esac
    shift
done
trap 'kill $started' TERM
for task in $(seq $((tasks - ${FEWER:-0}))); do "$@" & started="$started $!"; done
wait
wait
"""


@pytest.fixture
def srun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a job of Slurm whose srun is `SRUN`."""
    folder = tmp_path_factory.mktemp("srun")
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    return {"SLURM_JOB_ID": "7", "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
