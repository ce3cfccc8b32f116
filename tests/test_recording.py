"""Recording: the stored activations are those of a plain forward pass, in shards written once."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from torch import nn
from zarr.storage import LocalStore

from convergent import networks, recording, store
from convergent.errors import InputError

IMAGES, FOLDS = 60, 5
LAYERS = ["conv1.relu", "conv2.linear", "fc1.relu"]
Recorded = dict[str, store.Store]


class Fixed(nn.Module):
    """Activations that are the images themselves, for a look at single numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"map": images, "flat": images.flatten(1)}


def images(*shape: int) -> torch.Tensor:
    return torch.randn((IMAGES, *shape), generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return networks.convnet(10, 2, [3, 4], [5])


def probe() -> xr.Dataset:
    ids = np.array([f"test/{i * 7 % IMAGES:02d}" for i in range(IMAGES)], dtype=np.dtypes.StringDType())
    folds = np.arange(IMAGES) // (IMAGES // FOLDS)
    return xr.Dataset({name: ("image", v) for name, v in {"image_id": ids, "label": folds % 3, "fold": folds}.items()})


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Recorded]:
    """Record some images and open both stores."""

    def run(
        extractor: nn.Module, shown: torch.Tensor, batch: int = 16, dtype: str = "float32", **attributes: Any
    ) -> Recorded:
        paths = [tmp_path / "activations" / "a.zarr", tmp_path / "pooled" / "a.zarr"]
        shapes = {name: list(values.shape[1:]) for name, values in extractor(shown[:1]).items()}
        recording.record(extractor, shown.split(batch), shapes, probe(), dtype, *paths, attributes)
        return {path.parent.name: store.read(path, path.parent.name) for path in paths}

    return run


def hooked(module: nn.Module, shown: torch.Tensor) -> dict[str, np.ndarray]:
    """Outputs of modules by hooks in one plain forward pass, units last."""
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _input, output: outputs.update({name: np.moveaxis(output.numpy(), 1, -1).copy()})

    for name in LAYERS:
        module.get_submodule(name).register_forward_hook(keep(name))
    with torch.no_grad():
        module.eval()(shown)
    return outputs


def values(recorded: Recorded, kind: str, layer: str) -> np.ndarray:
    return recorded[kind].layers[layer]["activation"].values


# --- what is stored ---


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_record__stores_the_activations_of_a_plain_forward_pass(record: Callable[..., Recorded], dtype: str) -> None:
    shown = images(2, 8, 8)
    recorded = record(networks.extractor(network(), LAYERS), shown, batch=IMAGES, dtype=dtype)
    for layer, expected in hooked(network(), shown).items():
        found = values(recorded, "activations", layer)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected.astype(dtype))  # float16: rounded once, to nearest


def test_record__stores_images_by_rows_and_units_last(record: Callable[..., Recorded]) -> None:
    shown = images(3, 4, 5)
    recorded = record(Fixed(), shown)
    of_map = recorded["activations"].layers["map"]["activation"]
    assert of_map.dims == ("image", "y", "x", "unit")
    assert of_map.sel(unit=2, image=11, y=3, x=1).item() == shown[11, 2, 3, 1].item()
    np.testing.assert_array_equal(of_map.values, shown.permute(0, 2, 3, 1))
    assert recorded["activations"].layers["flat"]["activation"].dims == ("image", "unit")


