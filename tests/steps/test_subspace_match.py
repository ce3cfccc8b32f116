"""The steps subspace_match and subspace_match_sampled: the layers of the stores of one pair, and no other's."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convergent import config, folds, moments, samples, store
from convergent.errors import InputError
from convergent.measures.subspace_match import subspace_match
from convergent.measures.subspace_match_sampled import subspace_match_sampled
from convergent.steps import subspace_match as step
from convergent.steps import subspace_match_sampled as sampled_step

SETTINGS = config.SubspaceMatch(True, "exclude", 1e-5, (0.2, 0.9), 0.9, 3, 2, 5)
SAMPLED = config.SubspaceMatchSampled(15, 3, "exclude", 1e-3, (0.4, 0.6), 1)


@pytest.fixture
def inputs(stores: dict[str, Path]) -> dict[str, Path]:
    """The stores that the step subspace_match reads, and the one that it writes."""
    return {name: stores[name] for name in ("a", "b", "between", "output")}


def run_sampled(stores: dict[str, Path], a: str = "activations_a", b: str = "activations_b") -> None:
    folder = stores["output"].parent
    sampled_step.run(
        a=folder / f"{a}.zarr", b=folder / f"{b}.zarr", settings=SAMPLED, threads=1, output=stores["output"]
    )


def check_root(attributes: dict[str, object], settings: object) -> None:
    assert (attributes["snapshot_a"], attributes["snapshot_b"]) == ("net-a", "net-b")
    assert (attributes["checkpoint_digest_b"], attributes["probe_fingerprint"]) == ("digest b", "f")
    assert all(f'"{name}":' in str(attributes["parameters"]) for name in asdict(settings))  # type: ignore[call-overload]


def test_run__measures_each_layer_as_set(inputs: dict[str, Path], layers: list[dict[str, xr.DataArray]]) -> None:
    step.run(settings=SETTINGS, **inputs)
    found = store.read(inputs["output"], "measure")
    check_root(found.attributes, SETTINGS)
    for name, (a, b) in {name: [network[name] for network in layers] for name in ("conv", "fc")}.items():
        joined = folds.joined(moments.within(a), moments.within(b), moments.between(a, b))
        expected = subspace_match(joined, **asdict(SETTINGS))
        measured = found.layers[name].load()
        for variable in ("critical_epsilon_a", "critical_epsilon_b", "similarity", "curve", "curve_permuted"):
            np.testing.assert_allclose(measured[variable], expected[variable], rtol=1e-9)
        assert measured["minimal_size"].shape == (3, 2)
        assert measured["minimal_member_a"].dtype == bool
        assert measured.attrs["n"] == (80 if name == "conv" else 20)


def test_run__stores_a_layer_without_a_match(inputs: dict[str, Path]) -> None:
    nothing = config.SubspaceMatch(True, "exclude", 1e-5, (0.2,), 0.01, 3, 2, 5)
    step.run(settings=nothing, **inputs)
    assert store.read(inputs["output"], "measure").layers["conv"].sizes["start"] == 0


def test_run_sampled__measures_each_layer_as_set(
    stores: dict[str, Path], layers: list[dict[str, xr.DataArray]]
) -> None:
    run_sampled(stores)
    found = store.read(stores["output"], "measure")
    check_root(found.attributes, SAMPLED)
    for name, spatial in (("conv", "positions"), ("fc", "images")):
        drawn = samples.between(layers[0][name], layers[1][name], positions=15, draws=3, seed=1)
        expected = subspace_match_sampled(drawn, epsilons=(0.4, 0.6), ridge=1e-3, dead="exclude")
        measured = found.layers[name].load()
        for variable in ("similarity", "curve", "curve_standard_deviation", "summary"):
            np.testing.assert_allclose(measured[variable], expected[variable], rtol=1e-9, atol=1e-12)
        assert (measured.attrs["spatial"], measured.attrs["n"]) == (spatial, 15)


@pytest.mark.parametrize(("change", "message"), [("probe", "different probes"), ("layer", "hold different layers")])
def test_run_sampled__refuses_stores_that_do_not_belong_together(
    stores: dict[str, Path], layers: list[dict[str, xr.DataArray]], change: str, message: str
) -> None:
    recorded = store.read(stores["output"].parent / "activations_b.zarr", "activations").attributes
    kept = ["conv"] if change == "layer" else ["conv", "fc"]
    probe = "g" if change == "probe" else "f"
    attributes = recorded | {"probe_fingerprint": probe, "snapshot": "net-c", "layers": kept}
    other = {name: layers[1][name].compute().to_dataset(name="activation") for name in kept}
    store.save(other, stores["output"].parent / "activations_c.zarr", "activations", attributes)
    with pytest.raises(InputError, match=message):
        run_sampled(stores, b="activations_c")
