"""Moments on another device against those of the host, by arrays that refuse to be mixed or copied silently."""

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

from convergent import device, moments

OTHER = strict.Device("device1")


def there(values: np.ndarray) -> Any:
    return strict.asarray(values, device=OTHER)


def back(values: Any) -> np.ndarray:
    assert values.device == OTHER
    return np.asarray(values.to_device(strict.Device("CPU_DEVICE")))


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_moments__on_a_device_are_those_of_the_host(
    generator: np.random.Generator, precision: str, tolerance: float, offset: float
) -> None:
    a = offset + generator.standard_normal((300, 4, 5, 3)) * [1, 1e-20, 7]  # 6000 samples: two products
    b = generator.standard_normal((300, 4, 5, 2)) - offset
    b[..., 1] = 0.25
    order = moments.displaced(300, generator)
    host = moments.block(a, b, [order], precision, np.arange(300), np.arange(3), np.arange(2))
    mean_a, mean_b, comoment = (back(x) for x in device.moments(there(a), there(b), [there(order)], precision))
    np.testing.assert_allclose(mean_a, host.mean_a, rtol=1e-12)
    np.testing.assert_allclose(mean_b, host.mean_b, rtol=1e-12)
    norm = [np.linalg.norm((x - x.mean(axis=(0, 1, 2))).reshape(-1, x.shape[-1]), axis=0) for x in (a, b)]
    assert (np.abs(comoment - host.comoment) <= tolerance * np.outer(*norm) + 1e-300).all()
