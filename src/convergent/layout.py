"""How many images make a chunk of activations, and a shard: what is decoded at once, and what is a file.

Chunks are all of one size and none crosses a fold, so that a fold is whole chunks and has moments of its own.
The Snakefile imports this module: the standard library only.
"""

import math

CHUNK_BYTES = 8 * 2**20
SHARD_BYTES = 64 * 2**20


def sizes(images: int, fold_size: int, image_bytes: int) -> tuple[int, int]:
    """Images of a chunk and of a shard: 4–8 MB and 32–64 MB, as far as the numbers of images divide."""
    # At least two images: the permuted null exchanges the images of a chunk.
    least = min(_divisors(fold_size)[1:])
    most = max(CHUNK_BYTES // image_bytes, least)
    fitting = [chunk for chunk in _divisors(fold_size) if least <= chunk <= most]
    # A smaller chunk may make a larger shard, where the number of chunks divides badly.
    found = [
        (chunk * max(n for n in _divisors(images // chunk) if n == 1 or n * chunk * image_bytes <= SHARD_BYTES), chunk)
        for chunk in fitting
        if 2 * chunk >= fitting[-1]
    ]
    shard, chunk = max(found)
    return chunk, shard


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})
