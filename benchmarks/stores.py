"""Stores of activations as the workflow writes them, filled with numbers drawn at random."""

from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from convergent import shards, store


def recorded(path: Path, images: int, shape: tuple[int, ...], seed: int, folds: int = 10) -> Path:
    """A store with one layer, ``layer``, of half zeros, as after a ReLU; `shape` of an image, units last."""
    coordinates = {
        "image_id": ("image", np.array([f"{i:06d}" for i in range(images)], dtype=np.dtypes.StringDType())),
        "label": ("image", np.arange(images) % 10),
        "fold": ("image", np.arange(images) // (images // folds)),
        "unit": np.arange(shape[-1]),
    }
    attributes = {"snapshot": f"net-s{seed}-final", "seed": seed, "stage": "final", "checkpoint_digest": f"c{seed}"}
    attributes |= {"probe_fingerprint": "p", "probe_seed": 0, "data": "random"}
    generator = np.random.default_rng(seed)
    with store.replacing(path) as part:
        store.write_tree({"layer": xr.Dataset(coords=coordinates)}, part, attributes)
        group = zarr.open_group(part, mode="r+", use_consolidated=False)
        dims = ("image", "y", "x", "unit") if len(shape) == 3 else ("image", "unit")
        target = shards.create(
            group, "layer/activation", (images, *shape), "float16", folds, "crc32c", dimension_names=dims
        )
        for _ in range(images // target.array.chunks[0]):
            values = generator.standard_normal((target.array.chunks[0], *shape), dtype=np.float32)
            target.append(np.maximum(values, 0).astype(np.float16))
        store.consolidate(part)
    return path
