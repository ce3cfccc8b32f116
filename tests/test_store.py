"""The store: complete or absent, checksummed, and read as it was written."""

import errno
import fcntl
import json
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec
from zarr.core.codec_pipeline import BatchedCodecPipeline

from convergent import store
from convergent.errors import InputError

FOLDS = 3


def layer(units: int, generator: np.random.Generator) -> xr.Dataset:
    """A layer of a store of moments, with labels of every type."""
    comoment = generator.normal(size=(FOLDS, units, units))
    names = np.array([f"unit {i}" for i in range(units)], dtype=np.dtypes.StringDType())
    return xr.Dataset(
        {
            "n": ("fold", np.full(FOLDS, 50)),
            "mean": (("fold", "unit"), generator.normal(size=(FOLDS, units)), {"long_name": "mean", "units": "1"}),
            "comoment": (("fold", "unit", "unit_other"), comoment),
            "total": ((), comoment.sum()),
        },
        {"fold": np.arange(FOLDS), "unit": np.arange(units), "unit_name": ("unit", names)},
        {"spatial": True},
    )


@pytest.fixture
def layers(generator: np.random.Generator) -> dict[str, xr.Dataset]:
    """In order of depth, which is not the order of the alphabet."""
    return {name: layer(units, generator) for name, units in [("stem.relu", 5), ("conv1.relu", 1), ("fc", 4)]}


@pytest.fixture
def saved(layers: dict[str, xr.Dataset], tmp_path: Path) -> Path:
    path = tmp_path / "moments" / "a.zarr"
    store.save(layers, path, "moments_within", {"title": "moments", "seed": 3, "accuracy": 0.5})
    return path


def arrays(path: Path) -> dict[str, zarr.Array[Any]]:
    members = zarr.open_group(path, mode="r").members(max_depth=None)
    return {name: array for name, array in members if isinstance(array, zarr.Array)}


NAMES = sorted(f"fc/{name}" for name in ("n", "mean", "comoment", "total", "fold", "unit", "unit_name"))


def test_read__gives_what_was_saved(saved: Path, layers: dict[str, xr.Dataset]) -> None:
    found = store.read(saved, "moments_within")
    assert list(found.layers) == list(layers)
    for name, dataset in layers.items():
        xr.testing.assert_identical(found.layers[name].load(), dataset)
        assert {v: found.layers[name][v].dtype for v in dataset.variables} == {
            v: dataset[v].dtype for v in dataset.variables
        }
    assert found.attributes == {
        "format": store.FORMAT,
        "layers": list(layers),
        "title": "moments",
        "seed": 3,
        "accuracy": 0.5,
    }


def test_read__of_some_variables_opens_and_checks_these_alone(saved: Path) -> None:
    for chunk in (saved / "fc" / "total").glob("c*"):
        chunk.unlink()
    chosen = ("n", "mean", "comoment", "unit")
    found = store.read(saved, "moments_within", variables=chosen)
    assert [set(dataset.variables) for dataset in found.layers.values()] == [set(chosen)] * 3
    with pytest.raises(InputError, match=r"incomplete, fc/total holds 0 of 1 chunks"):
        store.read(saved, "moments_within", variables=(*chosen, "total"))


def test_read__gives_texts_of_a_transposed_array_where_they_were(tmp_path: Path) -> None:
    """zarr by itself writes them in the order of memory."""
    names = np.array([["a", "b", "c"], ["d", "e", "f"]], dtype=np.dtypes.StringDType()).T
    numbers = np.zeros(names.shape)
    dims = ("unit", "rank")
    exemplars = {"activation": (dims, numbers), "image_id": (dims, names)} | {
        name: (dims, numbers.astype(np.int64)) for name in ("label", "y", "x")
    }
    attributes = dict.fromkeys(("snapshot", "checkpoint_digest", "stage", "probe_fingerprint", "data"), "a")
    store.save({"conv": xr.Dataset(exemplars)}, tmp_path / "a.zarr", "exemplars", attributes)
    found = store.read(tmp_path / "a.zarr", "exemplars").layers["conv"]["image_id"].values
    assert found.tolist() == names.tolist()


def test_read__gives_the_stored_chunks_to_dask(saved: Path, layers: dict[str, xr.Dataset]) -> None:
    found = store.read(saved, "moments_within", chunks={}).layers["fc"]
    assert found["comoment"].chunks == ((1,) * FOLDS, (4,), (4,))
    xr.testing.assert_identical(found.compute(), layers["fc"])


