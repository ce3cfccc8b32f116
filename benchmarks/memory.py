"""Peak memory of a recording and of the passes over it, each in a process of its own, at 1×, 4× and 16× images.

python -m benchmarks.memory FOLDER IMAGES        what is recorded, of noise: FOLDER/a.zarr
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from benchmarks.result import Result
from convergent import networks, recording
from convergent.config import Recording

ROOT = Path(__file__).parents[1]
# One image is 64 units × 8 × 8 positions of float16, 8 KiB: chunks of 8 MiB and shards of 64 MiB.
UNITS, SIDE, FOLDS, BATCH = 64, 8, 4, 128
IMAGES = 8192  # 64 MiB
SIZES = (1, 4, 16)
THREADS = 2
# ru_maxrss of a process counts what it held before exec too: a small process starts the step and asks for its child's.
MEASURE = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
)


def run() -> Iterator[Result]:
    """Peak memory at 16× over that at 1×."""
    peaks: dict[str, list[float]] = {step: [] for step in ("recording", *commands(Path()))}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            peaks["recording"].append(mebibytes("benchmarks.memory", folder, str(size * IMAGES)))
            (Path(folder) / "b.zarr").symlink_to("a.zarr")  # its numbers do not matter, but it is read as another one
            for step, arguments in commands(Path(folder)).items():
                peaks[step].append(mebibytes("convergent", step, *arguments, "--threads", str(THREADS)))
    for step, of_sizes in peaks.items():
        yield Result(
            f"peak memory of {step}, {SIZES[-1]}× images / 1×",
            of_sizes[-1] / of_sizes[0],
            1.1,
            True,
            details={f"MiB at {size}×": peak for size, peak in zip(SIZES, of_sizes, strict=True)},
        )


def commands(folder: Path) -> dict[str, list[str]]:
    """The steps in order, with what those before them wrote."""
    a, b, within, between, edges = (str(folder / f"{name}.zarr") for name in ("a", "b", "within", "between", "edges"))
    bins = ["--settings", json.dumps({"bins": 20, "samples": 200_000})]
    moments = ["--settings", json.dumps({"precision": "float64", "permutations": 1})]
    coded = ["--activations-a", a, "--activations-b", b, "--edges-a", edges, "--edges-b", edges]
    coded += ["--a", within, "--b", within, "--between", between, "--permutations", "1"]
    # So few draws that the samples of several do not overlap at 1×.
    of_draws = {"positions": 15_000, "draws": 4, "dead": "unmatched", "ridge": 1e-6, "epsilons": [0.5], "seed": 0}
    sampled = ["--settings", json.dumps(of_draws)]

    def output(step: str) -> list[str]:
        return ["--output", str(folder / f"{step}.zarr")]

    return {
        "within": ["--activations", a, "--output", within],
        "between": ["--a", a, "--b", b, *moments, "--output", between],
        "statistics": ["--activations", a, "--moments", within, *output("statistics")],
        "edges": ["--activations", a, *bins, "--output", edges],
        "exemplars": ["--activations", a, *output("exemplars")],
        "rdm": ["--activations", a, *output("rdm")],
        "mutual_information": [*coded, *output("mutual_information")],
        "subspace_match_sampled": ["--a", a, "--b", b, *sampled, *output("subspace_match_sampled")],
        "layer_pairs": ["--a", a, "--b", b, *moments, *output("layer_pairs")],
    }


def mebibytes(module: str, *arguments: str) -> float:
    """Peak resident memory of a module that is run as a program."""
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", module, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.splitlines()[-1]) / 1024


def record(folder: Path, images: int) -> None:
    """The ReLU after one convolution of noise, in batches that are drawn when they are asked for."""
    torch.set_num_threads(1)  # of one batch, as in the step
    torch.manual_seed(0)
    layers = OrderedDict(convolution=torch.nn.Conv2d(3, UNITS, 3, padding=1), layer=torch.nn.ReLU())
    network = torch.nn.Sequential(layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    probe = {
        "image_id": np.array([f"{i:06d}" for i in range(images)], dtype=np.dtypes.StringDType()),
        "label": np.zeros(images, int),
        "fold": np.arange(images) // (images // FOLDS),
    }
    attributes = {"snapshot": "a", "checkpoint_digest": "a", "seed": 0, "stage": "final"}
    attributes |= {"probe_fingerprint": "f", "probe_seed": 0, "data": "noise"}
    recording.record(
        networks.extractor(network.eval(), ["layer"]),
        (torch.randn(BATCH, 3, SIDE, SIDE) for _ in range(images // BATCH)),
        {"layer": [UNITS, SIDE, SIDE]},
        xr.Dataset({name: ("image", values) for name, values in probe.items()}),
        Recording("float16", BATCH, "crc32c", "none", "all"),
        0,
        folder / "a.zarr",
        folder / "pooled.zarr",
        attributes,
        THREADS,
    )


if __name__ == "__main__":
    record(Path(sys.argv[1]), int(sys.argv[2]))
