"""Recording: the stored activations are those of a plain forward pass, in shards written once."""

import copy
import errno
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from torch import nn

from convergent import (
    config,
    data,
    experiments,
    histograms,
    layout,
    moments,
    networks,
    rdms,
    recording,
    rounding,
    schema,
    shards,
    store,
)
from convergent.bins import edges
from convergent.errors import InputError
from convergent.joint_histograms import between as information
from convergent.plan import table
from convergent.samples import between as samples
from convergent.steps import plan

ROOT = Path(__file__).parents[1]
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


# What the step says of what it records.
ATTRIBUTES = {name: of_type(1) for name, of_type in schema.RECORDED.items()}


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Recorded]:
    """Record some images and open both stores."""

    def run(
        extractor: nn.Module,
        shown: torch.Tensor,
        batch: int = 16,
        dtype: str = "float32",
        codec: str = "crc32c",
        autocast: str = "none",
        positions: Any = "all",
        threads: int = 1,
        **attributes: Any,
    ) -> Recorded:
        paths = [tmp_path / "activations" / "a.zarr", tmp_path / "pooled" / "a.zarr"]
        shapes = {name: list(values.shape[1:]) for name, values in extractor(shown[:1]).items()}
        settings = config.Recording(dtype, batch, codec, autocast, positions)  # type: ignore[arg-type]
        given = ATTRIBUTES | attributes
        recording.record(extractor, shown.split(batch), shapes, probe(), settings, 0, *paths, given, threads)
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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("codec", ["crc32c", "lz4", "zstd"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_record__stores_the_activations_of_a_plain_forward_pass(
    record: Callable[..., Recorded], dtype: str, codec: str, layout: torch.memory_format
) -> None:
    shown = images(2, 8, 8)
    extractor = networks.extractor(network().to(memory_format=layout), LAYERS)
    recorded = record(extractor, shown, batch=IMAGES, dtype=dtype, codec=codec)
    for layer, expected in hooked(network().to(memory_format=layout), shown).items():
        found = values(recorded, "activations", layer)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected.astype(dtype))  # float16: rounded once, to nearest


@pytest.mark.parametrize("codec", ["crc32c", "lz4", "zstd"])
def test_record__packs_photographs_as_planned(
    record: Callable[..., Recorded], data_root: Path, tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a factor of two, in all layers after a ReLU together."""
    monkeypatch.chdir(ROOT)
    photographs = data.load("cifar10", "held_out", data_root)
    torch.manual_seed(0)
    architecture = experiments.load_recipe(ROOT / "config" / "networks" / "cifar_small.yaml").architecture
    made = networks.build(architecture.name, architecture.arguments, Path(str(architecture.file)), 10, 3)
    layers = networks.graph(copy.deepcopy(made), photographs.shape, 10)["relu"]
    shown = photographs.normalised(torch.arange(IMAGES))
    record(networks.extractor(made, layers), shown, dtype="float16", codec=codec)
    found = plan.ratio(tmp_path / "activations" / "a.zarr")
    expected = table.RATIOS[codec] or 1.0
    assert expected / 2 <= found <= expected * 2
    assert codec == "crc32c" or found > 1.05  # it packs at all


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
    shown = images(3, 4, 5) + 10
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
    for opened in record(Fixed(), images(3, 4, 5), snapshot="a-s0-final", stage="final").values():
        assert list(opened.layers) == ["map", "flat"]
        assert {"snapshot": "a-s0-final", "stage": "final"}.items() <= opened.attributes.items()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch", [1, 7, 12, 1000])
def test_record__gives_the_same_stores_for_any_batches_and_threads(
    record: Callable[..., Recorded], batch: int, threads: int
) -> None:
    shown = images(3, 4, 5)
    recorded = record(Fixed(), shown, batch, threads=threads)
    np.testing.assert_array_equal(values(recorded, "activations", "map"), shown.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(values(recorded, "activations", "flat"), shown.flatten(1))
    np.testing.assert_allclose(values(recorded, "pooled", "map"), shown.double().mean((2, 3)), rtol=1e-6, atol=1e-7)


# --- chunks and shards ---


@pytest.mark.parametrize("batch", [5, 16, 60])
@pytest.mark.parametrize("piece", [1, 700, 2**18])
def test_record__fills_chunks_and_shards_from_any_batches(
    record: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, batch: int, piece: int
) -> None:
    """Images of 3 × 4 × 5 × 4 = 240 bytes: chunks of 6 images, which divide a fold of 12, and shards of 30."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 7 * 240)
    monkeypatch.setattr(layout, "SHARD_BYTES", 35 * 240)
    monkeypatch.setattr(recording, "PIECE", piece)
    shown = images(3, 4, 5)
    recorded = record(Fixed(), shown, batch)
    np.testing.assert_array_equal(values(recorded, "activations", "map"), shown.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(values(recorded, "activations", "flat"), shown.flatten(1))
    array = zarr.open_array(tmp_path / "activations" / "a.zarr", path="map/activation", mode="r")
    assert (array.chunks, array.shards) == ((6, 4, 5, 3), (30, 4, 5, 3))
    files = [path.name for path in (tmp_path / "activations" / "a.zarr" / "map" / "activation").iterdir()]
    assert sorted(files) == ["c.0.0.0.0", "c.1.0.0.0", "zarr.json"]


@pytest.mark.parametrize("kind", ["activations", "pooled"])
def test_record__checksums_every_array(record: Callable[..., Recorded], tmp_path: Path, kind: str) -> None:
    """One flipped bit of any array is noticed on reading."""
    record(Fixed(), images(3, 4, 5))
    group = zarr.open_group(tmp_path / kind / "a.zarr", mode="r")
    files = [path for path in (tmp_path / kind).rglob("*") if path.is_file() and path.suffix != ".json"]
    assert len(files) == 2 * 5  # activation, image_id, label, fold and unit of two layers
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 1
        file.write_bytes(content)
        name = str(file.parent.relative_to(tmp_path / kind / "a.zarr"))
        with pytest.raises(ValueError, match="checksum do not match"):
            group[name][:]


def test_record__writes_while_the_network_runs(
    record: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunk is written when, and not before, the network is asked for the second batch."""
    asked, events = threading.Event(), []
    append = shards.Shards.append

    class Asking(Fixed):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            events.append("forward")
            if len(events) == 2 + 1:  # the first is for the shapes
                asked.set()
            return super().forward(images)

    def waits(self: shards.Shards, chunk: np.ndarray) -> None:
        assert asked.wait(60)
        append(self, chunk)

    monkeypatch.setattr(layout, "CHUNK_BYTES", 12 * 240)
    monkeypatch.setattr(shards.Shards, "append", waits)
    shown = images(3, 4, 5)
    recorded = record(Asking(), shown, 16)
    np.testing.assert_array_equal(values(recorded, "activations", "map"), shown.permute(0, 2, 3, 1))


@pytest.mark.parametrize("images_of_probe", [60, 120])
def test_record__holds_as_many_chunks_for_any_number_of_images(
    monkeypatch: pytest.MonkeyPatch, images_of_probe: int
) -> None:
    """No more than wait for the writer, and the one that it writes."""
    gate, held, most = threading.Semaphore(0), [0], [0]

    class Slow:
        def append(self, chunk: np.ndarray) -> None:
            gate.acquire()
            held[0] -= 1

    with recording._writer() as write:
        for _ in range(images_of_probe):
            held[0] += 1
            most[0] = max(most[0], held[0])
            if held[0] > recording.PENDING:
                gate.release()
            write(Slow(), np.zeros(1))  # type: ignore[arg-type]
        gate.release(images_of_probe)
    assert held[0] == 0
    assert most[0] <= recording.PENDING + 2


def test_writer__tells_of_a_failure_at_the_next_chunk() -> None:
    failed = threading.Event()

    class Broken:
        def append(self, chunk: np.ndarray) -> None:
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

    handed = []

    def write_twice() -> None:
        with recording._writer() as write:
            for number in range(2):
                write(Broken(), np.zeros(1))  # type: ignore[arg-type]
                handed.append(number)
                assert failed.wait(60)
                time.sleep(0.1)

    with pytest.raises(OSError, match="Input/output"):
        write_twice()
    assert handed == [0]


# --- a sample of positions ---


def test_record__stores_a_sample_of_positions_as_they_are_among_all(record: Callable[..., Recorded]) -> None:
    shown = images(3, 4, 5)
    whole = {kind: [layer.load() for layer in of.layers.values()] for kind, of in record(Fixed(), shown).items()}
    recorded = record(Fixed(), shown, positions=7)
    full, flat = (layer["activation"] for layer in whole["activations"])
    of_map = recorded["activations"].layers["map"]["activation"]
    assert of_map.dims == ("image", "position", "unit")
    np.testing.assert_array_equal(of_map, full.isel(y=of_map["y"], x=of_map["x"]))
    assert len(set(zip(of_map["y"].values, of_map["x"].values, strict=True))) == 7
    assert recorded["activations"].layers["flat"]["activation"].identical(flat)
    for found, expected in zip(recorded["pooled"].layers.values(), whole["pooled"], strict=True):
        assert found.identical(expected)  # of all positions


def test_sampled__is_of_the_seed_and_the_grid_alone() -> None:
    first = recording.sampled([3, 8, 9], 20, 0)
    again = recording.sampled([64, 8, 9], 20, 0)
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, recording.sampled([3, 8, 9], 20, 1))
    y, x = first
    assert y.max() < 8
    assert x.max() < 9
    assert np.all(np.diff(y * 9 + x) > 0)


@pytest.mark.parametrize(("shape", "positions"), [([3, 4, 5], "all"), ([3, 4, 5], 20), ([3, 4, 5], 21), ([60], 7)])
def test_sampled__leaves_all_where_there_are_no_more(shape: list[int], positions: Any) -> None:
    assert recording.sampled(shape, positions, 0) is None


def test_sampled__takes_every_position_alike() -> None:
    chosen = [recording.sampled([1, 4, 4], 4, seed) for seed in range(1000)]
    counts = np.zeros((4, 4))
    for y_x in chosen:
        counts[y_x] += 1  # type: ignore[index]
    assert np.abs(counts - 250).max() < 5 * np.sqrt(1000 * 0.25 * 0.75)


def test_record__sample_of_positions_goes_through_every_pass(record: Callable[..., Recorded], tmp_path: Path) -> None:
    """Each gives what it gives of the same values as plain rows of positions."""
    record(Fixed(), images(3, 4, 5), positions=7)
    opened = store.read(tmp_path / "activations" / "a.zarr", "activations", chunks={}).layers["map"]["activation"]
    plain = opened.drop_vars(["y", "x"]).rename(position="y").expand_dims("x", 2).chunk(x=-1)
    assert moments.spatial(opened) == "positions"
    for of in (
        lambda layer: moments.within(layer),
        lambda layer: moments.between(layer, layer),
        lambda layer: histograms.of_units(layer),
        lambda layer: edges(layer, bins=4),
        lambda layer: information(layer, layer, edges(layer, bins=4), edges(layer, bins=4)),
        lambda layer: xr.concat(samples(layer, layer, positions=50, draws=2, seed=0), "draw"),
        lambda layer: rdms.of(layer, 20),
    ):
        found, expected = of(opened), of(plain)
        xr.testing.assert_allclose(found, expected)


# --- mixed precision ---


def test_record__autocast_runs_in_bfloat16(record: Callable[..., Recorded]) -> None:
    shown = images(2, 8, 8)
    exact = hooked(network(), shown)
    mixed = record(networks.extractor(network(), LAYERS), shown, batch=IMAGES, autocast="bfloat16")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = networks.extractor(network(), LAYERS)(shown)
    for layer in LAYERS:
        found = values(mixed, "activations", layer)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[layer].float().movedim(1, -1))
        assert not np.array_equal(found, exact[layer])
        np.testing.assert_allclose(found, exact[layer], atol=0.1)


def test_record__refuses_float16_autocast_without_a_gpu(record: Callable[..., Recorded]) -> None:
    with pytest.raises(InputError, match=r"\Arecording\.autocast: float16 is for a GPU .+; set bfloat16 or none\Z"):
        record(Fixed(), images(3, 4, 5), autocast="float16")


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
@pytest.mark.parametrize(("batch", "piece"), [(16, 1), (60, 700), (60, 2**18)])
def test_record__names_where_a_number_cannot_be_stored(
    record: Callable[..., Recorded],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    value: float,
    dtype: str,
    expected: str,
    batch: int,
    piece: int,
) -> None:
    monkeypatch.setattr(recording, "PIECE", piece)
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


# --- what float16 takes ---


def spread(*scales: float, offsets: Sequence[float] = (0.0,)) -> torch.Tensor:
    """Images of as many units as scales, each normal of that spread around an offset."""
    return images(len(scales), 4, 5) * torch.tensor(scales)[:, None, None] + torch.tensor(offsets)[:, None, None]


@pytest.mark.parametrize(
    ("shown", "unit"),
    [
        (spread(1, 1e-8), None),  # beside the other unit it is nothing, in float32 either
        (spread(1e-8, 1e-8), 0),  # becomes zero
        (spread(1e-5, 1e-4, 3e-7), 2),  # becomes a few subnormals
        (spread(1e-5, 1e-4), None),  # subnormal, but finer than its spread
        (spread(1, 0, offsets=(0, 1000.3)), None),  # a constant is rounded and stays one
        (spread(1, 1, offsets=(0, 1000.3)), 1),  # a spread of a few roundings
        (spread(100, 30, offsets=(1000.3, 1000.3)), None),
    ],
)
def test_record__refuses_float16_where_it_takes_variance(
    record: Callable[..., Recorded], shown: torch.Tensor, unit: int | None
) -> None:
    """The share by hand, and r of the stored with the true values, which the refused would spoil."""
    exact = shown.double().movedim(1, -1).flatten(0, -2).numpy()
    stored = exact.astype(np.float16).astype(np.float64)
    if unit is None:
        record(Fixed(), shown.clone(), dtype="float16")
        return
    share = (stored - exact).var(axis=0) / exact.var(axis=0)
    assert share[unit] > rounding.LARGEST_SHARE
    with pytest.raises(
        InputError, match=r"\Alayer map, unit \d: rounding .+ of its variance; set recording\.dtype: float32\Z"
    ):
        record(Fixed(), shown.clone(), dtype="float16")
    record(Fixed(), shown.clone(), dtype="float32")


def test_record__looks_at_many_images_of_many_positions(record: Callable[..., Recorded]) -> None:
    """One image has more positions than samples are asked for, and tells nothing of a unit that is constant on it."""
    shown = images(1, 64, 65) * 0.01 + 100
    shown[0] = 100
    with pytest.raises(InputError, match=r"\Alayer map, unit 0: rounding .+ of its variance"):
        record(Fixed(), shown, dtype="float16")


@pytest.mark.parametrize(("images_", "positions"), [(60, 1), (10_000, 1), (500, 64), (60, 4160), (10_000, 12_544)])
def test_strides__take_about_the_samples_that_are_asked_for(images_: int, positions: int) -> None:
    of_images, of_positions = recording._strides(images_, positions)
    looked_at = len(range(0, images_, of_images))
    assert looked_at >= min(images_, recording.LOOKED_AT)
    samples = looked_at * len(range(0, positions, of_positions))
    assert min(images_ * positions, recording.SAMPLES) / 2 <= samples <= 2 * max(recording.SAMPLES, looked_at)


def test_record__takes_a_few_subnormal_values_of_a_small_layer(record: Callable[..., Recorded]) -> None:
    shown = images(3, 4, 5).relu()
    shown[:10, 0] = 1e-6
    record(Fixed(), shown, dtype="float16")


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
    settings = config.Recording("float32", 16, "crc32c", "none", "all")
    with pytest.raises(AssertionError, match="50 images recorded, not 60"):
        recording.record(Fixed(), images(3, 4, 5)[:50].split(16), shapes, probe(), settings, 0, *paths, {})
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("after", [0, 3, 9])
def test_record__stops_at_once_where_writing_fails(
    record: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: int
) -> None:
    """A full disk: one line that names the store, few batches later, and nothing that looks complete."""
    append, batches = shards.Shards.append, [0]

    class Counting(Fixed):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            batches[0] += 1
            return super().forward(images)

    def full(self: shards.Shards, chunk: np.ndarray) -> None:
        if self.written >= after and "activations" in str(self.folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, chunk)

    monkeypatch.setattr(layout, "CHUNK_BYTES", 2 * 240)
    monkeypatch.setattr(shards.Shards, "append", full)
    with pytest.raises(InputError, match=r"\A.*activations/a\.zarr: cannot be written, No space left on device; .+\Z"):
        record(Counting(), images(3, 4, 5), 2)
    assert not [*tmp_path.glob("*/a.zarr")]
    assert batches[0] <= 1 + after + recording.PENDING + 4
