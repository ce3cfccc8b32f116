"""Shards of a Zarr array written chunk after chunk, as they come: no shard is held, no chunk is copied.

zarr writes a shard whole. Each layer would hold 64 MB, and most of a small probe would wait for its last image.
A shard is its encoded chunks, one after another, and an index: offset and length of each as little-endian uint64;
a crc32c ends every chunk and the index. Source: Zarr specification 3.1, codec sharding_indexed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc, Zstd
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from convergent import checksums, layout, schema
from convergent.errors import InputError

# The codecs of `create`: how zarr is to read a chunk, given the bytes of a number, and how it is written.
CODECS: dict[str, tuple[Callable[[int], tuple[Any, ...]], Callable[[np.ndarray], Any]]] = {
    "crc32c": (lambda _: (), lambda chunk: chunk),
    "lz4": (
        lambda itemsize: (BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=itemsize),),
        Blosc("lz4", clevel=1, shuffle=Blosc.BITSHUFFLE).encode,
    ),
    "zstd": (lambda _: (ZstdCodec(level=1),), Zstd(level=1).encode),
}


@dataclass
class Shards:
    """A sharded array, image first, of which `append` writes one chunk after another."""

    array: zarr.Array[Any]
    folder: Path
    encode: Callable[[np.ndarray], Any]
    written: int = 0
    index: list[tuple[int, int]] = field(default_factory=list)

    def append(self, chunk: np.ndarray) -> None:
        """Write the next chunk, contiguous in memory; the last of a shard closes it.

        Raises
        ------
        InputError : where another process has the same store at work, as locks of another node may not tell
        """
        assert self.array.shards is not None
        in_shard = self.array.shards[0] // self.array.chunks[0]
        number = (self.written // in_shard, *[0] * (chunk.ndim - 1))
        path = self.folder / self.array.metadata.encode_chunk_key(number)
        offset = sum(self.index[-1]) if self.index else 0
        try:
            with path.open("ab" if offset else "xb") as file:
                if file.tell() != offset:
                    raise FileExistsError
                self.index.append((offset, _write(file, self.encode(chunk))))
                self.written += 1
                if len(self.index) == in_shard:
                    _write(file, np.array(self.index, "<u8"))
                    self.index.clear()
        except (FileExistsError, FileNotFoundError):
            raise InputError(f"{path}: another process writes this store; wait for its end and run again") from None


def create(
    group: zarr.Group, name: str, shape: Sequence[int], dtype: str, folds: int, codec: str, **more: Any
) -> Shards:
    """Declare an array to be written by chunks of images, none across a fold.

    Parameters
    ----------
    group, name : of the array, in a local store
    shape : [image, ...]
    dtype : of its values
    folds : equal groups of consecutive images
    codec : of the chunks, of `CODECS`; each ends with its crc32c
    more : of the array, as zarr takes it
    """
    images, *of_image = shape
    chunk, shard = layout.sizes(images, images // folds, int(np.prod(of_image)) * np.dtype(dtype).itemsize)
    compressors, encode = CODECS[codec]
    array = group.create_array(
        name,
        shape=(images, *of_image),
        dtype=dtype,
        chunks=(chunk, *of_image),
        shards=(shard, *of_image),
        compressors=(*compressors(np.dtype(dtype).itemsize), Crc32cCodec()),
        chunk_key_encoding=schema.CHUNK_KEYS,
        **more,
    )
    return Shards(array, Path(group.store_path.store.root, group.path, name), encode)  # type: ignore[attr-defined]


def _write(file: Any, content: Any) -> int:
    """Write bytes and their crc32c; their number."""
    content = np.frombuffer(content, np.uint8)
    file.write(content)
    file.write(checksums.of(content))
    return len(content) + checksums.LENGTH
