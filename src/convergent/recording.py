"""Recording of activations: named graph nodes → labelled blocks → Zarr.

One forward pass over the probe fills two stores: the activations, [image, y, x, unit] or [image, unit], and their
spatial means, [image, unit] in float32. Each shard is written once, when its last image has come.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from torch import nn
from zarr.codecs import Crc32cCodec

from convergent import store
from convergent.errors import InputError

CHUNK_BYTES = 8 * 2**20
SHARD_BYTES = 64 * 2**20
LARGEST_UNDERFLOW = 1e-3  # share of a layer's non-zero values that float16 may turn into zeros or subnormals
DIMS = {1: ("image", "unit"), 3: ("image", "y", "x", "unit")}


@dataclass
class Shards:
    """One array that is written shard by shard as blocks of images arrive in order."""

    array: zarr.Array[Any]
    buffer: np.ndarray
    written: int = 0
    filled: int = 0

    def append(self, block: np.ndarray) -> None:
        while len(block):
            room = len(self.buffer) - self.filled
            part, block = block[:room], block[room:]
            self.buffer[self.filled : self.filled + len(part)] = part
            self.filled += len(part)
            if self.filled == len(self.buffer):
                self.array[self.written : self.written + self.filled] = self.buffer
                self.written, self.filled = self.written + self.filled, 0


@dataclass
class Underflow:
    """How many non-zero values of a layer become zero or subnormal in float16."""

    lost: int = 0
    nonzero: int = 0

    def check(self, layer: str) -> None:
        if self.lost > LARGEST_UNDERFLOW * self.nonzero:
            share = f"{self.lost / self.nonzero:.2%}"
            raise InputError(
                f"layer {layer}: {share} of the non-zero values are too small for float16; set recording.dtype: float32"
            )


def record(
    extractor: nn.Module,
    batches: Iterable[torch.Tensor],
    shapes: Mapping[str, list[int]],
    probe: xr.Dataset,
    dtype: str,
    activations: Path,
    pooled: Path,
    attributes: Mapping[str, Any],
) -> None:
    """Run the probe through a network and write its activations and their spatial means.

    Parameters
    ----------
    extractor : image batch → activations by layer, [image, unit, y, x] or [image, unit]
    batches : the probe in order
    shapes : one image's activations in each layer, [unit, y, x] or [unit]
    probe : with ``image_id``, ``label`` and ``fold`` along ``image``
    dtype : of the stored activations, ``float16`` or ``float32``
    activations, pooled : the two stores
    attributes : of their roots

    Raises
    ------
    InputError : on NaN or overflow, naming layer, unit and image, and where float16 loses small values
    """
    device = next(iter(extractor.parameters())).device
    underflow = {layer: Underflow() for layer in shapes}
    with store.replacing(activations) as full_part, store.replacing(pooled) as pooled_part:
        full = _template(full_part, {k: (*v[1:], v[0]) for k, v in shapes.items()}, probe, dtype, attributes)
        means = _template(pooled_part, {k: (v[0],) for k, v in shapes.items()}, probe, "float32", attributes)
        done = 0
        with torch.no_grad():
            for batch in batches:
                for layer, output in extractor(batch.to(device)).items():
                    # Channels last: units are the columns of every product that follows.
                    values = output.movedim(1, -1).contiguous().cpu().numpy()
                    full[layer].append(_stored(values, dtype, layer, probe["image_id"].values[done:], underflow[layer]))
                    means[layer].append(values.mean(axis=tuple(range(1, values.ndim - 1)), dtype=np.float64))
                done += len(batch)
        for layer, shards in full.items():
            assert shards.written == probe.sizes["image"], f"{layer}: {shards.written} images written"
            underflow[layer].check(layer)


def _template(
    part: Path, shapes: Mapping[str, tuple[int, ...]], probe: xr.Dataset, dtype: str, attributes: Mapping[str, Any]
) -> dict[str, Shards]:
    """Write all of a store but its activations; return where each layer's are to go."""
    images = probe.sizes["image"]
    fold_size = images // (int(probe["fold"].max()) + 1)
    coordinates = {name: probe[name] for name in ("image_id", "label", "fold")}
    labels = {layer: xr.Dataset(coords=coordinates | {"unit": np.arange(shape[-1])}) for layer, shape in shapes.items()}
    store.write_tree(labels, part, attributes)
    group = zarr.open_group(part, mode="r+", use_consolidated=False)
    shards = {}
    for layer, shape in shapes.items():
        image_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        # At least two images: the permuted null exchanges the images of a chunk.
        least = min(d for d in range(2, fold_size + 1) if fold_size % d == 0)
        chunk = largest_divisor(fold_size, max(CHUNK_BYTES // image_bytes, least))
        shard = chunk * largest_divisor(images // chunk, SHARD_BYTES // (chunk * image_bytes))
        array = group.create_array(
            f"{layer}/activation",
            shape=(images, *shape),
            dtype=dtype,
            chunks=(chunk, *shape),
            shards=(shard, *shape),
            compressors=Crc32cCodec(),
            dimension_names=DIMS[len(shape)],
            attributes={"long_name": "activation", "units": "1"},
            config={"write_empty_chunks": True},
        )
        shards[layer] = Shards(array, np.empty((shard, *shape), dtype))
    store.consolidate(part)
    return shards


def _stored(values: np.ndarray, dtype: str, layer: str, image_ids: np.ndarray, underflow: Underflow) -> np.ndarray:
    """The values as they are stored, after a look at what is lost."""
    largest = np.finfo(dtype).max
    bad = ~(np.abs(values) <= largest)  # NaN too
    if bad.any():
        where = np.argwhere(bad)[0]
        found = values[tuple(where)]
        hint = "; set recording.dtype: float32" if np.isfinite(found) else ""
        raise InputError(
            f"layer {layer}, unit {where[-1]}, image {image_ids[where[0]]}: activation {found} is no {dtype}{hint}"
        )
    if dtype == "float16":
        underflow.nonzero += int(np.count_nonzero(values))
        underflow.lost += int(np.count_nonzero((values != 0) & (np.abs(values) < np.finfo(np.float16).smallest_normal)))
    return values.astype(dtype, copy=False)


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is at most `limit`, at least 1."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(limit, 1))
