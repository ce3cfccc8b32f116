"""What the measures of a pair share: each layer is written before the next is measured."""

from pathlib import Path

import numpy as np
import xarray as xr

from convergent.measures.summary import summary
from convergent.steps import _pair


def test_measure__writes_each_layer_before_the_next_is_measured(stores: dict[str, Path]) -> None:
    written = {}

    def measured(layer: str, moments: xr.Dataset, generator: np.random.Generator) -> xr.Dataset:
        folders = stores["output"].parent.glob("*output.zarr*/*/zarr.json")
        written[layer] = [file.parent.name for file in folders]
        return summary(("x",), np.ones(1))

    inputs = {name: stores[name] for name in ("a", "b", "between", "output")}
    _pair.measure("correlation", measured, title="", references="", settings={}, **inputs)
    assert written == {"conv": [], "fc": ["conv"]}
