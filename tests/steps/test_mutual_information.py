"""The steps edges and mutual_information: every layer of the stores of one pair, and no other's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convergent import config, folds, joint_histograms, moments, store
from convergent.errors import InputError
from convergent.measures.mutual_information import mutual_information
from convergent.steps import edges as edges_step
from convergent.steps import mutual_information as step

SETTINGS = config.MutualInformation(bins=5, samples=1000)
SEED, PERMUTATIONS = 3, 2
Layers = dict[str, xr.DataArray]


@pytest.fixture
def layers(layer: Callable[..., xr.DataArray], generator: np.random.Generator) -> list[Layers]:
    """Two networks with a convolutional layer and a fully connected one."""
    seen = generator.standard_normal((20, 2, 2, 4))
    both = (np.maximum(seen + 0.5 * generator.standard_normal((20, 2, 2, 4)), 0) for _ in range(2))
    return [{"conv": layer(conv.astype(np.float16)), "fc": layer(conv.reshape(20, -1)[:, :6])} for conv in both]


@pytest.fixture
def stores(
    layers: list[Layers], of_pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """What the steps before write, and the edges."""
    probe = {"probe_fingerprint": "f", "data": "digits"}
    for name, network in zip("ab", layers, strict=True):
        attributes = probe | {"snapshot": f"net-{name}", "checkpoint_digest": f"digest {name}"}
        recorded = {name: x.compute().to_dataset(name="activation") for name, x in network.items()}
        of_training = {"probe_seed": SEED, "seed": 0, "stage": "final"}
        with monkeypatch.context() as patch:  # chunks as a recording has them, of one fold
            patch.setattr(store, "_encoding", lambda v: {"chunks": (4, *v.shape[1:]) if "image" in v.dims else v.shape})
            store.save(recorded, tmp_path / f"activations_{name}.zarr", "activations", attributes | of_training)
        within = {name: moments.within(x) for name, x in network.items()}
        store.save(within, tmp_path / f"{name}.zarr", "moments_within", attributes)
        edges_step.run(
            activations=tmp_path / f"activations_{name}.zarr",
            settings=SETTINGS,
            threads=1,
            output=tmp_path / f"edges_{name}.zarr",
        )
    between = {
        name: moments.between(x, layers[1][name], permutations=PERMUTATIONS, seed=SEED) for name, x in layers[0].items()
    }
    store.save(between, tmp_path / "between.zarr", "moments_between", of_pair)
    names = ("a", "b", "between", "activations_a", "activations_b", "edges_a", "edges_b", "output")
    return {name: tmp_path / f"{name}.zarr" for name in names}


def test_edges__are_of_each_layer(stores: dict[str, Path], layers: list[Layers]) -> None:
    found = store.read(stores["edges_a"], "edges")
    assert list(found.layers) == ["conv", "fc"]
    assert (found.attributes["snapshot"], found.attributes["checkpoint_digest"]) == ("net-a", "digest a")
    for name, edges in found.layers.items():
        xr.testing.assert_identical(edges.load(), joint_histograms.edges(layers[0][name], bins=5, samples=1000))


def test_run__measures_each_layer(stores: dict[str, Path], layers: list[Layers]) -> None:
    step.run(permutations=PERMUTATIONS, threads=1, **stores)
    found = store.read(stores["output"], "measure")
    assert list(found.layers) == ["conv", "fc"]
    assert found.attributes["snapshot_b"] == "net-b"
    assert found.attributes["parameters"] == '{"bins": 5, "permutations": 2, "samples": 1000}'
    for name, spatial, n in (("conv", "positions", 80), ("fc", "images", 20)):
        sides = [network[name] for network in layers]
        edges = [joint_histograms.edges(x, bins=5, samples=1000) for x in sides]
        options = {"permutations": PERMUTATIONS, "seed": SEED}
        histograms = joint_histograms.between(*sides, *edges, **options)
        pair = folds.joined(moments.within(sides[0]), moments.within(sides[1]), moments.between(*sides, **options))
        measured = found.layers[name]
        assert (measured.attrs["spatial"], measured.attrs["n"]) == (spatial, n)
        xr.testing.assert_allclose(measured.drop_attrs(), mutual_information(histograms, pair).drop_attrs())


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("kind", ["activations", "edges"])
def test_run__refuses_those_of_another_snapshot(stores: dict[str, Path], kind: str, side: str) -> None:
    other = {"a": "b", "b": "a"}[side]
    with pytest.raises(
        InputError, match=rf"between\.zarr compares snapshot net-{side}, but .*{kind}_{other}\.zarr holds net-{other}"
    ):
        step.run(permutations=1, threads=1, **stores | {f"{kind}_{side}": stores[f"{kind}_{other}"]})
    assert not stores["output"].exists()


def test_run__refuses_edges_cut_in_another_way(stores: dict[str, Path]) -> None:
    other = stores["edges_b"].with_name("other.zarr")
    settings = config.MutualInformation(bins=6, samples=1000)
    edges_step.run(activations=stores["activations_b"], settings=settings, threads=1, output=other)
    with pytest.raises(InputError, match=r"edges_a\.zarr was cut by .*'bins': 5.* by .*'bins': 6.*; cut both alike"):
        step.run(permutations=PERMUTATIONS, threads=1, **stores | {"edges_b": other})


def test_run__refuses_another_number_of_permutations(stores: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"between\.zarr: conv: .* different activations or permutations"):
        step.run(permutations=1, threads=1, **stores)
