"""A block of activations in tiles of samples: widened, centred, and small enough to stay in the cache.

    tile[sample, unit] = (x − centre) / scale,    centre ≈ the mean, from a few hundred samples;  scale a power of two

NumPy's cast from float16 branches on every value and takes as long as the products that follow. Here the bits are moved
to their place and multiplied by a power of two: exact for every finite value, at a twelfth of the time.
"""

from collections.abc import Iterator

import numpy as np

from convergent.blocks import finite
from convergent.compiled import compiled
from convergent.folds import Array

BYTES = 4 * 2**20  # of a tile
ROWS = 4096  # samples of a tile, at most; of float32, products of more would lose digits
PILOT = 256  # samples, about, from which the centre is taken


class Tiles:
    """The samples of a block, tile by tile.

    Parameters
    ----------
    values : [image, position, unit], of any float type
    image_ids, units : [image], [unit], for the error
    precision : of the tiles, ``float64`` or ``float32``

    Attributes
    ----------
    centre, scale : [unit]
    total : [unit], the sum over the samples of all tiles that are counted
    """

    def __init__(self, values: np.ndarray, image_ids: np.ndarray, units: np.ndarray, precision: str) -> None:
        self.values, self.image_ids, self.units = values, image_ids, units
        self.precision = np.dtype(precision)
        self.room = np.empty((0, values.shape[-1]), precision)  # a new one for each tile costs as much as to fill it
        samples = values.reshape(-1, values.shape[-1])
        with np.errstate(invalid="ignore"):  # `fill` says which value is not finite
            pilot = samples[:: max(len(samples) // PILOT, 1)].astype(np.float64)
            # Of the type of the values: a constant is its own centre.
            self.centre: Array = pilot.mean(axis=0).astype(values.dtype).astype(np.float64)
            self.scale: Array = np.ones(len(self.centre))
            self.total: Array = np.zeros(len(self.centre))
            if self.precision == np.float32 and values.dtype != np.float16:
                # Products of very small or large values would leave the range of float32.
                largest = np.maximum(samples.max(axis=0) - self.centre, self.centre - samples.min(axis=0))
                self.scale = np.exp2(np.frexp(largest)[1])

    def fill(self, images: np.ndarray | slice, *, counted: bool = True) -> np.ndarray:
        """The samples of some images, [sample, unit], until the next are asked for; `counted` in the total, or not.

        Raises
        ------
        InputError : naming the unit and the image of a value that is not finite
        """
        chosen = np.ascontiguousarray(self.values[images])
        samples = chosen.reshape(-1, chosen.shape[-1])
        if len(self.room) < len(samples):
            self.room = np.empty(samples.shape, self.precision)
        tile = self.room[: len(samples)]
        total = self.total if counted else np.zeros_like(self.total)
        if samples.dtype == np.float16:
            bits, centre = tile.view(f"u{tile.itemsize}"), self.centre.astype(self.precision)
            good = _widen_half(samples.view(np.uint16), centre, tile, bits, total)
        else:
            _widen(samples, self.centre, self.scale, tile, total)
            good = bool(np.isfinite(total).all())
        if not good:
            finite(chosen, self.image_ids[images], self.units)
        return tile


def spans(images: int, positions: int, units: int, precision: str) -> Iterator[slice]:
    """The images of each tile: at least one, and else as many as `BYTES` and `ROWS` allow."""
    rows = min(ROWS, BYTES // (units * np.dtype(precision).itemsize))
    step = max(rows // positions, 1)
    return (slice(start, start + step) for start in range(0, images, step))


@compiled
def _widen_half(half: np.ndarray, centre: np.ndarray, tile: np.ndarray, bits: np.ndarray, total: np.ndarray) -> bool:
    """Fill a tile from the bits of float16: sign, 5 bits of exponent and 10 of fraction; whether all are finite.

    `bits` is the memory of the tile.
    """
    if tile.itemsize == 8:
        sign, rest, exponent = np.uint64(48), np.uint64(42), 2.0**1008
    else:
        sign, rest, exponent = np.uint64(16), np.uint64(13), 2.0**112
    factor = centre.dtype.type(exponent)
    largest = np.uint64(0)
    for i in range(half.shape[0]):
        for u in range(half.shape[1]):
            value = np.uint64(half[i, u])
            largest = max(largest, value & np.uint64(0x7C00))
            bits[i, u] = ((value & np.uint64(0x8000)) << sign) | ((value & np.uint64(0x7FFF)) << rest)
        for u in range(half.shape[1]):
            centred = tile[i, u] * factor - centre[u]
            tile[i, u] = centred
            total[u] += centred
    return bool(largest < np.uint64(0x7C00))


@compiled
def _widen(values: np.ndarray, centre: np.ndarray, scale: np.ndarray, tile: np.ndarray, total: np.ndarray) -> None:
    for i in range(values.shape[0]):
        for u in range(values.shape[1]):
            centred = (values[i, u] - centre[u]) / scale[u]
            tile[i, u] = centred
            total[u] += centred
