"""The out-of-core pass for what moments cannot tell: zeros, maxima and a histogram of each unit.

The bins are fixed octaves, so that states add and need no pass of their own to find edges: bin 0 holds zeros,
bin i magnitudes, signs ignored, from half its upper edge to below it; the first and the last of these are open.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import xarray as xr
from dask.delayed import delayed

from convergent import blocks

EXPONENTS = np.arange(-14, 18)  # from the smallest normal float16 to beyond the largest
PART = 2**17  # values whose octaves are held at once


@dataclass(frozen=True)
class State:
    """Counts of some samples, to be added: [unit, octave], [unit], [unit]."""

    count: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray


def block(values: np.ndarray) -> State:
    """Counts of one block [image, ..., unit]."""
    values = values.reshape(-1, values.shape[-1])
    rows = max(PART // values.shape[1], 1)
    return reduce(merge, (_part(values[start : start + rows]) for start in range(0, len(values), rows)))


def merge(p: State, q: State) -> State:
    """Counts of two disjoint sets of samples together."""
    return State(p.count + q.count, np.minimum(p.minimum, q.minimum), np.maximum(p.maximum, q.maximum))


def _part(samples: np.ndarray) -> State:
    """Counts of so few samples [sample, unit] that their octaves stay in the cache."""
    samples = samples.astype(np.promote_types(samples.dtype, np.float32), copy=False)
    octave = np.clip(np.frexp(samples)[1], EXPONENTS[0], EXPONENTS[-1]) - EXPONENTS[0] + 1
    octave[samples == 0] = 0
    bins, units = len(EXPONENTS) + 1, samples.shape[1]
    flat = np.bincount((octave + bins * np.arange(units)).ravel(), minlength=bins * units)
    return State(flat.reshape(units, bins), samples.min(axis=0), samples.max(axis=0))


def of_units(activation: xr.DataArray) -> xr.Dataset:
    """Histogram, minimum and maximum of each unit.

    Parameters
    ----------
    activation : ``[image, ..., unit]`` as a Dask array, chunked along ``image`` alone

    Returns
    -------
    ``count[unit, octave]``, ``minimum[unit]``, ``maximum[unit]``; the coordinate ``upper_edge[octave]`` is the
    magnitude below which a bin's values lie
    """
    state: State = blocks.add([delayed(block)(x) for x in blocks.of(activation)], merge).compute()
    upper = np.concatenate([[0.0], 2.0**EXPONENTS])
    return xr.Dataset(
        {
            "count": (("unit", "octave"), state.count, {"long_name": "samples in the bin"}),
            "minimum": ("unit", state.minimum, {"long_name": "smallest activation"}),
            "maximum": ("unit", state.maximum, {"long_name": "largest activation"}),
        },
        {"unit": activation["unit"].values, "upper_edge": ("octave", upper)},
    )
