"""Where Dask runs: a pool of threads that, with BLAS and zarr, never takes more than the cores it was given."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
import zarr
from dask.base import compute
from dask.delayed import delayed
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


def map(function: Callable[..., Any], items: Iterable[Any], *shared: Any) -> list[Any]:
    """``[function(item, *shared) for item in items]``, each call a task of the engine; what is shared is sent once."""
    once = [delayed(value) for value in shared]
    return list(compute(*(delayed(function)(item, *once) for item in items)))
