"""The step similarity: the layers of the stores of one pair, and no other's."""

from pathlib import Path

import pytest
import xarray as xr

from convergent import config, folds, moments, store
from convergent.errors import InputError
from convergent.measures.similarity import similarity
from convergent.steps import similarity as step

SETTINGS = config.Similarity(0.9, 30)


@pytest.fixture
def inputs(stores: dict[str, Path]) -> dict[str, Path]:
    """The stores that the step reads, and the one that it writes."""
    return {name: stores[name] for name in ("a", "b", "between", "pooled_a", "pooled_b", "output")}


def test_run__measures_each_layer(inputs: dict[str, Path], layers: list[dict[str, xr.DataArray]]) -> None:
    step.run(settings=SETTINGS, **inputs)
    found = store.read(inputs["output"], "measure")
    assert list(found.layers) == ["conv", "fc"]
    assert found.attributes["snapshot_b"] == "net-b"
    for name, spatial, n in (("conv", "positions", 80), ("fc", "images", 20)):
        sides = [network[name] for network in layers]
        joined = folds.joined(moments.within(sides[0]), moments.within(sides[1]), moments.between(*sides))
        rows = [x.mean(("y", "x")) if x.ndim > 2 else x for x in sides]
        expected = similarity(joined, *rows, svcca_variance=0.9, permutations=30)
        measured = found.layers[name]
        assert (measured.attrs["spatial"], measured.attrs["n"]) == (spatial, n)
        assert measured.sizes["permutation"] == 30
        for variable in ("summary", "summary_standard_error", "summary_null"):
            xr.testing.assert_allclose(measured[variable], expected[variable])
        xr.testing.assert_equal(measured["definition"], expected["definition"])


@pytest.mark.parametrize("side", ["a", "b"])
def test_run__refuses_the_means_of_another_snapshot(inputs: dict[str, Path], side: str) -> None:
    other = {"a": "b", "b": "a"}[side]
    with pytest.raises(
        InputError, match=rf"between\.zarr compares snapshot net-{side}, but .*pooled_{other}\.zarr holds net-{other}"
    ):
        step.run(settings=SETTINGS, **inputs | {f"pooled_{side}": inputs[f"pooled_{other}"]})
    assert not inputs["output"].exists()
