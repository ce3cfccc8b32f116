"""Stores that are not what they should be, and bytes that are not what was written: one line, or the right result."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import recorded
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent import store
from convergent.__main__ import main

IMAGES = 4 * recorded.FOLD
OPTIONS = ["--settings", '{"precision": "float64", "permutations": 1}']


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores of activations, and the moments between them."""
    folder, generator = tmp_path_factory.mktemp("pair"), np.random.default_rng(0)
    for side in "ab":
        values = generator.standard_normal((IMAGES, 2, 2, 3)).astype(np.float16)
        recorded.write(folder / f"{side}.zarr", {"conv": values, "fc": values[:, 0, 0]})
    assert between(folder, folder / "expected.zarr") is None
    return folder


def between(folder: Path, output: Path) -> str | None:
    """What the step says that reads both; None where it writes its result."""
    try:
        main(["between", f"--a={folder / 'a.zarr'}", f"--b={folder / 'b.zarr'}", *OPTIONS, f"--output={output}"])
    except SystemExit as stopped:
        return str(stopped.code)
    return None


def check(pair: Path, folder: Path, told: str | None) -> None:
    """One line that names the store; or the right result."""
    if told is None:
        for layer in ("conv", "fc"):
            found, expected = (
                store.read(path, "moments_between").layers[layer].load()
                for path in (folder / "m.zarr", pair / "expected.zarr")
            )
            xr.testing.assert_equal(found, expected)
    else:
        assert told.startswith("convergent between: ")
        assert ".zarr" in told
        assert "\n" not in told
        assert not [*folder.glob("m.zarr*")]


def copied(pair: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for side in "ab":
        shutil.copytree(pair / f"{side}.zarr", folder / f"{side}.zarr")
    return folder


@settings(max_examples=50)
@given(
    number=st.integers(0, 10**6),
    place=st.floats(0, 1),
    damage=st.sampled_from(["flip", "zero", "cut", "add", "swap", "remove"]),
    bit=st.integers(0, 7),
)
def test_between__of_damaged_bytes(
    pair: Path, tmp_path: Path, number: int, place: float, damage: str, bit: int
) -> None:
    folder = copied(pair, tmp_path / "copy")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = files[number % len(files)]
    content = bytearray(file.read_bytes())
    at = min(int(place * len(content)), len(content) - 1)
    if damage == "flip":
        content[at] ^= 1 << bit
    elif damage == "zero":
        content[at:] = bytes(len(content) - at)
    elif damage == "cut":
        del content[at:]
    elif damage == "add":
        content += b"\0" * (at + 1)
    elif damage == "swap":
        content = bytearray(files[(number // 7) % len(files)].read_bytes())
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(content)
    check(pair, folder, between(folder, folder / "m.zarr"))


Change = Callable[[dict[str, xr.Dataset]], None]


def renamed(layers: dict[str, xr.Dataset]) -> None:
    layers["conv"] = layers["conv"].rename(unit="channel")


def transposed(layers: dict[str, xr.Dataset]) -> None:
    layers["conv"] = layers["conv"].transpose("unit", ...)


def integers(layers: dict[str, xr.Dataset]) -> None:
    layers["fc"] = layers["fc"].astype(np.int64)


def without_a_layer(layers: dict[str, xr.Dataset]) -> None:
    del layers["fc"]


def without_activations(layers: dict[str, xr.Dataset]) -> None:
    layers["fc"] = layers["fc"].drop_vars("activation")


def without_folds(layers: dict[str, xr.Dataset]) -> None:
    layers["fc"] = layers["fc"].drop_vars("fold")


def fewer_images(layers: dict[str, xr.Dataset]) -> None:
    layers["fc"] = layers["fc"].isel(image=slice(0, -1))


def shuffled_images(layers: dict[str, xr.Dataset]) -> None:
    order = np.random.default_rng(0).permutation(IMAGES)
    for name, dataset in layers.items():
        layers[name] = dataset.isel(image=order)


def other_folds(layers: dict[str, xr.Dataset]) -> None:
    layers["conv"] = layers["conv"].assign_coords(fold=("image", np.arange(IMAGES) % 4))


def other_layer(layers: dict[str, xr.Dataset]) -> None:
    layers["other"] = layers.pop("fc")


CHANGES: dict[Change, str] = {
    renamed: "conv",
    transposed: "conv",
    integers: "fc",
    without_a_layer: "fc",
    without_activations: "activation",
    without_folds: "fold",
    fewer_images: "images; record both on the same probe",
    shuffled_images: "the two sides differ at image 0",
    other_folds: "fold",
    other_layer: "fc",
}


def rewritten(pair: Path, folder: Path, side: str, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of which one is by somebody's own script: complete and sealed, in the chunks of a recording."""
    copied(pair, folder)
    opened = store.read(pair / f"{side}.zarr", "activations")
    layers = {name: dataset.load() for name, dataset in opened.layers.items()}
    for dataset in layers.values():
        for variable in dataset.variables.values():
            variable.encoding = {}
    change(layers)
    monkeypatch.setattr(store, "BLOCK", recorded.FOLD // 2)
    with store.replacing(folder / f"{side}.zarr") as part:
        store.write_tree(layers, part, opened.attributes)


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_between__of_a_store_that_is_another(
    pair: Path, tmp_path: Path, change: Change, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what a recording leaves."""
    rewritten(pair, tmp_path / "copy", side, change, monkeypatch)
    told = between(tmp_path / "copy", tmp_path / "copy" / "m.zarr")
    assert told is not None
    assert CHANGES[change] in told
    check(pair, tmp_path / "copy", told)


def test_between__of_a_store_that_somebody_copied(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten(pair, tmp_path / "copy", "a", lambda layers: None, monkeypatch)
    told = between(tmp_path / "copy", tmp_path / "copy" / "m.zarr")
    assert told is None
    check(pair, tmp_path / "copy", told)


def test_between__of_another_probe(pair: Path, tmp_path: Path) -> None:
    folder = copied(pair, tmp_path / "copy")
    with store.replacing(tmp_path / "new.zarr") as part:
        shutil.copytree(folder / "b.zarr", part, ignore=shutil.ignore_patterns(store.CHECKSUMS))
        zarr.open_group(part, mode="r+", use_consolidated=False).attrs["probe_fingerprint"] = "another"
        store.consolidate(part)
    shutil.rmtree(folder / "b.zarr")
    (tmp_path / "new.zarr").rename(folder / "b.zarr")
    told = between(folder, folder / "m.zarr")
    assert told is not None
    assert "probe" in told
    check(pair, folder, told)
