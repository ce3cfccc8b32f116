"""Chunks of activations as they lie in their shards, mapped into memory: nothing is copied before it is used.

Beside products of matrices, which push all else from the caches, reading through zarr costs as much as a third of them:
each chunk is copied from the page cache, and once more into its array. What is stored as plain values needs neither.
A file must not be cut short while it is mapped: the system ends the process (SIGBUS). Nothing here does so, a store is
replaced by a rename.
"""

import math
from pathlib import Path
from typing import Any

import dask.array as da
import google_crc32c
import numpy as np
import zarr
from dask.array.core import normalize_chunks
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

from convergent.errors import InputError

PLAIN = (BytesCodec(), Crc32cCodec())  # the codecs of chunks that can be mapped
ABSENT = 2**64 - 1  # offset of a chunk that was never written
ENTRY, CHECKSUM = 16, 4  # bytes: of a chunk in the index of a shard, offset and length, and of a crc32c


def array(source: zarr.Array[Any], root: Path) -> da.Array | None:
    """An array of a local store in Dask blocks, one a chunk; None where its chunks are no plain values.

    Parameters
    ----------
    source : sharded along its first dimension alone
    root : folder of the store

    Raises
    ------
    InputError : when a block is computed that is damaged or missing, naming store, array and file
    """
    if not _is_plain(source):
        return None
    blocks = normalize_chunks(source.chunks, source.shape, dtype=source.dtype)
    found: da.Array = da.map_blocks(
        _chunk, root, source, chunks=blocks, dtype=source.dtype, meta=np.empty((0,) * source.ndim, source.dtype)
    )
    return found


def _is_plain(source: zarr.Array[Any]) -> bool:
    codecs = source.metadata.codecs  # type: ignore[union-attr]
    return (
        len(codecs) == 1
        and isinstance(codecs[0], ShardingCodec)
        and codecs[0] == ShardingCodec(chunk_shape=source.chunks, codecs=PLAIN)
        and source.chunks[1:] == source.shape[1:]
        and source.shape[0] > 0
    )


def _chunk(root: Path, source: zarr.Array[Any], block_id: tuple[int, ...]) -> np.ndarray:
    """The values of one chunk, after its checksum and that of the index of its shard."""
    number, size = block_id[0], source.chunks[0]
    in_shard = source.shards[0] // size  # type: ignore[index]
    name = f"{source.path}/{source.metadata.encode_chunk_key((number // in_shard, *block_id[1:]))}"
    try:
        shard = np.asarray(np.memmap(root / name, mode="r"))
    except (FileNotFoundError, ValueError):  # NumPy maps no empty file
        raise InputError(f"{root}: {name} is missing or empty; make it anew") from None
    index = _checked(shard[-in_shard * ENTRY - CHECKSUM :], root, name).view("<u8").reshape(-1, 2)
    offset, length = (int(place) for place in index[number % in_shard])
    if offset == ABSENT:
        raise InputError(f"{root}: {name} lacks a chunk; make it anew")
    values = _checked(shard[offset : offset + length], root, name)
    if values.nbytes != math.prod(source.chunks) * source.dtype.itemsize:
        raise InputError(f"{root}: {name} holds a chunk of another size; make it anew")
    values = values.view(source.dtype.newbyteorder("<"))
    # At the end of an array a chunk is filled up.
    return values.reshape(source.chunks)[: source.shape[0] - number * size]


def _checked(content: np.ndarray, root: Path, name: str) -> np.ndarray:
    """Bytes without the crc32c that they end with."""
    content, stored = content[:-CHECKSUM], content[-CHECKSUM:].tobytes()
    if stored != google_crc32c.value(content).to_bytes(CHECKSUM, "little"):  # nor where the file ends before
        raise InputError(f"{root}: {name} is damaged (Stored and computed checksum do not match); make it anew")
    return content
