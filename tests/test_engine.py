"""The engine: Dask, BLAS and zarr together never take more than the cores they were given."""

import threading

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from threadpoolctl import threadpool_info

from convergent import engine


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
