"""Labelled Zarr stores: one writer, complete or absent, checksummed, with their provenance.

A store is an xarray DataTree with a group for each layer, in the order of the root attribute ``layers``.
It is written beside its final path, sealed by a digest of its metadata and renamed, so that a killed job leaves no
store that looks complete. A chunk that is damaged, missing or not the one written there is an error that names store,
array and file.
"""

import base64
import json
import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from convergent import checksums, damage, mapped, provenance, replacement, schema
from convergent.errors import InputError, about

# Raise by hand when the layout of the stores changes: every result but the trained networks is made anew.
FORMAT = 3
BLOCK = 1024  # longest side of an inner chunk of a matrix: steps read one fold and block at a time
SINGLY = ("fold", "replicate", "half", "map")  # dimensions of chunks of one
SHARD_BYTES = 64 * 2**20
SEAL = "metadata_digest"
CHECKSUMS = "checksums.json"  # of every chunk, by array, beside the metadata of the root
Layers = Mapping[str, xr.Dataset] | Iterable[tuple[str, xr.Dataset]]


def save(layers: Layers, path: Path, kind: str, attributes: Mapping[str, Any]) -> None:
    """Write results, a group for each layer.

    Parameters
    ----------
    layers : datasets by layer, in order of depth; ``/`` is the root. Given one by one they are written one by one;
        Dask arrays are computed shard by shard
    path : the store, replaced if it exists
    kind : name of its contract in `schema.CONTRACTS`
    attributes : of the root; texts and numbers
    """
    with replacing(path) as part:
        write_tree(_checked(layers, kind, path), part, attributes)


def write_tree(layers: Layers, part: Path, attributes: Mapping[str, Any]) -> None:
    """Write a DataTree as it is to a path that nobody reads yet."""
    names = []
    xr.Dataset().to_zarr(part, mode="w", zarr_format=3, consolidated=False)
    for layer, dataset in _one_by_one(layers):
        encoding = {name: _encoding(variable) for name, variable in dataset.variables.items()}
        if dataset.chunks:
            dataset = dataset.assign({name: _by_shards(v, encoding[name]) for name, v in dataset.data_vars.items()})
        with about(layer):
            _in_order(dataset).to_zarr(
                part, group=layer, mode="a", encoding=encoding, consolidated=False, write_empty_chunks=True
            )
        names += [layer] * (layer != "/")
    root = zarr.open_group(part, mode="r+", use_consolidated=False)
    root.attrs.update({"format": FORMAT, "layers": names, **attributes})
    consolidate(part)


def _in_order(dataset: xr.Dataset) -> xr.Dataset:
    """The same with texts in C order: zarr writes those of a transposed array as they lie (zarr-python #3558)."""
    return dataset.assign(
        {
            name: array.copy(data=np.ascontiguousarray(array.values))
            for name, array in dataset.data_vars.items()
            if array.dtype.kind == "T" and array.ndim > 1
        }
    )


def _by_shards(array: xr.DataArray, encoding: dict[str, Any]) -> xr.DataArray:
    """A Dask array whose blocks are the shards it is written in; others as they are."""
    if not array.chunks:
        return array
    return array.chunk(dict(zip(array.dims, encoding.get("shards", encoding["chunks"]), strict=True)))


def _one_by_one(layers: Layers) -> Iterable[tuple[str, xr.Dataset]]:
    return layers.items() if isinstance(layers, Mapping) else layers


def _checked(layers: Layers, kind: str, path: Path) -> Iterator[tuple[str, xr.Dataset]]:
    for layer, dataset in _one_by_one(layers):
        schema.check(dataset, kind, f"{path}: {layer}")
        yield layer, dataset


