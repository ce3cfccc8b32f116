"""Where Dask runs: a pool of threads that, with BLAS and zarr, never takes more than the cores it was given."""

from collections.abc import Iterator
from contextlib import contextmanager

import dask
import zarr
from threadpoolctl import threadpool_limits


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute every Dask collection of the block in `count` threads, each with BLAS and zarr to itself."""
    with (
        dask.config.set(scheduler="threads", num_workers=count),
        zarr.config.set({"threading.max_workers": 1}),
        threadpool_limits(1),
    ):
        yield
