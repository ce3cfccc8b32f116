"""The crc32c that every chunk of a store ends with: of its bytes, and by a list of them of its place.

A checksum tells a damaged chunk from a whole one, but not a whole one from another: the list, made when a store is
finished, does.
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr

from convergent.errors import InputError

LENGTH = 4  # bytes
ENTRY = 16  # bytes of a chunk in the index of a shard: offset and length
ABSENT = 2**64 - 1  # offset of a chunk that was never written


def of(content: np.ndarray) -> bytes:
    """The crc32c of bytes, as it is stored behind them."""
    value: int = google_crc32c.value(content)
    return value.to_bytes(LENGTH, "little")


def checked(content: np.ndarray, told: str) -> np.ndarray:
    """Bytes without the crc32c that they end with.

    Raises
    ------
    InputError : starting with `told`, where it is not theirs
    """
    content, stored = content[:-LENGTH], content[-LENGTH:].tobytes()
    if stored != of(content):  # nor where the file ends before
        raise InputError(f"{told} is damaged (Stored and computed checksum do not match); make it anew")
    return content


def mapped(file: Path, told: str) -> np.ndarray:
    """The bytes of a file, mapped into memory."""
    try:
        return np.asarray(np.memmap(file, mode="r"))
    except (FileNotFoundError, ValueError):  # NumPy maps no empty file
        raise InputError(f"{told} is missing or empty; make it anew") from None


def index(shard: np.ndarray, in_shard: int, told: str) -> np.ndarray:
    """Offset and length of each chunk of a shard, ``<u8`` [chunk, 2]."""
    return checked(shard[-in_shard * ENTRY - LENGTH :], told).view("<u8").reshape(-1, 2)


def of_chunks(array: zarr.Array[Any], root: Path) -> bytes:
    """What the chunks of an array of a local store end with, file after file; `LENGTH` zeros for one that is absent."""
    return b"".join(_of_file(array, root, name) for name in files(array))


def check(array: zarr.Array[Any], root: Path, known: bytes) -> None:
    """Compare the chunks of an array with what `of_chunks` gave when its store was finished.

    Raises
    ------
    InputError : naming the file that holds others, is missing or has a damaged index
    """
    for name in files(array):
        found = _of_file(array, root, name)
        expected, known = known[: len(found)], known[len(found) :]
        if found != expected:
            raise misplaced(f"{root}: {name}")


def misplaced(told: str) -> InputError:
    """The error of a chunk that is whole, perhaps, but not the one that was written in its place."""
    return InputError(f"{told} is damaged or another (not what its store was finished with); make it anew")


def files(array: zarr.Array[Any]) -> Iterator[str]:
    """Where the chunks of an array of a local store lie, in its root."""
    grid = [ceil(size / chunk) for size, chunk in zip(array.shape, array.shards or array.chunks, strict=True)]
    for number in np.ndindex(*grid):
        yield f"{array.path}/{array.metadata.encode_chunk_key(number)}"


def _of_file(array: zarr.Array[Any], root: Path, name: str) -> bytes:
    content = mapped(root / name, f"{root}: {name}")
    if array.shards is None:
        return content[-LENGTH:].tobytes()
    in_shard = int(np.prod(np.array(array.shards) // array.chunks))
    ends = (sum(map(int, entry)) for entry in index(content, in_shard, f"{root}: {name}"))
    return b"".join(bytes(LENGTH) if end >= ABSENT else content[end - LENGTH : end].tobytes() for end in ends)
