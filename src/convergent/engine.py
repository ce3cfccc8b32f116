"""Where Dask runs: threads, processes, the nodes of a Slurm allocation, or a GPU; the passes and measures never know.

Dask, BLAS and zarr together never take more than the cores that were given: each Dask thread has one of each.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr
from dask.base import compute
from dask.delayed import delayed
from threadpoolctl import threadpool_limits

from convergent.errors import InputError

ENGINES = ("threads", "local", "slurm", "cuda")
# Where the dashboard of a cluster listens; any free port of this machine, unless asked otherwise.
DASHBOARD = os.environ.get("CONVERGENT_DASHBOARD", "127.0.0.1:0")
# Seconds until a cluster is given up whose processes have not all come, or of which no worker is left.
PATIENCE = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every step that computes on an engine."""
    parser.add_argument(
        "--engine",
        dest="engine_name",
        choices=ENGINES,
        default="threads",
        help="threads: of this process; local: a process a core; slurm: the tasks of this Slurm step; cuda: a GPU",
    )
    parser.add_argument("--threads", type=int, default=1, help="cores to use; of slurm, of each worker")


@contextmanager
def of(name: str, count: int) -> Iterator[None]:
    """Compute every Dask collection of the block on an engine.

    Parameters
    ----------
    name : one of `ENGINES`
    count : cores; of ``slurm``, of each worker

    Raises
    ------
    InputError : where the engine is not to be had here
    """
    with {"threads": threads, "local": _local, "slurm": _slurm, "cuda": _cuda}[name](count):
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute every Dask collection of the block in `count` threads, each with BLAS and zarr to itself."""
    with (
        dask.config.set(scheduler="threads", num_workers=count),
        zarr.config.set({"threading.max_workers": 1}),
        threadpool_limits(1),
    ):
        yield


def map(function: Callable[..., Any], items: Iterable[Any], *shared: Any) -> list[Any]:
    """``[function(item, *shared) for item in items]``, each call a task of the engine; what is shared is sent once."""
    once = [delayed(value) for value in shared]
    return list(compute(*(delayed(function)(item, *once) for item in items)))


def on_device() -> bool:
    """Whether products are to be computed on a GPU."""
    return bool(dask.config.get("convergent.cuda", False))


def array(name: str) -> Callable[[Any], Any]:
    """What puts an array where an engine multiplies: of ``cuda`` on the GPU, else it is left as it is."""
    return _cupy().asarray if name == "cuda" else np.asarray


@contextmanager
def _local(count: int) -> Iterator[None]:
    """A process for each core: decoding by zarr, which has one event loop a process, is then parallel too."""
    from distributed import Client, LocalCluster

    with _losses("local"):
        try:
            cluster = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=DASHBOARD)
        except RuntimeError as error:
            raise InputError(f"the engine local: {error}; see the log, or use --engine threads") from None
        with cluster, Client(cluster) as client:
            _prepare(client)
            yield


@contextmanager
def _slurm(count: int) -> Iterator[None]:
    """The tasks of a Slurm step: the first is Dask's scheduler, the second goes on here, the others are workers.

    Start it by ``srun --ntasks=WORKERS+2``; only the second task comes back from here.
    """
    from dask_jobqueue.slurm import SLURMRunner
    from distributed import Client

    missing = [name for name in ("SLURM_JOB_ID", "SLURM_PROCID", "SLURM_NTASKS") if name not in os.environ]
    if missing:
        raise InputError(f"the engine slurm needs {missing[0]}; start the step by srun, or use --engine local")
    if int(os.environ["SLURM_NTASKS"]) < 3:
        raise InputError("the engine slurm needs at least 3 tasks: the scheduler, the step itself, and the workers")
    # Each step of a job has a scheduler of its own.
    name = f"dask-{os.environ['SLURM_JOB_ID']}-{os.environ.get('SLURM_STEP_ID', '0')}.json"
    _wait_for_scheduler(Path(name))
    with _losses("slurm"):
        try:
            runner = SLURMRunner(
                scheduler_file=name,
                scheduler_options={"dashboard": False},
                worker_options={"nthreads": count, "memory_limit": 0, "dashboard": False},
            )
        except KeyboardInterrupt:  # so the runner ends the scheduler and the workers
            sys.exit(0)
        try:
            with Client(runner) as client:
                _wait_for_workers(client, runner.n_workers)
                _prepare(client)
                yield
        finally:
            with suppress(OSError):  # of a scheduler that was killed
                runner.close()
            Path(name).unlink(missing_ok=True)


@contextmanager
def _cuda(count: int) -> Iterator[None]:
    """Blocks are decoded in threads and multiplied on the GPU; several GPUs: a process for each."""
    devices = _cupy().cuda.runtime.getDeviceCount()
    with dask.config.set({"convergent.cuda": True}):
        if devices == 1:
            with threads(count):
                yield
            return
        from dask_cuda import LocalCUDACluster
        from distributed import Client

        with _losses("cuda"), LocalCUDACluster(dashboard_address=DASHBOARD) as cluster, Client(cluster) as client:
            _prepare(client)
            yield


@contextmanager
def _losses(name: str) -> Iterator[None]:
    """What a killed worker has lost, Dask computes once more on those that are left; where none can, say why."""
    from distributed import CancelledError, KilledWorker
    from distributed.scheduler import NoWorkerError

    try:
        with dask.config.set({"distributed.scheduler.no-workers-timeout": PATIENCE}):
            yield
    except KilledWorker as error:
        lost = f"{error.allowed_failures + 1} workers were killed at the same task"
    except NoWorkerError as error:
        lost = f"all workers were killed, and none has come back within {error.timeout:.0f} s"
    except CancelledError:
        lost = "the scheduler is gone"
    else:
        return
    raise InputError(f"the engine {name}: {lost}; see the log, and give the job more memory or fewer threads")


def _cupy() -> Any:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except (ImportError, RuntimeError) as error:
        raise InputError(f"the engine cuda needs CuPy and a GPU ({error}); use --engine threads") from None
    return cupy


def _wait_for_scheduler(file: Path) -> None:
    """The runner would wait for ever for a first task that was killed before it had begun."""
    deadline = time.monotonic() + PATIENCE
    while os.environ["SLURM_PROCID"] != "0" and not file.exists():
        if time.monotonic() > deadline:
            raise InputError(f"the engine slurm: no scheduler has come within {PATIENCE} s; see the log")
        time.sleep(0.1)


def _wait_for_workers(client: Any, workers: int) -> None:
    try:
        client.wait_for_workers(workers, timeout=PATIENCE)
    except TimeoutError as error:
        raise InputError(f"the engine slurm: {error} s; see the log, or ask for fewer tasks") from None


def _prepare(client: Any) -> None:
    from distributed import WorkerPlugin

    class OneThreadEach(WorkerPlugin):
        """BLAS and zarr of a worker, also of one that takes the place of another."""

        def setup(self, worker: Any) -> None:
            zarr.config.set({"threading.max_workers": 1})
            threadpool_limits(1)

    client.register_plugin(OneThreadEach())
