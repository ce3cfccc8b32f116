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
import numpy as np
import zarr
from dask.array.core import normalize_chunks
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

from convergent import checksums
from convergent.errors import InputError

PLAIN = (BytesCodec(), Crc32cCodec())  # the codecs of chunks that can be mapped


def array(source: zarr.Array[Any], root: Path, known: bytes) -> da.Array | None:
    """An array of a local store in Dask blocks, one a chunk; None where its chunks are no plain values.

    Parameters
    ----------
    source : sharded along its first dimension alone
    root : folder of the store
    known : what its chunks end with, `checksums.of_chunks`

    Raises
    ------
    InputError : when a block is computed that is damaged, missing or another, naming store, array and file
    """
    if not is_plain(source):
        return None
    blocks = normalize_chunks(source.chunks, source.shape, dtype=source.dtype)
    found: da.Array = da.map_blocks(
        _chunk,
        da.from_array(np.frombuffer(known, "u4")[: len(blocks[0])], chunks=1),
        root,
        source,
        new_axis=[*range(1, source.ndim)],
        chunks=blocks,
        dtype=source.dtype,
        meta=np.empty((0,) * source.ndim, source.dtype),
    )
    return found


def is_plain(source: zarr.Array[Any]) -> bool:
    codecs = source.metadata.codecs  # type: ignore[union-attr]
    return (
        len(codecs) == 1
        and isinstance(codecs[0], ShardingCodec)
        and codecs[0] == ShardingCodec(chunk_shape=source.chunks, codecs=PLAIN)
        and source.chunks[1:] == source.shape[1:]
        and source.shape[0] > 0
    )


def _chunk(known: np.ndarray, root: Path, source: zarr.Array[Any], block_id: tuple[int, ...]) -> np.ndarray:
    """The values of one chunk, after its checksum and that of the index of its shard."""
    number, size = block_id[0], source.chunks[0]
    in_shard = source.shards[0] // size  # type: ignore[index]
    name = f"{source.path}/{source.metadata.encode_chunk_key((number // in_shard, *block_id[1:]))}"
    told = f"{root}: {name}"
    shard = checksums.mapped(root / name, told)
    offset, length = (int(place) for place in checksums.index(shard, in_shard, told)[number % in_shard])
    if offset == checksums.ABSENT:
        raise InputError(f"{told} lacks a chunk; make it anew")
    chunk = shard[offset : offset + length]
    values = checksums.checked(chunk, told)
    if values.nbytes != math.prod(source.chunks) * source.dtype.itemsize:
        raise InputError(f"{told} holds a chunk of another size; make it anew")
    if chunk[-checksums.LENGTH :].tobytes() != known.tobytes():
        raise checksums.misplaced(told)
    values = values.view(source.dtype.newbyteorder("<"))
    # At the end of an array a chunk is filled up.
    return values.reshape(source.chunks)[: source.shape[0] - number * size]
