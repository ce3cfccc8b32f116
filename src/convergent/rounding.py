"""What rounding to float16 takes of a layer: for each unit the variance of the error, as a share of its own.

    share = Var(x − float16(x)) / Var(x)        r with another unit falls by about half of it

Values below 6e-5 are rounded coarsely, and so is a small spread around a large mean: both are harmful where the
error is not far smaller than the spread, and harmless else.
"""

from dataclasses import dataclass

import numpy as np
import torch

from convergent.errors import InputError

LARGEST_SHARE = 1e-3
NEGLIGIBLE = 1e-6  # spread of a unit, as a share of the layer's, that float32 loses in the sums of the next layer


@dataclass
class Rounding:
    """Sums over samples of values and errors, and of their squares, [4, unit]; values are less an origin."""

    samples: int = 0
    origin: torch.Tensor | None = None
    sums: torch.Tensor | None = None

    def add(self, values: torch.Tensor) -> None:
        """Add samples [..., unit]."""
        values = values.flatten(0, -2).to(torch.float64)
        if not len(values):
            return
        if self.origin is None:  # near the mean, so that the squares keep their digits
            self.origin = values.mean(dim=0)
        centred, error = values - self.origin, values - values.to(torch.float16)
        sums = torch.stack([part.sum(dim=0) for part in (centred, centred**2, error, error**2)])
        self.sums = sums if self.sums is None else self.sums + sums
        self.samples += len(values)

    def check(self, layer: str) -> None:
        """Refuse float16 where it takes too much of a unit."""
        assert self.sums is not None
        value, value_squared, error, error_squared = (self.sums / self.samples).numpy()
        # An error that is the same of all samples moves the mean, no more.
        variance, lost = value_squared - value**2, error_squared - error**2
        share = np.where(variance > NEGLIGIBLE**2 * variance.mean(), lost / np.where(variance > 0, variance, 1), 0.0)
        if share.max() > LARGEST_SHARE:
            raise InputError(
                f"layer {layer}, unit {share.argmax()}: rounding to float16 takes {share.max():.2%} of its variance; "
                "set recording.dtype: float32"
            )
