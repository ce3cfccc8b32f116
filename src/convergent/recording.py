"""Recording of activations: named graph nodes → labelled blocks → Zarr.

One forward pass over the probe fills two stores: the activations, [image, y, x, unit] or [image, unit], and their
spatial means, [image, unit] in float32. Of a sample of positions, the activations are [image, position, unit].
Values are converted batch by batch and copied into a chunk; one thread encodes and writes chunks meanwhile.
"""

import itertools
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from torch import nn

from convergent import shards, store
from convergent.config import Recording
from convergent.errors import InputError
from convergent.rounding import Rounding

PENDING = 8  # chunks that wait for the writer, at most
PIECE = 2**18  # values that are looked at together, so that they stay in the cache
SAMPLES, LOOKED_AT = 2000, 64  # of each unit, and images, about, from which it is found what float16 takes
DIMS = {1: ("image", "unit"), 2: ("image", "position", "unit"), 3: ("image", "y", "x", "unit")}
Positions = tuple[np.ndarray, np.ndarray]  # y and x
Write = Callable[[shards.Shards, np.ndarray], None]


@dataclass(frozen=True)
class Answer:
    """The activations of one layer on a batch, converted: to be stored, their means, and some before rounding."""

    block: torch.Tensor
    means: torch.Tensor
    unrounded: torch.Tensor


@dataclass
class Chunks:
    """One array to which blocks of images are appended in order; every full chunk goes to the writer."""

    target: shards.Shards
    write: Write
    filled: int = 0
    chunk: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def append(self, block: torch.Tensor) -> None:
        """Convert a block [image, ..., unit], wherever it is and however it lies in memory."""
        for part in block.split(self._parts(len(block))):
            self.chunk[self.filled : self.filled + len(part)].copy_(part)
            self.filled += len(part)
            if self.filled == len(self.chunk):
                self.write(self.target, self.chunk.numpy())
                self._start()

    def _parts(self, images: int) -> list[int]:
        """How many of some images go to this chunk, and to each of those that follow."""
        size = len(self.chunk)
        ends = [*range(size - self.filled, images, size), images]
        return [end - start for start, end in itertools.pairwise([0, *ends])]

    def _start(self) -> None:
        array = self.target.array
        self.chunk = torch.empty(array.chunks, dtype=getattr(torch, str(array.dtype)))
        self.filled = 0


