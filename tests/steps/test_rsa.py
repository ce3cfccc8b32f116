"""The steps rdm and rsa: from two stores of activations to their labelled comparison."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convergent import rdms, store
from convergent.errors import InputError
from convergent.measures.rsa import rsa as measure
from convergent.steps import rdm, rsa

IMAGES = 20
LAYERS = {"conv1": (3, 3, 4), "fc1": (6,)}
Layer = Callable[..., xr.DataArray]
Dissimilarities = Callable[..., Path]


@pytest.fixture
def dissimilarities(layer: Layer, tmp_path: Path) -> Dissimilarities:
    """The store of the step rdm of a network with one seed."""

    def made(seed: int, images: int = IMAGES, layers: tuple[str, ...] = tuple(LAYERS), probe: str = "p") -> Path:
        generator = np.random.default_rng(seed)
        recorded = {name: generator.standard_normal((IMAGES, *LAYERS[name])).astype(np.float16) for name in layers}
        label = ("image", np.arange(IMAGES) % 2)
        datasets = {
            name: layer(x).assign_coords(label=label).compute().to_dataset(name="activation")
            for name, x in recorded.items()
        }
        snapshot = f"net-s{seed}-final"
        path = tmp_path / "activations" / f"{snapshot}.zarr"
        attributes = {"snapshot": snapshot, "seed": seed, "stage": "final", "checkpoint_digest": f"c{seed}"}
        attributes |= {"probe_fingerprint": probe, "probe_seed": 0, "data": "digits"}
        store.save(datasets, path, "activations", attributes)
        output = tmp_path / "rdms" / f"{snapshot}.zarr"
        rdm.run(activations=path, images=images, threads=1, output=output)
        return output

    return made


def compared(a: Path, b: Path, permutations: int = 5) -> store.Store:
    output = a.parents[1] / "rsa.zarr"
    rsa.run(a=a, b=b, permutations=permutations, output=output)
    return store.read(output, "measure")


def test_rdm__stores_the_dissimilarities_of_every_layer(dissimilarities: Dissimilarities, tmp_path: Path) -> None:
    found = store.read(dissimilarities(0, images=13), "rdms")
    recorded = store.read(tmp_path / "activations" / "net-s0-final.zarr", "activations", chunks={})
    assert list(found.layers) == list(LAYERS)
    for name, dataset in found.layers.items():
        expected = rdms.of(recorded.layers[name]["activation"], 13)
        assert dict(dataset.sizes) == {"image": 10, "image_other": 10}  # 5 equal folds
        assert dataset["euclidean"].dtype == dataset["correlation"].dtype == np.float32
        xr.testing.assert_identical(dataset.load(), expected.astype(np.float32))
    assert json.loads(found.attributes["parameters"]) == {"images": 13}
    assert found.attributes["snapshot"] == "net-s0-final"
    assert found.attributes["checkpoint_digest"] == "c0"


def test_rsa__compares_every_layer_with_random_numbers_of_its_own(dissimilarities: Dissimilarities) -> None:
    a, b = dissimilarities(0), dissimilarities(1)
    found = compared(a, b)
    left, right = (store.read(path, "rdms") for path in (a, b))
    assert list(found.layers) == list(LAYERS)
    for name, dataset in found.layers.items():
        generator = np.random.default_rng([*b"net-s0-final--net-s1-final", *name.encode()])
        expected = measure(left.layers[name], right.layers[name], permutations=5, generator=generator)
        xr.testing.assert_identical(dataset.load().drop_attrs(), expected.drop_attrs())
        assert dataset.attrs == {"spatial": "flatten", "n": IMAGES}
    expected = {
        "snapshot_a": "net-s0-final",
        "snapshot_b": "net-s1-final",
        "checkpoint_digest_a": "c0",
        "checkpoint_digest_b": "c1",
        "probe_fingerprint": "p",
        "data": "digits",
        "parameters": '{"permutations": 5}',
    }
    assert expected.items() <= found.attributes.items()


def test_rsa__of_float32_is_that_of_float64(dissimilarities: Dissimilarities, tmp_path: Path) -> None:
    found = compared(dissimilarities(0), dissimilarities(1))
    exact = []
    for seed in (0, 1):
        recorded = store.read(tmp_path / "activations" / f"net-s{seed}-final.zarr", "activations", chunks={})
        exact.append(rdms.of(recorded.layers["conv1"]["activation"]))
    np.testing.assert_allclose(found.layers["conv1"]["summary"], measure(*exact)["summary"], rtol=1e-6)


def test_rsa__refuses_what_cannot_be_compared(dissimilarities: Dissimilarities) -> None:
    a = dissimilarities(0)
    for other, message in (
        (dissimilarities(1, probe="q"), "recorded on different probes; record both on one"),
        (dissimilarities(2, layers=("fc1",)), r"hold different layers: \['conv1', 'fc1'\] and \['fc1'\]"),
        (dissimilarities(3, images=10), "the two sides hold 20 and 10 images"),
    ):
        with pytest.raises(InputError, match=message):
            compared(a, other)
