"""The steps exemplars and patches: what is cut out is of the image, the place and the weights that were recorded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from convergent import config, data, declarations, networks, store
from convergent.errors import InputError
from convergent.steps import _trained, exemplars, inspect, patches, probe, record, train

RECIPE = declarations.build(
    config.Recipe,
    {
        "data": "digits",
        "architecture": {"name": "convnet", "arguments": {"channels": [3, 4], "hidden": [8]}},
        "training": {"epochs": 1, "batch_size": 256, "learning_rate": 0.05},
        "stages": ["final"],
    },
    "test",
)
LAYERS = ["conv1.relu", "conv2.relu", "fc1.relu"]
UNITS = {"conv1.relu": 3, "conv2.relu": 4, "fc1.relu": 8}
SUMMARY = xr.Dataset(
    {
        "summary": ("statistic", [0.0]),
        "summary_standard_error": ("statistic", [0.0]),
        "summary_null": (("null_kind", "statistic"), [[0.0]]),
    }
)


def measures(layer: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Unit i of A matches unit i of B, the first best; the minimal match is of unit 0 of A, and 1 and 2 of B."""
    labels = np.arange(UNITS[layer])
    units = {f"unit_{side}": labels for side in "ab"}
    matching = {"r_one_to_one_a": ("unit_a", 1 - labels / 10), "partner_one_to_one_a": ("unit_a", labels)}
    members = {
        "minimal_member_a": (("start", "unit_a"), labels[None] == 0),
        "minimal_member_b": (("start", "unit_b"), (labels[None] == 1) | (labels[None] == 2)),
    }
    return SUMMARY.assign(matching).assign_coords(units), SUMMARY.assign(members).assign_coords(units)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the steps before write, with positions sampled."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    root = tmp_path_factory.mktemp("made")
    common: dict[str, Any] = {"recipe": RECIPE, "data_root": None}
    inspect.run(network="net", layers="all", output=root / "net.json", **common)
    probe.run(
        data="digits", image_size=None, settings=config.Probe(100, 10, 0), data_root=None, output=root / "probe.zarr"
    )
    sides = {}
    for seed, side in enumerate("ab"):
        train.run(seed=seed, threads=1, output=root / f"net-s{seed}", **common)
        record.run(
            settings=config.Recording("float32", 50, "crc32c", "none", 30),
            inspected=root / "net.json",
            layers="all",
            training=root / f"net-s{seed}",
            stage="final",
            probe=root / "probe.zarr",
            threads=1,
            activations=root / f"activations_{side}.zarr",
            pooled=root / f"pooled_{side}.zarr",
            **common,
        )
        output = root / f"exemplars_{side}.zarr"
        exemplars.run(activations=root / f"activations_{side}.zarr", images=4, threads=1, output=output)
        attributes = store.read(output, "exemplars").attributes
        sides |= {f"{name}_{side}": attributes[name] for name in ("snapshot", "checkpoint_digest")}
        sides |= {name: attributes[name] for name in ("probe_fingerprint", "data")}
    for i, name in enumerate(("matching", "subspace_match")):
        store.save({layer: measures(layer)[i] for layer in LAYERS}, root / f"{name}.zarr", "measure", sides)
    yield root
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def run(made: Path, output: Path, **changes: Any) -> store.Store:
    arguments = {
        "settings": config.Patches(4, 1, 2),
        **{f"exemplars_{side}": made / f"exemplars_{side}.zarr" for side in "ab"},
        **{f"training_{side}": made / f"net-s{seed}" for seed, side in enumerate("ab")},
        **{name: made / f"{name}.zarr" for name in ("probe", "matching", "subspace_match")},
    }
    patches.run(recipe=RECIPE, threads=1, data_root=None, output=output, **(arguments | changes))
    return store.read(output, "patches")


def test_run__cuts_out_of_the_images_that_were_recorded(made: Path, tmp_path: Path) -> None:
    """The network answers to the image of a patch, at its place, with the activation that is told."""
    found = run(made, tmp_path / "pair.zarr")
    images = data.load("digits", "held_out")
    assert list(found.layers) == LAYERS
    for seed, side in enumerate("ab"):
        network = _trained.network(RECIPE, images, made / f"net-s{seed}", "final")
        extract = networks.extractor(network.module, LAYERS)
        for layer, dataset in found.layers.items():
            for unit, rank in np.ndindex(dataset.sizes[f"unit_{side}"], dataset.sizes["rank"]):
                one = dataset.isel({f"unit_{side}": unit, "rank": rank})
                if not one[f"image_id_{side}"].item():
                    continue
                image = images.ids.index(one[f"image_id_{side}"].item())
                assert images.labels[image] == one[f"label_{side}"].item()
                with torch.no_grad():
                    output = extract(images.normalised(torch.tensor([image])))[layer][0, one[f"unit_{side}"].item()]
                place = (one[f"y_{side}"].item(), one[f"x_{side}"].item()) if output.ndim else ()
                assert output[place].item() == pytest.approx(one[f"activation_{side}"].item(), rel=1e-4)
                inside = one[f"inside_{side}"].values
                y, x = np.argwhere(inside)[0]
                pixel = images.pixels[image, 0, one[f"top_{side}"].item() + y, one[f"left_{side}"].item() + x]
                assert pixel == one[f"patch_{side}"].values[y, x, 0]


def test_run__takes_the_units_that_are_shown(made: Path, tmp_path: Path) -> None:
    """The best match, the worst, and the members of the minimal match; or those of one measure."""
    both, of_matching = run(made, tmp_path / "a.zarr"), run(made, tmp_path / "b.zarr", subspace_match=None)
    for layer in LAYERS:
        last = UNITS[layer] - 1
        assert both.layers[layer]["unit_a"].values.tolist() == [0, last]
        assert both.layers[layer]["unit_b"].values.tolist() == sorted({0, 1, 2, last})
        assert of_matching.layers[layer]["unit_b"].values.tolist() == [0, last]
    assert both.attributes["units"] == 1
    assert both.attributes["snapshot_b"] == "net-s1-final"


def test_run__makes_no_preferred_images_in_no_steps(made: Path, tmp_path: Path) -> None:
    found = run(made, tmp_path / "a.zarr", settings=config.Patches(4, 1, 0))
    assert "preferred_a" not in found.layers["conv1.relu"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (lambda made: {"training_b": made / "net-s0"}, r"exemplars_b\.zarr: of final .*, but .*net-s0 holds"),
        (
            lambda made: {"exemplars_b": made / "exemplars_a.zarr"},
            r"matching\.zarr compares snapshot net-s1-final, but",
        ),
    ],
)
def test_run__refuses_what_does_not_belong_together(made: Path, tmp_path: Path, changes: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(made, tmp_path / "a.zarr", **changes(made))
    assert not (tmp_path / "a.zarr").exists()


def test_run__refuses_another_probe(made: Path, tmp_path: Path) -> None:
    probe.run(
        data="digits", image_size=None, settings=config.Probe(90, 10, 0), data_root=None, output=tmp_path / "p.zarr"
    )
    with pytest.raises(InputError, match=r"exemplars_a\.zarr: of another probe than .*p\.zarr"):
        run(made, tmp_path / "a.zarr", probe=tmp_path / "p.zarr")