def test_record__pools_to_spatial_means(record: Callable[..., Recorded]) -> None:
    """In float32 from the values before rounding, whatever the type of the activations."""
    shown = images(3, 4, 5) + 1000
    recorded = record(Fixed(), shown, dtype="float16")
    exact = shown.double().mean((2, 3)).numpy()
    np.testing.assert_array_equal(values(recorded, "pooled", "map"), exact.astype(np.float32))
    np.testing.assert_array_equal(values(recorded, "pooled", "flat"), shown.flatten(1))
    assert {layer["activation"].dtype for layer in recorded["pooled"].layers.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("kind", ["activations", "pooled"])
def test_record__labels_images_and_units(record: Callable[..., Recorded], kind: str) -> None:
    for dataset in record(Fixed(), images(3, 4, 5))[kind].layers.values():
        assert {*dataset.coords} == {"image_id", "label", "fold", "unit"}
        for name in ("image_id", "label", "fold"):
            np.testing.assert_array_equal(dataset[name], probe()[name])
            assert dataset[name].dims == ("image",)
        np.testing.assert_array_equal(dataset["unit"], np.arange(dataset.sizes["unit"]))


def test_record__keeps_layers_in_order_and_the_attributes(record: Callable[..., Recorded]) -> None:
    for opened in record(Fixed(), images(3, 4, 5), snapshot="a-s0-final", seed=3).values():
        assert list(opened.layers) == ["map", "flat"]
        assert {"snapshot": "a-s0-final", "seed": 3}.items() <= opened.attributes.items()


@pytest.mark.parametrize("batch", [1, 7, 12, 1000])
def test_record__gives_the_same_stores_for_any_batch_size(record: Callable[..., Recorded], batch: int) -> None:
    shown = images(3, 4, 5)
    recorded = record(Fixed(), shown, batch)
    np.testing.assert_array_equal(values(recorded, "activations", "map"), shown.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(values(recorded, "activations", "flat"), shown.flatten(1))
    np.testing.assert_allclose(values(recorded, "pooled", "map"), shown.double().mean((2, 3)), rtol=1e-6, atol=1e-7)


# --- chunks and shards ---


@pytest.mark.parametrize("batch", [5, 16, 60])
def test_record__writes_each_shard_once(
    record: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Images of 3 × 4 × 5 × 4 = 240 bytes: chunks of 6 images, which divide a fold of 12, and shards of 30."""
    monkeypatch.setattr(recording, "CHUNK_BYTES", 7 * 240)
    monkeypatch.setattr(recording, "SHARD_BYTES", 35 * 240)
    writes: Counter[str] = Counter()
    original = LocalStore.set

    async def counted(self: LocalStore, key: str, value: Any) -> None:
        writes[f"{self.root}/{key}"] += 1
        await original(self, key, value)

    monkeypatch.setattr(LocalStore, "set", counted)
    shown = images(3, 4, 5)
    recorded = record(Fixed(), shown, batch)
    np.testing.assert_array_equal(values(recorded, "activations", "map"), shown.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(values(recorded, "activations", "flat"), shown.flatten(1))
    shards = {key: count for key, count in writes.items() if "activation/c/" in key}
    assert len([key for key in shards if "/map/" in key]) == 2 + 1  # of the activations, and of their means
    assert set(shards.values()) == {1}


@pytest.mark.parametrize(
    ("chunk_bytes", "shard_bytes", "chunk", "shard"),
    [(7, 35, 6, 30), (12, 12, 12, 12), (11, 59, 6, 30), (100, 1000, 12, 60), (0, 0, 2, 2), (5, 9, 4, 4)],
)
def test_record__lets_no_chunk_cross_a_fold(
    record: Callable[..., Recorded],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    chunk_bytes: int,
    shard_bytes: int,
    chunk: int,
    shard: int,
) -> None:
    monkeypatch.setattr(recording, "CHUNK_BYTES", chunk_bytes * 240)
    monkeypatch.setattr(recording, "SHARD_BYTES", shard_bytes * 240)
    record(Fixed(), images(3, 4, 5))
    array = zarr.open_array(tmp_path / "activations" / "a.zarr", path="map/activation", mode="r")
    assert (array.chunks, array.shards) == ((chunk, 4, 5, 3), (shard, 4, 5, 3))
    assert (IMAGES // FOLDS) % chunk == 0


@pytest.mark.parametrize("kind", ["activations", "pooled"])
def test_record__checksums_every_array(record: Callable[..., Recorded], tmp_path: Path, kind: str) -> None:
    """One flipped bit of any array is noticed on reading."""
    record(Fixed(), images(3, 4, 5))
    group = zarr.open_group(tmp_path / kind / "a.zarr", mode="r")
    files = [path for path in (tmp_path / kind).rglob("c/**/*") if path.is_file()]
    assert len(files) == 2 * 5  # activation, image_id, label, fold and unit of two layers
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 1
        file.write_bytes(content)
        name = str(file.relative_to(tmp_path / kind / "a.zarr")).split("/c/")[0]
        with pytest.raises(ValueError, match="checksum do not match"):
            group[name][:]


@pytest.mark.parametrize("number", [1, 12, 13, 60])
@pytest.mark.parametrize("limit", [0, 1, 5, 12, 100])
def test_largest_divisor__is_the_largest_that_fits(number: int, limit: int) -> None:
    found = recording.largest_divisor(number, limit)
    assert number % found == 0
    assert found <= max(limit, 1)
    assert all(number % larger for larger in range(found + 1, min(limit, number) + 1))


# --- what is refused ---


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (float("nan"), "float32", r"activation nan is no float32"),
        (float("nan"), "float16", r"activation nan is no float16"),
        (float("inf"), "float32", r"activation inf is no float32"),
        (float("-inf"), "float16", r"activation -inf is no float16"),
        (1e5, "float16", r"activation 100000\.0 is no float16; set recording\.dtype: float32"),
        (-1e5, "float16", r"activation -100000\.0 is no float16; set recording\.dtype: float32"),
    ],
)
@pytest.mark.parametrize("batch", [16, 60])
def test_record__names_where_a_number_cannot_be_stored(
    record: Callable[..., Recorded], tmp_path: Path, value: float, dtype: str, expected: str, batch: int
) -> None:
    shown = images(3, 4, 5)
    shown[41, 2, 1, 3] = value
    name = probe()["image_id"].values[41]
    with pytest.raises(InputError, match=rf"\Alayer map, unit 2, image {name}: {expected}\Z"):
        record(Fixed(), shown, batch, dtype)
    assert not [*tmp_path.glob("*/a.zarr")]


@pytest.mark.parametrize(("value", "dtype"), [(1e5, "float32"), (-65504.0, "float16"), (65504.0, "float16")])
def test_record__stores_large_numbers_that_fit(record: Callable[..., Recorded], value: float, dtype: str) -> None:
    shown = images(3, 4, 5)
    shown[41, 2, 1, 3] = value
    assert values(record(Fixed(), shown, dtype=dtype), "activations", "map")[41, 1, 3, 2] == value


@pytest.mark.parametrize(("small", "refused"), [(0, False), (3, False), (4, True), (3600, True)])
@pytest.mark.parametrize("number", [1e-9, -3e-5])  # becomes zero, becomes subnormal
def test_record__refuses_float16_where_small_numbers_are_lost(
    record: Callable[..., Recorded], tmp_path: Path, small: int, refused: bool, number: float
) -> None:
    """One in a thousand of 3600 non-zero numbers are 3; true zeros do not count."""
    shown = images(3, 4, 10)
    shown[:, :, :, 5:] = 0
    kept = shown[:, :, :, :5].flatten()
    kept[kept.abs() < 0.01] = 1
    kept[torch.linspace(0, 3599, small).long()] = number
    shown[:, :, :, :5] = kept.view(IMAGES, 3, 4, 5)
    if not refused:
        record(Fixed(), shown, dtype="float16")
        return
    share = f"{small / 3600:.2%}"
    with pytest.raises(InputError, match=rf"\Alayer map: {share} of the non-zero .+; set recording\.dtype: float32\Z"):
        record(Fixed(), shown, dtype="float16")
    assert not [*tmp_path.glob("*/a.zarr")]
    found = values(record(Fixed(), shown, dtype="float32"), "activations", "map")
    np.testing.assert_array_equal(found, shown.permute(0, 2, 3, 1))


def test_record__leaves_an_earlier_store_where_a_later_one_fails(
    record: Callable[..., Recorded], tmp_path: Path
) -> None:
    record(Fixed(), images(3, 4, 5))
    with pytest.raises(InputError):
        record(Fixed(), images(3, 4, 5) * float("nan"))
    kept = store.read(tmp_path / "activations" / "a.zarr", "activations").layers["map"]["activation"]
    np.testing.assert_array_equal(kept, images(3, 4, 5).permute(0, 2, 3, 1))


def test_record__needs_every_image_of_the_probe(tmp_path: Path) -> None:
    paths = [tmp_path / "activations.zarr", tmp_path / "pooled.zarr"]
    shapes = {"map": [3, 4, 5], "flat": [60]}
    with pytest.raises(AssertionError, match="images written"):
        recording.record(Fixed(), images(3, 4, 5)[:50].split(16), shapes, probe(), "float32", *paths, {})
    assert not any(path.exists() for path in paths)
