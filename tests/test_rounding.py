"""What float16 takes of the variance of a unit, against NumPy on all samples at once."""

import numpy as np
import pytest
import torch

from convergent.errors import InputError
from convergent.rounding import LARGEST_SHARE, Rounding


def drawn(spread: float, offset: float) -> torch.Tensor:
    return torch.randn(60, 20, 3, generator=torch.Generator().manual_seed(0)) * spread + offset


@pytest.mark.parametrize(("spread", "offset"), [(1, 0), (3e-6, 1e-4), (1, 1000.3), (1e-9, 0)])
@pytest.mark.parametrize("batch", [1, 7, 60])
def test_add__sums_what_variances_are_made_of(spread: float, offset: float, batch: int) -> None:
    values, rounding = drawn(spread, offset), Rounding()
    rounding.add(values[:0])
    for part in values.split(batch):
        rounding.add(part)
    assert rounding.sums is not None
    exact = values.double().flatten(0, 1).numpy()
    error = exact - exact.astype(np.float16)
    value, value_squared, of_error, error_squared = (rounding.sums / rounding.samples).numpy()
    np.testing.assert_allclose(value_squared - value**2, exact.var(axis=0), rtol=1e-9)
    np.testing.assert_allclose(error_squared - of_error**2, error.var(axis=0), rtol=1e-9)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_check__refuses_from_a_share_on(factor: float) -> None:
    """Around 1000 the step of float16 is ½, and the error is uniform: its variance is ½² / 12."""
    spread = np.sqrt(0.25 / 12 / (LARGEST_SHARE * factor))
    values = drawn(float(spread), 0)
    values[..., 1] = 768 + values[..., 1].clamp(-250, 250)
    rounding = Rounding()
    rounding.add(values)
    if factor < 1:
        rounding.check("map")
    else:
        with pytest.raises(InputError, match=r"\Alayer map, unit 1: rounding to float16 takes 0\.\d+% of its variance"):
            rounding.check("map")


def test_check__takes_an_error_that_is_the_same_of_all_samples() -> None:
    """Around 1000 the step is ½: each of these values is rounded down by 0.1."""
    rounding = Rounding()
    rounding.add(1000.1 + torch.arange(12).view(4, 3, 1) % 3 / 2)
    rounding.check("map")
