"""Stores of activations as a recording leaves them, without a network."""

from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from convergent import schema, store

FOLD = 10


def write(
    path: Path,
    layers: dict[str, np.ndarray],
    *,
    chunk: int = FOLD // 2,
    shard: int = 2 * FOLD,
    fold: int = FOLD,
    snapshot: str | None = None,
) -> None:
    """Activations [image, y, x, unit] or [image, unit] by layer; `chunk`, `shard` and `fold` are numbers of images.

    The store names its file as the snapshot where there is no other.
    """
    images = len(next(iter(layers.values())))
    probe = {
        "image_id": ("image", np.array([f"{i:06d}" for i in range(images)], dtype=np.dtypes.StringDType())),
        "label": ("image", np.arange(images) % 3),
        "fold": ("image", np.arange(images) // fold),
    }
    labels = {name: xr.Dataset(coords=probe | {"unit": np.arange(x.shape[-1])}) for name, x in layers.items()}
    name = snapshot or path.stem
    of_snapshot = {"snapshot": name, "checkpoint_digest": f"digest {name}", "seed": 0, "stage": "final"}
    with store.replacing(path) as part:
        store.write_tree(labels, part, of_snapshot | {"probe_fingerprint": "f", "probe_seed": 3, "data": "digits"})
        group = zarr.open_group(part, mode="r+", use_consolidated=False)
        for name, values in layers.items():
            array = group.create_array(
                f"{name}/activation",
                shape=values.shape,
                dtype=values.dtype,
                chunks=(chunk, *values.shape[1:]),
                shards=(shard, *values.shape[1:]),
                compressors=Crc32cCodec(),
                chunk_key_encoding=schema.CHUNK_KEYS,
                dimension_names=("image", "unit") if values.ndim == 2 else ("image", "y", "x", "unit"),
                config={"write_empty_chunks": True},
            )
            array[:] = values
        store.consolidate(part)
