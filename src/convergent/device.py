"""The moments of a block on a GPU, written on the array API: NumPy, CuPy and any other array give the same.

The block is centred on its own mean in float64 and multiplied in float64, or in float32 after a scale that is a power
of two; products of at most `tiles.ROWS` samples are added in float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from convergent.blocks import finite
from convergent.folds import Moments
from convergent.tiles import ROWS


def block(
    a: np.ndarray,
    b: np.ndarray | None,
    orders: Sequence[np.ndarray],
    precision: str,
    image_ids: np.ndarray,
    units_a: np.ndarray,
    units_b: np.ndarray,
) -> Moments:
    """The same as `moments.block`, computed by CuPy."""
    import cupy

    wide = []
    for values, units in [(a, units_a)] if b is None else [(a, units_a), (b, units_b)]:
        wide.append(cupy.asarray(values).astype(cupy.float64))  # float16 is not in the array API
        if not bool(cupy.isfinite(wide[-1]).all()):
            finite(values, image_ids, units)
    mean_a, mean_b, comoment = moments(wide[0], wide[-1], [cupy.asarray(order) for order in orders], precision)
    n = a.size // a.shape[-1]
    return Moments(n, cupy.asnumpy(mean_a), cupy.asnumpy(mean_b), cupy.asnumpy(comoment))


def moments(a: Any, b: Any, orders: Sequence[Any], precision: str) -> tuple[Any, Any, Any]:
    """Means and comoments of two blocks.

    Parameters
    ----------
    a, b : [image, ..., unit], float64, of one array library and device
    orders : of the images of b, one for each permuted replicate
    precision : of the products

    Returns
    -------
    mean [unit_a], mean [unit_b], comoment [1 + replicate, unit_a, unit_b], in float64 on the same device
    """
    xp = array_namespace(a, b)
    mean_a, centred_a, scale_a = _centre(a, precision)
    mean_b, centred_b, scale_b = _centre(b, precision)
    products = [_product(centred_a, centred_b)]
    products += [_product(centred_a, xp.take(centred_b, order, axis=0)) for order in orders]
    return mean_a, mean_b, xp.stack(products) * (scale_a[:, None] * scale_b[None, :])


def _centre(values: Any, precision: str) -> tuple[Any, Any, Any]:
    xp = array_namespace(values)
    values = xp.reshape(values, (values.shape[0], -1, values.shape[-1]))
    mean = xp.mean(values, axis=(0, 1))
    centred = values - mean
    scale = xp.ones_like(mean)
    if precision == "float32":
        largest = xp.max(xp.abs(centred), axis=(0, 1))
        scale = xp.where(largest > 0, 2.0 ** xp.ceil(xp.log2(xp.where(largest > 0, largest, scale))), scale)
        centred = xp.astype(centred / scale, xp.float32)
    return mean, centred, scale


def _product(a: Any, b: Any) -> Any:
    xp = array_namespace(a, b)
    a, b = xp.reshape(a, (-1, a.shape[-1])), xp.reshape(b, (-1, b.shape[-1]))
    samples = a.shape[0]
    parts = (slice(start, min(start + ROWS, samples)) for start in range(0, samples, ROWS))
    return sum(xp.astype(xp.matmul(xp.matrix_transpose(a[part, :]), b[part, :]), xp.float64) for part in parts)
