"""Recording of all post-ReLU layers against the bare forward pass, on the same batches of CIFAR's size.

The images are noise: what a forward pass and a chunk cost does not depend on them, but for the ratio of a codec.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import zarr

from benchmarks.result import Result, alternately, seconds
from convergent import layout, networks, recording, shards
from convergent.config import Recording

IMAGES = {"resnet18": 1000, "vgg11_bn": 3000}
FOLDS, BATCH = 10, 50
TARGET = 0.7


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        for name, images in IMAGES.items():
            yield throughput(name, images, Path(folder, name))


def throughput(name: str, images: int, folder: Path) -> Result:
    """Images a second as a share of the bare forward pass, and what each codec makes of the first layer."""
    torch.manual_seed(0)
    shapes, layers = networks.nodes(build(name), (3, 32, 32))
    network = build(name).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = torch.randn(images, 3, 32, 32).split(BATCH)
    with torch.no_grad():
        for batch in batches[:3]:
            network.train()(batch)  # batch normalisation with the statistics of the images
    extractor = networks.extractor(network.eval(), layers)
    recorded = {layer: shapes[layer] for layer in layers}
    ids = np.arange(images).astype(np.dtypes.StringDType())
    fold = np.arange(images) // (images // FOLDS)
    probe = xr.Dataset({"image_id": ("image", ids), "label": ("image", fold), "fold": ("image", fold)})

    cores = len(os.sched_getaffinity(0))

    def forward(batch: torch.Tensor) -> None:
        with torch.no_grad():
            network(batch)

    def cores_together() -> None:
        torch.set_num_threads(cores)
        for batch in batches:
            forward(batch)

    def cores_apart() -> None:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(cores) as threads:
            list(threads.map(forward, batches))

    def record() -> None:
        torch.set_num_threads(1)
        settings = Recording("float16", BATCH, "crc32c", "none", "all")
        stores = folder / "full", folder / "pooled"
        recording.record(extractor, batches, recorded, probe, settings, 0, *stores, {}, cores)

    together, apart, taken = alternately(3, cores_together, cores_apart, record)
    bare = min(together, apart)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    plain = seconds(lambda: write(folder / "plain", size))
    details: dict[str, float | str] = {"bare, cores on one batch": together, "bare, a batch a core": apart}
    details |= {"recording": taken, "MB": f"{size / 1e6:.0f}", "images": f"{images}", "layers": f"{len(layers)}"}
    details |= {"codec": "crc32c", "plain files of as many bytes": plain}
    title = f"recording {name} on 3×32×32 images, of the faster bare forward pass"
    with torch.no_grad():
        first = extractor(batches[0][:50])[layers[0]].movedim(1, -1).to(torch.float16).contiguous().numpy()
    for codec in shards.CODECS:
        details |= {f"{codec} {what}": value for what, value in speed(codec, first, folder / "codec.zarr").items()}
    return Result(title, bare / taken, TARGET, at_most=False, unit="throughput", details=details)


def build(name: str) -> torch.nn.Module:
    """A network of torchvision; ResNet-18 with the stem that is usual for small images."""
    network = networks.build(name, None, None, 10, 3)
    if name == "resnet18":
        network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = torch.nn.Identity()
    return network


def write(folder: Path, size: int) -> None:
    """Files of 64 MB, what the disk takes of the cores without any of this."""
    folder.mkdir()
    chunk = bytes(layout.CHUNK_BYTES)
    for number in range(size // layout.SHARD_BYTES + 1):
        with (folder / str(number)).open("wb") as file:
            for _ in range(layout.SHARD_BYTES // len(chunk)):
                file.write(chunk)


def speed(codec: str, chunk: np.ndarray, path: Path) -> dict[str, str]:
    """Writing and reading of one chunk over and over, with files, on one core: 10⁹ values a second, and the ratio."""
    chunk = np.ascontiguousarray(chunk)
    shape = (20 * len(chunk), *chunk.shape[1:])
    group = zarr.open_group(path, mode="w")
    written = shards.create(group, codec, shape, "float16", 20, codec)
    assert written.array.chunks == chunk.shape
    with ThreadPoolExecutor(1) as thread, zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1}):
        write = seconds(lambda: list(thread.map(written.append, [chunk] * 20)))
        read = seconds(lambda: written.array[:])
    size = sum(file.stat().st_size for file in written.folder.rglob("c.*"))
    values = 20 * chunk.size
    return {
        "write Gelem/s": f"{values / write / 1e9:.2f}",
        "read Gelem/s": f"{values / read / 1e9:.2f}",
        "ratio": f"{20 * chunk.nbytes / size:.2f}",
    }