def consolidate(part: Path) -> None:
    """Renew the consolidated metadata after arrays were added."""
    with _quiet():
        zarr.consolidate_metadata(part)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a store to, which takes its place when the block ends without an error."""
    with replacement.of(path) as part:
        yield part
        for left in part.rglob("*.partial"):  # by a worker that was killed while it wrote; another has written it
            left.unlink()
        _seal(part)


@dataclass(frozen=True)
class Store:
    """An open store: the dataset of each layer in order of depth, and the attributes of its root."""

    layers: dict[str, xr.Dataset]
    attributes: dict[str, Any]


def read(path: Path, kind: str, *, chunks: Any = None, variables: Collection[str] | None = None) -> Store:
    """Open a store lazily.

    Parameters
    ----------
    path : the store
    kind : name of its contract in `schema.CONTRACTS`
    chunks : None for lazy NumPy, ``{}`` for Dask arrays of the stored chunks
    variables : those to open, coordinates too; None: all

    Raises
    ------
    InputError : if it is absent, of another format, incomplete or not of that kind
    """
    if not (path / "zarr.json").is_file():
        raise InputError(f"{path}: there is no such store; run the step that writes it")
    known = _check_metadata(path)
    by_chunk = kind == "activations" and chunks is not None
    with _quiet(), _named(path):
        left_out = _check_complete(path, variables, known, by_chunk)
        with damage.named():
            tree = xr.open_datatree(path, engine="zarr", chunks=chunks, drop_variables=left_out)
        groups = {node.path.strip("/") or "/": node for node in tree.subtree}
        layers = {name: groups[name].to_dataset(inherit=False) for name in tree.attrs["layers"] or ["/"]}
    for layer, dataset in layers.items():
        schema.check(dataset, kind, f"{path}: {layer}")
    schema.check_attributes(tree.attrs, kind, str(path))
    if by_chunk:
        layers = {layer: _mapped(dataset, path, f"{layer}/activation", known) for layer, dataset in layers.items()}
    return Store(layers, {str(name): value for name, value in tree.attrs.items() if name != SEAL})


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What zarr and xarray raise of arrays and groups that no step of this version writes, in one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, ArithmeticError, MemoryError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: holds what this version cannot read ({told}); make it anew") from None


def _mapped(dataset: xr.Dataset, path: Path, name: str, known: Mapping[str, bytes]) -> xr.Dataset:
    """The same with activations that are read without a copy, where they are stored as plain values."""
    group: Any = zarr.open_group(path, mode="r")  # by the metadata that are sealed
    values = mapped.array(group[name], path, known[name])
    return dataset if values is None else dataset.assign(activation=dataset["activation"].copy(data=values))


def stamp(
    title: str, step: str, parameters: Mapping[str, Any], *, modules: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """The attributes that every store carries: what it is, and what it was made by and from.

    Parameters
    ----------
    title : one sentence
    step : the step that writes it
    parameters : its settings
    modules : of the package that it loads by name, where it needs them
    more : further attributes, such as ``probe_fingerprint``
    """
    return {
        "title": title,
        "source": f"convergent {provenance.VERSION}, step {step}",
        "parameters": provenance.canonical(parameters),
        "code_digest": provenance.code_digest(f"steps.{step}", *modules),
        "versions": provenance.canonical(provenance.versions()),
        **more,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without zarr's warning that consolidated metadata is not yet in the specification of format 3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        yield


def _seal(part: Path) -> None:
    """Add the checksums of the chunks, and a digest of them and the metadata; a store without it is not finished."""
    with _quiet():
        arrays = zarr.open_group(part, mode="r").members(max_depth=None)
    known = {
        name: base64.b64encode(checksums.of_chunks(array, part)).decode()
        for name, array in arrays
        if isinstance(array, zarr.Array)
    }
    (part / CHECKSUMS).write_text(json.dumps(known), encoding="utf-8")
    file = part / "zarr.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["attributes"][SEAL] = provenance.digest([content, known])
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _check_metadata(path: Path) -> dict[str, bytes]:
    """The checksums of the chunks of each array, where these and the metadata are what the store was finished with."""
    with _damaged(path, "zarr.json"):
        content = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        found, seal = content["attributes"].get("format"), content["attributes"].pop(SEAL, None)
    if found != FORMAT:
        raise InputError(f"{path}: of format {found}, this version reads {FORMAT}; make it anew")
    with _damaged(path, CHECKSUMS):
        known = json.loads((path / CHECKSUMS).read_text(encoding="utf-8"))
        decoded = {name: base64.b64decode(text) for name, text in known.items()}
    if seal != provenance.digest([content, known]):
        raise InputError(
            f"{path}: its metadata, zarr.json or {CHECKSUMS}, are not those it was finished with; make it anew"
        )
    return decoded


@contextmanager
def _damaged(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: its metadata, {name}, are damaged ({error!r}); make it anew") from None


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    """Chunks of one fold or map and at most 1024 × 1024, in shards of at most about 64 MB; crc32c on everything."""
    checksum = {"compressors": (Crc32cCodec(),), "chunk_key_encoding": schema.CHUNK_KEYS}
    if variable.ndim == 0:
        return checksum
    if variable.dtype.kind != "f":
        return checksum | {"chunks": tuple(max(size, 1) for size in variable.shape)}
    chunks = [1 if dim in SINGLY else max(min(size, BLOCK), 1) for dim, size in variable.sizes.items()]
    shards = list(chunks)
    for axis in reversed(range(variable.ndim)):
        room = SHARD_BYTES // (math.prod(shards) * variable.dtype.itemsize)
        shards[axis] *= max(min(room, math.ceil(variable.shape[axis] / chunks[axis])), 1)
    return checksum | {"chunks": tuple(chunks), "shards": tuple(shards)}


def _nchunks(array: zarr.Array[Any]) -> int:
    """Chunks of an array as zarr counts those that are written: all of a shard, also those beyond the edge."""
    shards = array.shards or array.chunks
    return math.prod(
        math.ceil(size / shard) * (shard // chunk)
        for size, shard, chunk in zip(array.shape, shards, array.chunks, strict=True)
    )


def _check_complete(
    path: Path, variables: Collection[str] | None, known: Mapping[str, bytes], by_chunk: bool
) -> set[str]:
    """A missing shard or array reads as zeros or NaN without an error: count them before anyone reads.

    Whether each chunk is in its place is seen here too, unless it is when it is read (`by_chunk`).

    Returns the names of the variables that nobody will read.
    """
    group, left_out = zarr.open_group(path, mode="r"), set()
    for name, array in group.members(max_depth=None):
        if not isinstance(array, zarr.Array):
            continue
        variable = name.rpartition("/")[2]
        if variables is not None and variable not in variables:
            left_out.add(variable)
        elif (held := array.nchunks_initialized) != (needed := _nchunks(array)):
            lost = next(file for file in checksums.files(array) if not (path / file).is_file())
            raise InputError(
                f"{path}: incomplete, {name} holds {held} of {needed} chunks, {lost} is missing; make it anew"
            )
        elif not (by_chunk and mapped.is_plain(array)):
            checksums.check(array, path, known[name])
    return left_out
