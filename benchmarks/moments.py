"""The pass over a pair of stores against its floor: decode both by zarr in parallel, and the products alone.

Stores as they are recorded: float16 after a ReLU, 384 channels of 13 × 13, 4200 images, 0.5 GB a side, ten folds. And
whole steps on layers of 4096 units, whose comoments stream into their store, on one worker and on two.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from dask.base import compute
from dask.delayed import delayed
from threadpoolctl import threadpool_limits

from benchmarks.result import Result, alternately
from benchmarks.stores import recorded
from convergent import engine, moments, store
from convergent.config import Moments
from convergent.errors import InputError
from convergent.steps import between, within

IMAGES, SHAPE = 4200, (13, 13, 384)
CORES = 2
LIMIT = 1.15
PART = 10  # what is slow is timed on a tenth of the images
WIDE, WIDE_IMAGES, WIDE_FOLDS = 4096, 1000, 2


def run() -> Iterator[Result]:
    warnings.filterwarnings("ignore", "Consolidated metadata")
    with tempfile.TemporaryDirectory() as folder:
        paths = [recorded(Path(folder, f"{side}.zarr"), IMAGES, SHAPE, seed=i) for i, side in enumerate("ab")]
        yield from against_floor(paths)
        yield from on_a_gpu(paths)
        yield from against_the_usual(paths)
        yield from wide(Path(folder))


def against_floor(paths: list[Path]) -> Iterator[Result]:
    arrays = [zarr.open_group(path, mode="r")["layer/activation"] for path in paths]
    a, b = (store.read(path, "activations", chunks={}).layers["layer"]["activation"] for path in paths)
    for precision in ("float64", "float32"):
        for permutations in (0, 1):
            ours = passes(a, b, precision, permutations)
            with engine.of("threads", CORES):
                threads, decode, product, mapped = alternately(
                    3,
                    ours,
                    lambda: decoded(arrays),
                    products(arrays, precision, 1 + permutations),
                    lambda: compute(*(delayed(len)(chunk) for x in (a, b) for chunk in x.data.to_delayed().flat)),
                )
            yield Result(
                f"moments of a pair, {precision}, {permutations} permuted, in threads, against decoding and products",
                threads / (decode + product),
                LIMIT,
                at_most=True,
                details={
                    "moments": threads,
                    "decoding through zarr": decode,
                    "products": product,
                    "mapped chunks and their crc32c, as moments reads them": mapped,
                },
            )


def on_a_gpu(paths: list[Path]) -> Iterator[Result]:
    """Rows of a machine where CuPy finds a GPU."""
    try:
        engine.array("cuda")
    except InputError:
        return
    a, b = (store.read(path, "activations", chunks={}).layers["layer"]["activation"] for path in paths)
    for precision in ("float64", "float32"):

        def on(name: str, precision: str = precision) -> None:
            with engine.of(name, CORES):
                passes(a, b, precision, 1)()

        threads, cuda = alternately(3, partial(on, "threads"), partial(on, "cuda"))
        yield Result(
            f"moments of a pair, {precision}, 1 permuted, in threads against the engine cuda",
            threads / cuda,
            1,
            at_most=False,
            details={"threads": threads, "cuda": cuda},
        )


def against_the_usual(paths: list[Path]) -> Iterator[Result]:
    a, b = (
        store.read(path, "activations", chunks={}).layers["layer"]["activation"][: IMAGES // PART] for path in paths
    )
    flat = [side.data.reshape(-1, SHAPE[-1]) for side in (a, b)]
    memory = [side.compute() for side in flat]
    with engine.of("threads", CORES):
        ours, product, corrcoef = alternately(
            3,
            passes(a, b, "float64", 0),
            lambda: (flat[0].astype("f8").T @ flat[1].astype("f8")).compute(),
            lambda: np.corrcoef(*memory, rowvar=False),
        )
    for name, taken in (
        ("dask.array a.T @ b in float64, neither folds nor means, against moments", product),
        ("numpy.corrcoef of activations in memory against moments from the store", corrcoef),
    ):
        yield Result(f"{name}, {len(a)} images", taken / ours, 1, at_most=False)


def wide(folder: Path) -> Iterator[Result]:
    a, b = (recorded(folder / f"wide_{side}.zarr", WIDE_IMAGES, (WIDE,), i, WIDE_FOLDS) for i, side in enumerate("ab"))
    settings = Moments(precision="float64", permutations=1)
    steps: dict[str, Callable[..., None]] = {
        "within": partial(within.run, activations=a, precision="float64"),
        "between": partial(between.run, a=a, b=b, settings=settings),
    }
    for name, step in steps.items():
        output = folder / f"{name}.zarr"
        one, two = alternately(3, *(partial(step, threads=workers, output=output) for workers in (1, 2)))
        yield Result(
            f"{name} of {WIDE} units, {WIDE_IMAGES} images: two workers / one",
            two / one,
            0.75,
            at_most=True,
            details={"one worker": one, "two workers": two},
        )


def passes(a: xr.DataArray, b: xr.DataArray, precision: str, permutations: int) -> Callable[[], object]:
    return lambda: compute(moments.gather(a, b, precision=precision, permutations=permutations))


def decoded(arrays: list[zarr.Array]) -> None:
    """Read every chunk of both stores, the chunks in as many threads as there are cores."""
    step = arrays[0].chunks[0]

    def read(start: int) -> None:
        for array in arrays:  # kept, they would cost new memory each time
            array[start : start + step]

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(read, range(0, IMAGES, step)))


def products(arrays: list[zarr.Array], precision: str, count: int) -> Callable[[], None]:
    """The products of all chunks alone, a BLAS thread on each core."""
    step = arrays[0].chunks[0]
    a, b = (array[:step].reshape(-1, SHAPE[-1]).astype(precision) for array in arrays)

    def multiply(_: int) -> None:
        a.T @ b  # not kept, either

    def run() -> None:
        with threadpool_limits(1), ThreadPoolExecutor(CORES) as pool:
            list(pool.map(multiply, range(count * (IMAGES // step))))

    return run
