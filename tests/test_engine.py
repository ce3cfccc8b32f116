"""The engine: Dask, BLAS and zarr together never take more than the cores they were given."""

import os
import re
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import dask
import dask.array as da
import distributed
import numpy as np
import pytest
import zarr
from threadpoolctl import threadpool_info

from convergent import engine
from convergent.errors import InputError


def limits() -> tuple[object, object, object, set[int]]:
    """What Dask, zarr and the pools of BLAS are set to."""
    return (
        dask.config.get("scheduler", None),
        dask.config.get("num_workers", None),
        zarr.config.get("threading.max_workers"),
        {pool["num_threads"] for pool in threadpool_info()},
    )


def test_threads__limits_every_pool_inside_the_block_only() -> None:
    before = limits()
    with engine.threads(3):
        assert limits() == ("threads", 3, 1, {1})
    assert limits() == before


def test_threads__gives_the_limits_back_after_an_error() -> None:
    before = limits()
    with pytest.raises(RuntimeError), engine.threads(3):
        raise RuntimeError
    assert limits() == before


@pytest.mark.parametrize("count", [1, 2])
def test_threads__computes_in_as_many_threads_and_no_more(count: int) -> None:
    used: set[int] = set()
    together = threading.Barrier(count)

    def block(values: np.ndarray) -> np.ndarray:
        together.wait(timeout=10)  # breaks unless `count` blocks run at once
        used.add(threading.get_ident())
        return values

    blocks = da.zeros(8, chunks=1).map_blocks(block, dtype=float, meta=np.empty(0))
    with engine.threads(count):
        blocks.compute()
    assert len(used) == count


def process(block: np.ndarray) -> np.ndarray:
    """The process that computes, and whether its pools are limited."""
    limited = zarr.config.get("threading.max_workers") == 1 and all(p["num_threads"] == 1 for p in threadpool_info())
    return np.full(block.shape, os.getpid() if limited else -1)


def test_local__computes_in_as_many_processes_with_their_pools_limited() -> None:
    blocks = da.zeros(16, chunks=1).map_blocks(process, dtype=int, meta=np.empty(0, int))
    with engine.of("local", 2):
        found = set(blocks.compute().tolist())
    assert 1 <= len(found) <= 2
    assert not found & {os.getpid(), -1}
    assert dask.config.get("scheduler", None) is None


def check_private(address: str) -> None:
    """Nobody without the certificate of the step gets in."""
    assert address.startswith("tls://")
    with pytest.raises(OSError, match="TLS certificate does not match"):
        distributed.Client(address, security=distributed.Security.temporary(), timeout="2s")


def test_local__trusts_nobody_on_its_machine_and_tells_where_its_dashboard_is(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with engine.of("local", 1):
        check_private(distributed.default_client().scheduler.address)
        told = re.search(r"^dashboard of Dask: http://127\.0\.0\.1:(\d+)/status, on \S+$", capfd.readouterr().err, re.M)
        assert told
        socket.create_connection(("127.0.0.1", int(told[1]))).close()


def test_local__says_that_its_workers_did_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(**_: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", killed)
    said = r"the engine local: Nanny failed to start\.; see the log, or use --engine threads"
    with pytest.raises(InputError, match=said), engine.of("local", 1):
        pass


def fail(_: int) -> None:
    raise InputError("unit 3, image i7: activation nan is not finite")


@pytest.mark.parametrize("name", ["threads", "local"])
def test_of__hands_on_an_input_error_of_a_task(name: str) -> None:
    with pytest.raises(InputError, match="unit 3, image i7"), engine.of(name, 1):
        engine.map(fail, range(3))


@pytest.mark.parametrize("name", ["threads", "local"])
def test_map__keeps_the_order_and_hands_over_what_is_shared(name: str) -> None:
    with engine.of(name, 2):
        assert engine.map(pow, range(6), 2) == [0, 1, 4, 9, 16, 25]


def test_cuda__without_a_gpu_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    said = r"the engine cuda needs CuPy and a GPU .*: pip install -e '.\[gpu\]', or use --engine threads"
    with pytest.raises(InputError, match=said), engine.of("cuda", 1):
        pass
    with pytest.raises(InputError, match=said):
        engine.array("cuda")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy on a machine with two GPUs, as far as it is asked for them."""
    runtime = SimpleNamespace(getDeviceCount=lambda: 2)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))


def test_cuda__on_several_gpus_without_dask_cuda_says_what_to_do(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    said = r"needs dask-cuda for 2 GPUs .*: pip install -e '.\[gpu\]', or choose one of them by CUDA_VISIBLE"
    with pytest.raises(InputError, match=said), engine.of("cuda", 1):
        pass


def test_cuda__on_several_gpus_trusts_nobody(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask-CUDA hands what it is given on to a local cluster."""
    cluster = partial(distributed.LocalCluster, n_workers=2, threads_per_worker=1)
    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=cluster))
    with engine.of("cuda", 1):
        check_private(distributed.default_client().scheduler.address)
        assert engine.on_device()
        assert engine.map(pow, range(6), 2) == [0, 1, 4, 9, 16, 25]


def test_array__of_other_engines_leaves_it_where_it_is() -> None:
    values = np.ones(3)
    assert engine.array("local")(values) is values


def test_slurm__outside_a_job_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    said = r"the engine slurm needs a job of Slurm \(sbatch, salloc\); use --engine local"
    with pytest.raises(InputError, match=said), engine.of("slurm", 1):
        pass


def test_slurm__computes_on_the_tasks_of_a_step(monkeypatch: pytest.MonkeyPatch, srun: dict[str, str]) -> None:
    for name, value in srun.items():
        monkeypatch.setenv(name, value)
    with engine.of("slurm", 1, workers=2):
        assert engine.map(pow, range(6), 2) == [0, 1, 4, 9, 16, 25]
        assert len(set(engine.map(lambda _: os.getpid(), range(6)))) == 2
        client = distributed.default_client()
        address = client.scheduler.address
        check_private(address)
        # The dashboard, and what a worker tells by HTTP, are seen on their own machine only.
        told = [worker["services"]["dashboard"] for worker in client.scheduler_info()["workers"].values()]
        assert len(told) == 2
        for port in (urlsplit(client.dashboard_link).port, *told):
            socket.create_connection(("127.0.0.1", port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((urlsplit(address).hostname, port))


@pytest.mark.parametrize(
    ("name", "said"), [("lo", "other nodes do not see 127"), ("ib9", "CONVERGENT_INTERFACE: 'ib9'")]
)
def test_slurm__names_a_network_that_does_not_lead_to_other_nodes(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(engine, "INTERFACE", name)
    with pytest.raises(InputError, match=f"the engine slurm: {said}"), engine.of("slurm", 1, workers=2):
        pass


def test_slurm__without_srun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs srun, which is not found"), engine.of("slurm", 1):
        pass