def record(
    extractor: nn.Module,
    batches: Iterable[torch.Tensor],
    shapes: Mapping[str, list[int]],
    probe: xr.Dataset,
    settings: Recording,
    seed: int,
    activations: Path,
    pooled: Path,
    attributes: Mapping[str, Any],
    threads: int = 1,
) -> None:
    """Run the probe through a network and write its activations and their spatial means.

    Batches run side by side in threads of one core each, which is faster than cores that wait for one another within
    an operation, and gives the same numbers for any number of threads. Held are the outputs of `threads` batches, as
    many and two more converted, a chunk of each layer and `PENDING` more, each as `layout.sizes` says:
    nothing grows with the number of images.

    Parameters
    ----------
    extractor : image batch → activations by layer, [image, unit, y, x] or [image, unit]
    batches : the probe in order
    shapes : one image's activations in each layer, [unit, y, x] or [unit]
    probe : with ``image_id``, ``label`` and ``fold`` along ``image``
    settings : the section ``recording``
    seed : of the positions
    activations, pooled : the two stores
    attributes : of their roots
    threads : batches at a time; on a GPU the second runs while the first is fetched

    Raises
    ------
    InputError : on NaN or overflow, naming layer, unit and image, and where float16 takes a unit's variance
    """
    device = next(iter(extractor.parameters())).device
    if settings.autocast == "float16" and device.type == "cpu":
        raise InputError("recording.autocast: float16 is for a GPU and there is none; set bfloat16 or none")
    image_ids = probe["image_id"].values
    images = len(image_ids)
    positions = {
        layer: chosen
        for layer, shape in shapes.items()
        if (chosen := sampled(shape, settings.positions, seed)) is not None
    }
    stored = {
        layer: (*((len(positions[layer][0]),) if layer in positions else grid), units)
        for layer, (units, *grid) in shapes.items()
    }
    means = {layer: (units,) for layer, (units, *_) in shapes.items()}
    strides = {layer: _strides(images, math.prod(shape[:-1])) for layer, shape in stored.items()}
    rounding = {layer: Rounding() for layer in shapes}

    def answer(batch: torch.Tensor, start: int) -> dict[str, Answer]:
        with torch.no_grad(), _autocast(device, settings.autocast):
            outputs = extractor(batch.to(device))
            of_batch = image_ids[start : start + len(batch)]
            return {
                layer: _converted(
                    outputs.pop(layer),
                    positions.get(layer),
                    settings.dtype,
                    (slice(-start % strides[layer][0], None, strides[layer][0]), slice(None, None, strides[layer][1])),
                    layer,
                    of_batch,
                )
                for layer in shapes
            }

    # The store of activations is the inner one, the first to be told of a full disk: it is by far the larger.
    with store.replacing(pooled) as means_part, store.replacing(activations) as full_part, _writer() as write:
        full_arrays = _template(full_part, stored, positions, probe, settings.dtype, settings.codec, attributes)
        means_arrays = _template(means_part, means, {}, probe, "float32", settings.codec, attributes)
        into = {layer: (Chunks(full_arrays[layer], write), Chunks(means_arrays[layer], write)) for layer in shapes}
        done = 0
        for answers in _in_order(answer, batches, threads):
            for layer, found in answers.items():
                into[layer][0].append(found.block)
                into[layer][1].append(found.means)
                if settings.dtype == "float16":
                    rounding[layer].add(found.unrounded)
            done += len(next(iter(answers.values())).block)
        assert done == images, f"{done} images recorded, not {images}"
        if settings.dtype == "float16":
            for layer, sums in rounding.items():
                sums.check(layer)


def sampled(shape: list[int], positions: Any, seed: int) -> Positions | None:
    """y and x of the positions to record, the same in all layers of one grid; none: all.

    Parameters
    ----------
    shape : of the layer, [unit, y, x] or [unit]
    positions : ``all``, or how many; where there are no more, all are recorded
    seed : of the choice
    """
    if positions == "all" or len(shape) == 1 or positions >= shape[1] * shape[2]:
        return None
    chosen = np.random.default_rng([seed, *shape[1:]]).choice(shape[1] * shape[2], positions, replace=False)
    y, x = np.divmod(np.sort(chosen), shape[2])
    return y, x


@contextmanager
def _writer() -> Iterator[Write]:
    """One thread that writes chunks in order, at most `PENDING` behind; its errors are raised at the next chunk."""
    waiting: deque[Future[None]] = deque()

    def write(target: shards.Shards, chunk: np.ndarray) -> None:
        while waiting and (waiting[0].done() or len(waiting) == PENDING):
            waiting.popleft().result()
        waiting.append(thread.submit(target.append, chunk))

    thread = ThreadPoolExecutor(1)
    try:
        yield write
        for future in waiting:
            future.result()
    finally:
        thread.shutdown(cancel_futures=True)


def _autocast(device: torch.device, dtype: str) -> torch.autocast:
    """Mixed precision, or none."""
    if dtype == "none":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, getattr(torch, dtype))


