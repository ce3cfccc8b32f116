"""Where Dask runs: threads, processes, the nodes of a Slurm allocation, or a GPU; the passes and measures never know.

Dask, BLAS and zarr together never take more than the cores that were given: each Dask thread has one of each.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
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
# The network over which the nodes of a job speak, such as ib0; else the one that leads out of the cluster.
INTERFACE = os.environ.get("CONVERGENT_INTERFACE", "")
# Seconds until a cluster is given up whose processes have not all come, or of which no worker is left.
PATIENCE = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every step that computes on an engine."""
    parser.add_argument(
        "--engine",
        dest="engine_name",
        choices=ENGINES,
        default="threads",
        help="threads: of this process; local: a process a core; slurm: the nodes of this job of Slurm; cuda: a GPU",
    )
    parser.add_argument("--threads", type=int, default=1, help="cores to use; of slurm, of each worker")
    parser.add_argument("--workers", type=int, default=1, help="of slurm: how many, one a task")


@contextmanager
def of(name: str, count: int, workers: int = 1) -> Iterator[None]:
    """Compute every Dask collection of the block on an engine.

    Parameters
    ----------
    name : one of `ENGINES`
    count : cores; of ``slurm``, of each worker
    workers : of ``slurm``, how many

    Raises
    ------
    InputError : where the engine is not to be had here
    """
    of_cores: dict[str, Callable[[int], AbstractContextManager[None]]]
    of_cores = {"threads": threads, "local": _local, "slurm": partial(_slurm, workers), "cuda": _cuda}
    with of_cores[name](count):
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
            cluster = LocalCluster(n_workers=count, threads_per_worker=1, **_private())
        except RuntimeError as error:
            raise InputError(f"the engine local: {error}; see the log, or use --engine threads") from None
        with cluster, Client(cluster) as client:
            _prepare(client)
            yield


@contextmanager
def _slurm(workers: int, count: int) -> Iterator[None]:
    """Workers on the nodes of this job's allocation; the scheduler, and what comes back, in this process.

    So this process alone says whether the step has failed: srun, were it started by that, would tell a worker that was
    killed and made good for a failure.
    """
    from distributed import Client, LocalCluster
    from distributed.utils import get_ip, get_ip_interface

    if "SLURM_JOB_ID" not in os.environ:
        raise InputError("the engine slurm needs a job of Slurm (sbatch, salloc); use --engine local outside one")
    try:
        host = get_ip_interface(INTERFACE) if INTERFACE else get_ip()
    except ValueError as error:
        raise InputError(f"the engine slurm: CONVERGENT_INTERFACE: {error}") from None
    if workers > 1 and host.startswith("127."):
        raise InputError(f"the engine slurm: other nodes do not see {host}; name an interface in CONVERGENT_INTERFACE")
    with (
        _losses("slurm"),
        LocalCluster(n_workers=0, host=host, **_private()) as cluster,
        Client(cluster) as client,
        _started(cluster.scheduler_address, cluster.security, workers, count) as started,
    ):
        _wait_for_workers(client, workers, started)
        _prepare(client)
        yield


@contextmanager
def _started(address: str, security: Any, workers: int, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """A step of this job of so many workers, each task one; ended with the block."""
    trust = {"CA_FILE": "ca_file", "WORKER__CERT": "cert", "WORKER__KEY": "key"}
    keys = security.get_tls_config_for_role("worker")
    secret = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": keys[key] for name, key in trust.items()}
    command = ["srun", f"--ntasks={workers}", f"--cpus-per-task={count}", "--distribution=cyclic"]
    command += ["--overlap", "--kill-on-bad-exit=0"]  # beside this process; one worker's end is not that of all
    command += [sys.executable, "-m", "distributed.cli.dask_worker", address, f"--nthreads={count}"]
    # A worker speaks plain HTTP too, with or without a dashboard: with its own node only.
    command += ["--memory-limit=0", "--no-dashboard", "--dashboard-address=127.0.0.1:0"]
    command += [f"--death-timeout={PATIENCE}"]
    try:
        started = subprocess.Popen(command, env=os.environ | secret, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise InputError("the engine slurm needs srun, which is not found here") from None
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:  # what is left ends with the job
            started.kill()


@contextmanager
def _cuda(count: int) -> Iterator[None]:
    """Blocks are decoded in threads and multiplied on the GPU; several GPUs: a process for each."""
    devices = _cupy().cuda.runtime.getDeviceCount()
    with dask.config.set({"convergent.cuda": True}):
        if devices == 1:
            with threads(count):
                yield
            return
        try:
            from dask_cuda import LocalCUDACluster
        except ImportError as error:
            wanted = "pip install -e '.[gpu]', or choose one of them by CUDA_VISIBLE_DEVICES"
            raise InputError(f"the engine cuda needs dask-cuda for {devices} GPUs ({error}): {wanted}") from None
        from distributed import Client

        with _losses("cuda"), LocalCUDACluster(**_private()) as cluster, Client(cluster) as client:
            _prepare(client)
            yield


def _private() -> dict[str, Any]:
    """Arguments of a cluster that trusts nobody without a certificate made for this step, whoever shares the node."""
    from distributed import Security

    return {"security": Security.temporary(), "dashboard_address": DASHBOARD}


@contextmanager
def _losses(name: str) -> Iterator[None]:
    """What a killed worker has lost, Dask computes once more on those that are left; where none can, say why."""
    from distributed import KilledWorker
    from distributed.scheduler import NoWorkerError

    try:
        with dask.config.set({"distributed.scheduler.no-workers-timeout": PATIENCE}):
            yield
    except KilledWorker as error:
        lost = f"{error.allowed_failures + 1} workers were killed at the same task"
    except NoWorkerError as error:
        lost = f"all workers were killed, and none has come back within {error.timeout:.0f} s"
    else:
        return
    raise InputError(f"the engine {name}: {lost}; see the log, and give the job more memory or fewer threads")


def _cupy() -> Any:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except (ImportError, RuntimeError) as error:
        wanted = "pip install -e '.[gpu]', or use --engine threads"
        raise InputError(f"the engine cuda needs CuPy and a GPU ({error}): {wanted}") from None
    return cupy


def _wait_for_workers(client: Any, workers: int, started: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.wait_for_workers(workers, timeout=1)
        except TimeoutError as error:
            if started.poll() is not None:
                raise InputError(f"the engine slurm: srun ended with {started.returncode}; see the log") from None
            if time.monotonic() > deadline:
                come = str(error).split(" after")[0]
                raise InputError(f"the engine slurm: {come} in {PATIENCE} s; see the log, or ask for fewer") from None
        else:
            return


def _prepare(client: Any) -> None:
    from distributed import WorkerPlugin

    class OneThreadEach(WorkerPlugin):
        """BLAS and zarr of a worker, also of one that takes the place of another."""

        def setup(self, worker: Any) -> None:
            zarr.config.set({"threading.max_workers": 1})
            threadpool_limits(1)

    client.register_plugin(OneThreadEach())
    port, node = client.scheduler_info()["services"]["dashboard"], socket.gethostname()
    listens = DASHBOARD.rpartition(":")[0] or node
    print(f"dashboard of Dask: http://{listens}:{port}/status, on {node}", file=sys.stderr, flush=True)