def test_read__gives_the_root_of_a_store_without_layers(tmp_path: Path, generator: np.random.Generator) -> None:
    dataset = layer(2, generator)
    store.save({"/": dataset}, tmp_path / "a.zarr", "moments_within", {})
    xr.testing.assert_identical(
        store.read(tmp_path / "a.zarr", "moments_within").layers["/"].load().drop_attrs(deep=False),
        dataset.drop_attrs(deep=False),
    )


def test_save__checksums_every_variable(saved: Path) -> None:
    found = arrays(saved)
    assert set(NAMES) <= set(found)
    for name, array in found.items():
        assert any(isinstance(codec, Crc32cCodec) for codec in array.compressors), name


def test_save__replaces_a_store(saved: Path, generator: np.random.Generator) -> None:
    dataset = layer(2, generator)
    store.save({"other": dataset}, saved, "moments_within", {})
    found = store.read(saved, "moments_within")
    assert list(found.layers) == ["other"]
    assert found.layers["other"].sizes["unit"] == 2
    assert {array.split("/")[0] for array in arrays(saved)} == {"other"}


def test_save__refuses_what_breaks_the_contract_and_writes_nothing(
    tmp_path: Path, layers: dict[str, xr.Dataset]
) -> None:
    layers["fc"] = layers["fc"].drop_vars("mean")
    with pytest.raises(InputError, match=r"a\.zarr: fc: .* needs the variable 'mean'"):
        store.save(layers, tmp_path / "a.zarr", "moments_within", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shard_bytes", [1, 3 * 4 * 4 * 8, 10 * 4 * 4 * 8, 10**6])
@pytest.mark.parametrize("units", [1, 8, 9, 17])
def test_save__keeps_chunks_to_a_fold_and_shards_to_their_limit(
    tmp_path: Path, generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch, units: int, shard_bytes: int
) -> None:
    monkeypatch.setattr(store, "BLOCK", 4)
    monkeypatch.setattr(store, "SHARD_BYTES", shard_bytes)
    dataset = layer(units, generator)
    store.save({"fc": dataset}, tmp_path / "a.zarr", "moments_within", {})
    for name, array in arrays(tmp_path / "a.zarr").items():
        if array.dtype.kind == "f" and array.ndim:
            assert array.chunks[0] == 1, name
            assert max(array.chunks) <= 4
            assert np.prod(array.shards) * array.dtype.itemsize <= max(shard_bytes, np.prod(array.chunks) * 8)
    xr.testing.assert_identical(store.read(tmp_path / "a.zarr", "moments_within").layers["fc"].load(), dataset)


def test_save__makes_few_files(tmp_path: Path, generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BLOCK", 2)
    store.save({"fc": layer(16, generator)}, tmp_path / "a.zarr", "moments_within", {})
    assert arrays(tmp_path / "a.zarr")["fc/comoment"].nchunks == FOLDS * 8 * 8
    assert len(chunk_files(tmp_path / "a.zarr" / "fc" / "comoment")) == 1


def chunk_files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json"]


def killed_while_writing(part: Path) -> None:
    store.write_tree({}, part, {})
    raise KeyboardInterrupt


def test_replacing__leaves_no_store_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.zarr"
    with pytest.raises(KeyboardInterrupt), store.replacing(path) as part:
        killed_while_writing(part)
    assert not path.exists()
    with store.replacing(path) as part:
        assert not part.exists()
        store.write_tree({}, part, {})
    assert [entry.name for entry in path.parent.iterdir()] == ["a.zarr"]


def test_replacing__keeps_the_old_store_when_the_writer_is_killed(saved: Path) -> None:
    with pytest.raises(KeyboardInterrupt), store.replacing(saved) as part:
        killed_while_writing(part)
    assert "fc" in store.read(saved, "moments_within").layers


@pytest.mark.parametrize("name", NAMES)
def test_read__refuses_a_store_that_lacks_a_chunk(saved: Path, name: str) -> None:
    lost = chunk_files(saved / name)[0]
    lost.unlink()
    told = rf"a\.zarr: incomplete, {name} holds \d+ of \d+ chunks, {lost.relative_to(saved)} is missing; make it anew"
    with pytest.raises(InputError, match=told):
        store.read(saved, "moments_within")


@pytest.mark.parametrize("folder", ["fc/mean", "fc/fold", "fc"])
def test_read__refuses_a_store_that_lacks_a_folder(saved: Path, folder: str) -> None:
    shutil.rmtree(saved / folder)
    with pytest.raises(InputError, match=rf"a\.zarr: incomplete, {folder}"):
        store.read(saved, "moments_within")


def fail_while_writing(part: Path) -> None:
    store.write_tree({}, part, {})
    raise InputError("wrong")


def test_replacing__leaves_nothing_where_a_step_fails(saved: Path) -> None:
    with pytest.raises(InputError, match="wrong"), store.replacing(saved) as part:
        fail_while_writing(part)
    assert [entry.name for entry in saved.parent.iterdir()] == ["a.zarr"]


def test_replacing__lets_one_writer_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Writers of one store: all of them would write to one part."""
    path, writing = tmp_path / "a.zarr", []

    def write(number: int) -> None:
        with store.replacing(path) as part:
            writing.append(number)
            assert not part.exists()
            store.write_tree({}, part, {"number": number})
            time.sleep(0.05)
            assert json.loads((part / "zarr.json").read_text())["attributes"]["number"] == number
            assert writing[-1] == number

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(write, number) for number in range(4)]:
            done.result()
    assert json.loads((path / "zarr.json").read_text())["attributes"]["number"] == writing[-1]
    assert "another process is writing a.zarr; waiting for it" in capsys.readouterr().out
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_replacing__takes_no_lock_that_was_removed_while_it_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer before has ended, and the next one may hold a new file already."""
    taken: list[Path] = []

    def lock(file: Any, operation: int) -> None:
        taken.append(Path(file.name))
        if len(taken) == 1:
            taken[0].unlink()

    monkeypatch.setattr(fcntl, "flock", lock)
    with store.replacing(tmp_path / "a.zarr") as part:
        assert taken[-1].exists()
        store.write_tree({}, part, {})
    assert len(taken) == 2


def test_replacing__does_without_locks_where_there_are_none(
    saved: Path, layers: dict[str, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    store.save({"fc": layers["fc"]}, saved, "moments_within", {})
    assert list(store.read(saved, "moments_within").layers) == ["fc"]


def damage(file: Path, position: int) -> None:
    """Flip a bit."""
    content = bytearray(file.read_bytes())
    content[position] ^= 1 << position % 8
    file.write_bytes(content)


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("name", NAMES)
def test_read__names_a_damaged_chunk(saved: Path, name: str, chunks: Any) -> None:
    file = chunk_files(saved / name)[0]
    damage(file, 0)
    told = rf"a\.zarr: {name}/{file.relative_to(saved / name)} is damaged \(Stored and computed .*\); make it anew"
    with pytest.raises(InputError, match=told):
        store.read(saved, "moments_within", chunks=chunks).layers["fc"].load()


@pytest.mark.parametrize("name", ["comoment", "mean"])
def test_read__names_a_file_in_the_place_of_another(
    saved: Path, tmp_path: Path, generator: np.random.Generator, name: str
) -> None:
    """Whole, with its checksums, and of the same form: of another store."""
    store.save({"fc": layer(4, generator)}, tmp_path / "b.zarr", "moments_within", {})
    (file,) = chunk_files(saved / "fc" / name)
    file.write_bytes((tmp_path / "b.zarr" / file.relative_to(saved)).read_bytes())
    with pytest.raises(InputError, match=rf"a\.zarr: fc/{name}/c\..* is damaged or another \(not what its store"):
        store.read(saved, "moments_within")


@pytest.mark.parametrize("name", ["comoment", "unit_name"])
def test_read__never_gives_a_flipped_byte(saved: Path, name: str) -> None:
    """Of the data, of the index of a shard, and of the checksums."""
    opened = store.read(saved, "moments_within").layers["fc"]
    (file,) = chunk_files(saved / "fc" / name)
    for position in range(file.stat().st_size):
        damage(file, position)
        with pytest.raises(InputError, match="is damaged"):
            opened[name].copy().load()
        damage(file, position)
    opened[name].copy().load()


@pytest.mark.parametrize("name", ["fc/comoment", "fc/fold"])
@pytest.mark.parametrize("left", [0, 1, 10, -1])
def test_read__names_a_truncated_chunk(saved: Path, name: str, left: int) -> None:
    file = chunk_files(saved / name)[0]
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(InputError, match=rf"a\.zarr: {name}/c\..* is (damaged|missing or empty)"):
        store.read(saved, "moments_within").layers["fc"].load()


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("name", ["fc/comoment", "fc/unit_name"])
def test_read__names_a_chunk_that_disappears_later(saved: Path, name: str, chunks: Any) -> None:
    """Another process replaces the store, or a disk is gone; also in another process, to which arrays are sent."""
    found = store.read(saved, "moments_within", chunks=chunks).layers["fc"]
    chunk_files(saved / name)[0].unlink()
    for one in (found, pickle.loads(pickle.dumps(found))):
        with pytest.raises(InputError, match=rf"a\.zarr: {name}/c\..* is missing or empty; make it anew"):
            one.load()


def test_read__leaves_the_stores_of_others_alone(saved: Path, tmp_path: Path) -> None:
    """Elsewhere a chunk that is not there is a chunk of the fill value."""
    store.read(saved, "moments_within")
    array = zarr.create_array(tmp_path / "b.zarr", shape=(4,), chunks=(2,), dtype="f4", fill_value=7)
    assert array[:].tolist() == [7] * 4


@pytest.mark.parametrize("chunks", [None, {}])
def test_read__of_a_zarr_that_tells_what_it_found_of_each_chunk(
    saved: Path, layers: dict[str, xr.Dataset], monkeypatch: pytest.MonkeyPatch, chunks: Any
) -> None:
    """`read_batch` returns a result for each chunk, and `read` collects them, as since zarr 3.2."""
    base = BatchedCodecPipeline.read_batch
    told = []

    async def read_batch(self: BatchedCodecPipeline, batch: Any, out: Any, drop_axes: Any = ()) -> tuple[str, ...]:
        await base(self, batch := list(batch), out, drop_axes)
        return ("present",) * len(batch)

    async def read(self: BatchedCodecPipeline, batch: Any, out: Any, drop_axes: Any = ()) -> tuple[str, ...]:
        batch = list(batch)
        results = await self.read_batch(batch, out, drop_axes)
        told.append(len(results) == len(batch))
        return tuple(results)

    monkeypatch.setattr(BatchedCodecPipeline, "read_batch", read_batch)
    monkeypatch.setattr(BatchedCodecPipeline, "read", read)
    xr.testing.assert_identical(store.read(saved, "moments_within", chunks=chunks).layers["fc"].load(), layers["fc"])
    assert told
    assert all(told)


def test_read__refuses_a_flipped_byte_of_the_metadata(tmp_path: Path, generator: np.random.Generator) -> None:
    """All of it: shapes and types, but also layers, seeds and where a result came from."""
    path = tmp_path / "a.zarr"
    store.save({"fc": layer(2, generator)}, path, "moments_within", {"seed": 3, "accuracy": 0.5})
    file = path / "zarr.json"
    told = rf"a\.zarr: (its metadata, zarr\.json.*, are|of format .+, this version reads {store.FORMAT};)"
    for position in range(0, file.stat().st_size, 11):
        damage(file, position)
        with pytest.raises(InputError, match=told):
            store.read(path, "moments_within")
        damage(file, position)
    store.read(path, "moments_within")


def test_read__refuses_what_was_not_finished(saved: Path, layers: dict[str, xr.Dataset]) -> None:
    """Though no chunk of it is missing."""
    store.write_tree(layers, saved, {})
    with pytest.raises(InputError, match=r"a\.zarr: its metadata, checksums\.json, are damaged"):
        store.read(saved, "moments_within")


def test_read__refuses_damaged_metadata(saved: Path) -> None:
    (saved / "zarr.json").write_text("")
    with pytest.raises(InputError, match=r"a\.zarr"):
        store.read(saved, "moments_within")


def test_read__refuses_an_absent_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.zarr: there is no such store; run the step that writes it"):
        store.read(tmp_path / "a.zarr", "moments_within")


def test_read__refuses_another_format(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = store.FORMAT
    monkeypatch.setattr(store, "FORMAT", written + 1)
    with pytest.raises(InputError, match=rf"a\.zarr: of format {written}, this version reads {written + 1}"):
        store.read(saved, "moments_within")


def test_read__refuses_another_kind(saved: Path) -> None:
    with pytest.raises(InputError, match=r"a\.zarr: stem\.relu: a store of moments_between needs .*'mean_a'"):
        store.read(saved, "moments_between")


def test_read__takes_no_notice_of_the_timestamp_of_snakemake(saved: Path, layers: dict[str, xr.Dataset]) -> None:
    (saved / ".snakemake_timestamp").touch()
    assert list(store.read(saved, "moments_within").layers) == list(layers)


def test_stamp__tells_what_made_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = store.stamp("A title", "matching", {"b": 1, "a": 2}, probe_fingerprint="f")
    assert set(attributes) == {"title", "source", "parameters", "code_digest", "versions", "probe_fingerprint"}
    assert attributes["parameters"] == '{"a": 2, "b": 1}'
    assert attributes["source"].endswith("step matching")
    assert json.loads(attributes["versions"])["zarr"] == zarr.__version__
    assert attributes["code_digest"] != store.stamp("A title", "correlation", {})["code_digest"]
