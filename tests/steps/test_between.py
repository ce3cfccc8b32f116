"""The steps within and between: from stores of activations to moments, held or streamed, on any engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import recorded
import xarray as xr

from convergent import moments, store
from convergent.config import Moments
from convergent.errors import InputError
from convergent.steps import between, within

SETTINGS = Moments(precision="float64", permutations=2)


@pytest.fixture
def activations(tmp_path: Path) -> list[Path]:
    """Two snapshots with a convolutional and a fully connected layer."""
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{side}.zarr" for side in "ab"]
    for path in paths:
        shapes = {"conv": (20, 3, 3, 4), "fc": (20, 7)}
        recorded.write(path, {name: generator.standard_normal(shape) for name, shape in shapes.items()})
    return paths


def made(activations: list[Path], engine: str = "threads") -> list[store.Store]:
    a, b = activations
    outputs = [a.with_name(f"{name}.zarr") for name in ("within", "between")]
    within.run(activations=a, precision="float64", threads=1, output=outputs[0], engine_name=engine)
    between.run(a=a, b=b, settings=SETTINGS, threads=1, output=outputs[1], engine_name=engine)
    return [store.read(path, f"moments_{path.stem}") for path in outputs]


@pytest.mark.parametrize(("held", "engine"), [(0, "threads"), (0, "local"), (moments.HELD, "local")])
def test_run__streamed_or_held_is_the_same_on_any_engine(
    activations: list[Path], monkeypatch: pytest.MonkeyPatch, held: int, engine: str
) -> None:
    expected = [{layer: dataset.load() for layer, dataset in one.layers.items()} for one in made(activations)]
    monkeypatch.setattr(moments, "HELD", held)
    for found, before in zip(made(activations, engine), expected, strict=True):
        assert list(found.layers) == ["conv", "fc"]
        for layer, dataset in found.layers.items():
            xr.testing.assert_allclose(dataset, before[layer], rtol=1e-12)
            assert dataset.attrs == before[layer].attrs


@pytest.mark.parametrize("held", [0, moments.HELD])
def test_run__holds_comoments_only_as_far_as_they_fit(
    activations: list[Path], monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    lazy = []

    def watched(function: Callable[..., xr.Dataset]) -> Callable[..., xr.Dataset]:
        def call(*arguments: object, **options: object) -> xr.Dataset:
            dataset = function(*arguments, **options)
            lazy.append(bool(dataset["comoment"].chunks))
            return dataset

        return call

    for name in ("within", "between"):
        monkeypatch.setattr(moments, name, watched(getattr(moments, name)))
    monkeypatch.setattr(moments, "HELD", held)
    made(activations)
    assert lazy == 4 * [held == 0]


@pytest.mark.parametrize("held", [0, moments.HELD])
def test_run__names_layer_unit_and_image_of_what_is_not_finite(
    activations: list[Path], monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(moments, "HELD", held)
    values = np.random.default_rng(1).standard_normal((20, 7))
    values[11, 3] = np.inf
    recorded.write(activations[0], {"fc": values})
    with pytest.raises(InputError, match=r"fc: unit 3, image \S+: activation inf is not finite"):
        made(activations)
    assert not activations[0].with_name("within.zarr").exists()
