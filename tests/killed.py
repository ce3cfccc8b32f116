"""python killed.py WRITER ROOT STRIDE: run a writer of this file again and again, each time killed a little later.

A run works in ROOT/n, a copy of ROOT/before, and is killed before the n-th file is opened, renamed or removed; n grows
by STRIDE until a run ends by itself. Nothing is caught or cleaned up, as when the kernel runs out of memory.
"""

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from convergent import store
from convergent.steps import within

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def edges(value: float) -> xr.Dataset:
    """A layer of the smallest store that there is."""
    return xr.Dataset({"edge": (("unit", "bin"), np.full((2, 2), value))})


def replace(folder: Path) -> None:
    """Replace the store that is there."""
    store.save({"new": edges(2.0)}, folder / "a.zarr", "edges", {})


def sum_up(folder: Path) -> None:
    """Read the activations that are there and write their moments."""
    within.run(precision="float64", activations=folder / "a.zarr", threads=2, output=folder / "moments.zarr")


def kill_at(number: int, folder: Path) -> None:
    """End this process without a word when it is about to open, rename or remove the n-th file of a folder."""
    left = itertools.count(number, -1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and str(arguments[0]).startswith(str(folder))
        if (opened or event in CHANGES) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(writer: str, root: Path, stride: int) -> None:
    for number in itertools.count(0, stride):
        folder = root / str(number)
        shutil.copytree(root / "before", folder)
        child = os.fork()
        if child == 0:
            kill_at(number, folder)
            globals()[writer](folder)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