def _template(
    part: Path,
    shapes: Mapping[str, tuple[int, ...]],
    positions: Mapping[str, Positions],
    probe: xr.Dataset,
    dtype: str,
    codec: str,
    attributes: Mapping[str, Any],
) -> dict[str, shards.Shards]:
    """Write all of a store but its activations; return where those of each layer, [image, *shape], are to go."""
    shared = {name: probe[name] for name in ("image_id", "label", "fold")}
    labels: dict[str, xr.Dataset] = {}
    copies: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for layer, (*_, units) in shapes.items():
        chosen = dict(zip("yx", positions.get(layer, ()), strict=False))
        same = first.setdefault((units, *(index.tobytes() for index in chosen.values())), layer)
        if same == layer:
            y_x = {name: ("position", index) for name, index in chosen.items()}
            labels[layer] = xr.Dataset(coords=shared | {"unit": np.arange(units)} | y_x)
        else:
            copies[layer] = same
    store.write_tree(labels, part, {**attributes, "layers": list(shapes)})
    for layer, same in copies.items():  # xarray takes 25 ms for each
        shutil.copytree(part / same, part / layer)
    group = zarr.open_group(part, mode="r+", use_consolidated=False)
    arrays = {
        layer: shards.create(
            group,
            f"{layer}/activation",
            (probe.sizes["image"], *shape),
            dtype,
            int(probe["fold"].max()) + 1,
            codec,
            dimension_names=DIMS[len(shape)],
            attributes={"long_name": "activation", "units": "1"},
        )
        for layer, shape in shapes.items()
    }
    store.consolidate(part)
    return arrays


def _in_order(
    answer: Callable[[torch.Tensor, int], dict[str, Answer]], batches: Iterable[torch.Tensor], threads: int
) -> Iterator[dict[str, Answer]]:
    """The answers to batches, each given the number of its first image; one is ready while the others are made."""
    waiting: deque[Future[dict[str, Answer]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        start = 0
        for batch in batches:
            if len(waiting) > threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(answer, batch, start))
            start += len(batch)
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _strides(images: int, positions: int) -> tuple[int, int]:
    """Every how many images, and positions of these, values are looked at before rounding."""
    of_images = max(min(images * positions // SAMPLES, images // LOOKED_AT), 1)
    # Odd, so that it is no column of an even grid alone.
    return of_images, (images // of_images * positions // SAMPLES) | 1


def _converted(
    output: torch.Tensor,
    chosen: Positions | None,
    dtype: str,
    some: tuple[slice, slice],
    layer: str,
    image_ids: np.ndarray,
) -> Answer:
    """Of the output [image, unit, ...] of a layer; units last, as they are the columns of every product that follows.

    In runs of images that stay in the cache.
    """
    images, units = output.shape[:2]
    if chosen is None:
        shape = (images, *output.shape[2:], units)
    else:
        shape = (images, len(chosen[0]), units)
        y, x = (torch.from_numpy(index).to(output.device) for index in chosen)
    block = torch.empty(shape, dtype=getattr(torch, dtype))
    means = torch.empty((images, units), dtype=torch.float32)
    size = max(PIECE // output[0].numel(), 1)
    for start in range(0, images, size):
        run = slice(start, start + size)
        values = output[run]
        _check(values, dtype, layer, image_ids[run])
        means[run] = values if values.ndim == 2 else values.mean((2, 3), dtype=torch.float64)
        block[run] = (values if chosen is None else values[:, :, y, x]).movedim(1, -1)
    seen = output[some[0]] if chosen is None else output[some[0]][:, :, y, x]
    seen = seen.flatten(2)[:, :, some[1]] if seen.ndim > 2 else seen
    return Answer(block, means, seen.movedim(1, -1).to("cpu", torch.float32, copy=True))


def _check(values: torch.Tensor, dtype: str, layer: str, image_ids: np.ndarray) -> None:
    """Refuse values [image, unit, ...] that are not finite or too large to be stored."""
    largest = float(np.finfo(dtype).max)
    last = values.movedim(1, -1)
    low, high = torch.aminmax(last if last.is_contiguous() else values)  # NaN where there is one; slow across memory
    if -largest <= low.item() and high.item() <= largest:
        return
    values = last
    where = tuple((~(values.abs() <= largest)).nonzero()[0].tolist())
    found = values[where].item()
    hint = "; set recording.dtype: float32" if np.isfinite(found) else ""
    raise InputError(
        f"layer {layer}, unit {where[-1]}, image {image_ids[where[0]]}: activation {found} is no {dtype}{hint}"
    )
