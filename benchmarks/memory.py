"""Peak memory of the passes over activations, each step in a process of its own, at 1×, 4× and 16× images."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from benchmarks.result import Result
from convergent import schema, store

# One image is 64 units × 8 × 8 positions of float16, 8 KiB: chunks of 8 MiB and shards of 64 MiB, as in a recording.
UNITS, SIDE, FOLDS = 64, 8, 4
CHUNK, SHARD = 1024, 8192
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
    peaks: dict[str, list[float]] = {step: [] for step in commands(Path())}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            record(Path(folder) / "a.zarr", size * IMAGES)
            (Path(folder) / "b.zarr").symlink_to("a.zarr")  # its numbers do not matter, but it is read as another one
            for step, arguments in commands(Path(folder)).items():
                peaks[step].append(mebibytes(step, arguments))
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


def mebibytes(step: str, arguments: list[str]) -> float:
    """Peak resident memory of a step."""
    command = [sys.executable, "-m", "convergent", step, *arguments, "--threads", str(THREADS)]
    environment = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1]) / 1024


def record(path: Path, images: int) -> None:
    """A store of activations as a recording leaves it, shard after shard, without a network."""
    ids = np.array([f"{i:06d}" for i in range(images)], dtype=np.dtypes.StringDType())
    fold = np.arange(images) // (images // FOLDS)
    probe = {"image_id": ("image", ids), "label": ("image", np.zeros(images, int)), "fold": ("image", fold)}
    attributes = {"snapshot": path.stem, "checkpoint_digest": path.stem, "seed": 0, "stage": "final"}
    attributes |= {"probe_fingerprint": "f", "probe_seed": 0, "data": "noise"}
    shape = (SIDE, SIDE, UNITS)
    with store.replacing(path) as part:
        store.write_tree({"layer": xr.Dataset(coords=probe | {"unit": np.arange(UNITS)})}, part, attributes)
        array = zarr.open_group(part, mode="r+", use_consolidated=False).create_array(
            "layer/activation",
            shape=(images, *shape),
            chunks=(CHUNK, *shape),
            shards=(SHARD, *shape),
            dtype="float16",
            compressors=Crc32cCodec(),
            chunk_key_encoding=schema.CHUNK_KEYS,
            dimension_names=("image", "y", "x", "unit"),
            config={"write_empty_chunks": True},
        )
        generator = np.random.default_rng(0)
        values = np.maximum(generator.standard_normal((SHARD, *shape), dtype=np.float32), 0).astype(np.float16)
        for start in range(0, images, SHARD):
            array[start : start + SHARD] = values
        store.consolidate(part)
