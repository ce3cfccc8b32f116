"""The out-of-core pass for what moments cannot tell: zeros, maxima and a histogram of each unit.

The bins are fixed octaves, so that states add and need no pass of their own to find edges: bin 0 holds zeros,
bin i magnitudes, signs ignored, from half its upper edge to below it; the first and the last of these are open.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from dask.delayed import delayed

from convergent import blocks

EXPONENTS = np.arange(-14, 18)  # from the smallest normal float16 to beyond the largest


@dataclass(frozen=True)
class State:
    """Counts of some samples, to be added: [unit, octave], [unit], [unit]."""

    count: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray


def block(values: np.ndarray) -> State:
    """Counts of one block [image, ..., unit]."""
    values = values.reshape(-1, values.shape[-1]).astype(np.float32)
    octave = np.clip(np.frexp(values)[1], EXPONENTS[0], EXPONENTS[-1]) - EXPONENTS[0] + 1
    octave[values == 0] = 0
    bins, units = len(EXPONENTS) + 1, values.shape[1]
    flat = np.bincount((octave + bins * np.arange(units)).ravel(), minlength=bins * units)
    return State(flat.reshape(units, bins), values.min(axis=0), values.max(axis=0))


def merge(p: State, q: State) -> State:
    """Counts of two disjoint sets of samples together."""
    return State(p.count + q.count, np.minimum(p.minimum, q.minimum), np.maximum(p.maximum, q.maximum))


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
