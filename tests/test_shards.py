"""Shards: written chunk by chunk, they are the files that zarr writes."""

import math
from pathlib import Path

import numpy as np
import pytest
import zarr

from convergent import layout, schema, shards
from convergent.errors import InputError

SHAPE = (24, 3, 2, 5)


def values(dtype: str) -> np.ndarray:
    """As after a ReLU."""
    drawn = np.random.default_rng(0).standard_normal(SHAPE)
    return np.maximum(drawn, 0).astype(dtype)


def written(folder: Path, codec: str, dtype: str) -> zarr.Array:
    """Chunks of 4 images, shards of 12."""
    group = zarr.create_group(folder / "x.zarr")
    made = shards.create(group, "a/b", SHAPE, dtype, 3, codec, dimension_names=("image", "y", "x", "unit"))
    for chunk in np.split(values(dtype), 6):
        made.append(chunk)
    return made.array


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "sizes" not in request.node.name:
        monkeypatch.setattr(layout, "sizes", lambda *_: (4, 12))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("codec", shards.CODECS)
def test_append__writes_the_files_of_zarr(tmp_path: Path, codec: str, dtype: str) -> None:
    array = written(tmp_path, codec, dtype)
    assert (array.chunks, array.shards) == ((4, *SHAPE[1:]), (12, *SHAPE[1:]))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "x.zarr", path="a/b", mode="r")[:], values(dtype))
    same = zarr.create_array(
        tmp_path / "y.zarr",
        shape=SHAPE,
        dtype=dtype,
        chunks=array.chunks,
        shards=array.shards,
        compressors=array.compressors,
        chunk_key_encoding=schema.CHUNK_KEYS,
        config={"write_empty_chunks": True},
    )
    same[:] = values(dtype)
    files = sorted(path.relative_to(tmp_path / "y.zarr") for path in (tmp_path / "y.zarr").rglob("c.*.*.*.*"))
    assert len(files) == 2
    for file in files:
        assert (tmp_path / "x.zarr" / "a" / "b" / file).read_bytes() == (tmp_path / "y.zarr" / file).read_bytes()


@pytest.mark.parametrize("ahead", [0, 1, 2, 3])  # 3: a whole shard
@pytest.mark.parametrize("begins", ["anew", "in the same files"])
def test_append__notices_another_writer(tmp_path: Path, ahead: int, begins: str) -> None:
    """As on another node, where locks of files do not reach: one of both stops before a shard is wrong."""

    def made() -> shards.Shards:
        return shards.create(zarr.create_group(tmp_path / "x", overwrite=True), "a", SHAPE, "float16", 3, "crc32c")

    chunks = np.split(values("float16"), 6)
    first = made()
    for chunk in chunks[:ahead]:
        first.append(chunk)
    second = made() if begins == "anew" else shards.Shards(first.array, first.folder, first.encode)

    def go_on() -> None:
        for i, chunk in enumerate(chunks):
            second.append(chunk)
            if ahead + i < len(chunks):
                first.append(chunks[ahead + i])

    with pytest.raises(InputError, match=r"/x/a/c\.\d\.0\.0\.0: another process writes this store; wait for its end"):
        go_on()


@pytest.mark.parametrize("codec", shards.CODECS)
def test_append__ends_every_chunk_with_its_checksum(tmp_path: Path, codec: str) -> None:
    """A flipped bit of any byte of a shard is noticed."""
    array = written(tmp_path, codec, "float16")
    file = tmp_path / "x.zarr" / "a" / "b" / "c.1.0.0.0"
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum do not match"):
            array[12:]
    np.testing.assert_array_equal(array[:12], values("float16")[:12])


# Units, y and x of layers of ResNet-18, ResNet-50 and VGG, and the images of a probe in 10 folds.
LAYERS = [(64, 112, 112), (256, 56, 56), (64, 32, 32), (64, 16, 16), (512, 7, 7), (128, 8, 8)]


@pytest.mark.parametrize("images", [10_000, 50_000, 60_000, 1_280_000])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_sizes__of_usual_layers_are_4_to_8_and_32_to_64_megabytes(layer: tuple[int, ...], images: int) -> None:
    image = 2 * math.prod(layer)
    chunk, shard = layout.sizes(images, images // 10, image)
    assert 4e6 <= chunk * image <= 8 * 2**20
    assert 32e6 <= shard * image <= 64 * 2**20


@pytest.mark.parametrize("fold_size", [2, 7, 12, 90, 97, 1000])
@pytest.mark.parametrize("folds", [2, 7, 10])
@pytest.mark.parametrize("image", [1, 10**4, 10**6, 10**8])
def test_sizes__divide_folds_and_images(fold_size: int, folds: int, image: int) -> None:
    chunk, shard = layout.sizes(fold_size * folds, fold_size, image)
    assert fold_size % chunk == shard % chunk == fold_size * folds % shard == 0
    assert chunk >= 2
    least = min(d for d in range(2, fold_size + 1) if fold_size % d == 0)
    assert chunk * image <= max(layout.CHUNK_BYTES, least * image)
    assert shard * image <= max(layout.SHARD_BYTES, chunk * image)


@pytest.mark.parametrize(
    ("chunk_bytes", "shard_bytes", "expected"),
    [(7, 35, (6, 30)), (12, 12, (12, 12)), (11, 59, (6, 30)), (100, 1000, (12, 60)), (0, 0, (2, 2)), (5, 9, (3, 6))],
)
def test_sizes__by_hand(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, shard_bytes: int, expected: tuple[int, int]
) -> None:
    """60 images in folds of 12."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(layout, "SHARD_BYTES", shard_bytes)
    assert layout.sizes(60, 12, 1) == expected
