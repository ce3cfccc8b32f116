"""Mapped chunks against zarr's own reading, for every way an array may be stored."""

import mmap
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import recorded
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from convergent import checksums, mapped, store
from convergent.errors import InputError


@pytest.fixture
def written(tmp_path: Path, generator: np.random.Generator) -> Path:
    """20 images in chunks of 5 and shards of 10."""
    values = generator.standard_normal((20, 3, 3, 4)).astype(np.float16)
    path = tmp_path / "a.zarr"
    recorded.write(path, {"conv": values, "fc": values.reshape(20, -1).astype(np.float32)}, shard=10)
    return path


def arrays(path: Path) -> list[zarr.Array]:
    group = zarr.open_group(path, mode="r")
    return [group[f"{layer}/activation"] for layer in ("conv", "fc")]


def read(source: zarr.Array, path: Path) -> da.Array:
    return mapped.array(source, path, checksums.of_chunks(source, path))


def test_array__is_what_zarr_reads(written: Path) -> None:
    for source in arrays(written):
        found = read(source, written)
        assert found.chunks[0] == (5,) * 4
        assert found.dtype == source.dtype
        np.testing.assert_array_equal(found.compute(), source[:])


def test_array__copies_nothing(written: Path) -> None:
    owners = []

    def look(block: np.ndarray) -> np.ndarray:
        owner = block
        while isinstance(owner, np.ndarray):
            owner = owner.base
        owners.append(owner)
        return block

    read(arrays(written)[0], written).map_blocks(look, meta=np.empty((0,) * 4)).compute()
    assert [type(owner) for owner in owners] == [mmap.mmap] * 4


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_array__with_a_chunk_that_is_not_full(tmp_path: Path, dtype: str) -> None:
    values = np.arange(44, dtype=np.float32).reshape(11, 4)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    source = group.create_array(
        "x", shape=(11, 4), dtype=dtype, chunks=(3, 4), shards=(6, 4), compressors=Crc32cCodec()
    )
    source[:] = values
    np.testing.assert_array_equal(read(source, tmp_path / "a.zarr").compute(), values)


@pytest.mark.parametrize(
    "stored",
    [
        {"compressors": (ZstdCodec(), Crc32cCodec()), "shards": (6, 4)},
        {"compressors": None, "shards": (6, 4)},
        {"compressors": Crc32cCodec(), "shards": None},
        {"compressors": Crc32cCodec(), "shards": (6, 4), "chunks": (3, 2)},
    ],
    ids=["compressed", "no checksum", "no shards", "units apart"],
)
def test_array__leaves_other_arrays_to_zarr(tmp_path: Path, stored: dict) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    source = group.create_array("x", **{"shape": (12, 4), "dtype": "f4", "chunks": (3, 4)} | stored)
    assert mapped.array(source, tmp_path / "a.zarr", b"") is None


def test_array__names_the_shard_of_any_flipped_bit(written: Path) -> None:
    file = written / "conv" / "activation" / "c.1.0.0.0"
    content = file.read_bytes()
    found = read(arrays(written)[0], written)
    for place in range(0, len(content), 5):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InputError, match=r"a\.zarr: conv/activation/c\.1\.0\.0\.0 is damaged"):
            found[10:].compute(scheduler="synchronous")  # nobody else reads what is being changed
    found[:10].compute()


@pytest.mark.parametrize("left", [0, 1, 3, 4, 20, 40, 300, -1])
def test_array__names_a_truncated_shard(written: Path, left: int) -> None:
    file = written / "conv" / "activation" / "c.0.0.0.0"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(InputError, match=r"conv/activation/c\.0\.0\.0\.0 is (damaged|missing or empty)"):
        read(arrays(written)[0], written).compute(scheduler="synchronous")


def test_array__names_a_shard_that_is_gone_or_lacks_a_chunk(tmp_path: Path, written: Path) -> None:
    found = read(arrays(written)[0], written)
    (written / "conv" / "activation" / "c.0.0.0.0").unlink()
    with pytest.raises(InputError, match=r"c\.0\.0\.0\.0 is missing or empty; make it anew"):
        found.compute()
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    source = group.create_array("x", shape=(6, 4), dtype="f4", chunks=(3, 4), shards=(6, 4), compressors=Crc32cCodec())
    source[:3] = 1.0
    with pytest.raises(InputError, match=r"x/c/0/0 lacks a chunk; make it anew"):
        read(source, tmp_path / "b.zarr").compute()


def test_array__names_a_shard_in_the_place_of_another(written: Path) -> None:
    found = read(arrays(written)[0], written)
    first, second = (written / "conv" / "activation" / f"c.{number}.0.0.0" for number in (0, 1))
    first.write_bytes(second.read_bytes())
    with pytest.raises(InputError, match=r"conv/activation/c\.0\.0\.0\.0 is damaged or another \(not what its store"):
        found.compute()
    found[10:].compute()


def test_read__maps_activations_with_the_labels_they_had(written: Path) -> None:
    lazy, blocked = (store.read(written, "activations", chunks=chunks).layers["conv"] for chunks in (None, {}))
    assert blocked["activation"].variable.chunksizes["image"] == (5,) * 4
    assert lazy.load().identical(blocked.compute())
