"""How zarr reads the chunks of our stores: one that is damaged is named, and one that is missing is no zeros."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import zarr
from zarr.abc.store import ByteGetter, ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline
from zarr.storage import StorePath

from convergent.errors import InputError


@contextmanager
def named() -> Iterator[None]:
    """Arrays that are opened in the block read their chunks through `NamingPipeline`, then and later."""
    with zarr.config.set({"codec_pipeline.path": f"{NamingPipeline.__module__}.{NamingPipeline.__qualname__}"}):
        yield


@dataclass(frozen=True)
class NamingPipeline(BatchedCodecPipeline):
    """How zarr reads chunks, but one that is damaged is named, and one that is missing does not read as zeros."""

    async def read_batch(self, batch_info: Iterable[Any], out: Any, drop_axes: tuple[int, ...] = ()) -> Any:
        read: Any = super().read_batch  # returns what it found of each chunk, in zarr 3.1 nothing
        found: list[Any] = []
        for file, *rest in batch_info:
            try:
                found += await read([(_Present(file), *rest)], out, drop_axes) or ()
            except (ValueError, OSError) as error:
                if not isinstance(file, StorePath):  # a chunk in a shard, whose file the pipeline around this one names
                    raise
                raise InputError(f"{_name(file)} is damaged ({str(error).split('. ')[0]}); make it anew") from None
        return tuple(found)


register_pipeline(NamingPipeline)


@dataclass(frozen=True)
class _Present(ByteGetter):
    """The file of a chunk, or a chunk of a shard, which must be there."""

    file: ByteGetter

    async def get(self, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer:
        content = await self.file.get(prototype, byte_range)
        if not content and not isinstance(self.file, StorePath):
            raise ValueError("it lacks a chunk")
        if not content:  # zarr takes an empty shard for one of the fill value
            raise InputError(f"{_name(self.file)} is missing or empty; make it anew")
        return content


def _name(file: Any) -> str:
    return f"{str(file.store).removeprefix('file://')}: {file.path}"
