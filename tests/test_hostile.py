"""Files made to do harm: nothing in them is run, and each is refused in one line that names it."""

import hashlib
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import recorded
import torch
import yaml
from safetensors.torch import load_file

from convergent import files, provenance, store
from convergent.__main__ import main
from convergent.errors import InputError
from convergent.experiments import load_recipe

ROOT = Path(__file__).parents[1]
RECIPE = json.dumps(
    {
        "data": "digits",
        "architecture": {"name": "convnet", "arguments": {"channels": [2], "hidden": []}},
        "training": {"epochs": 1, "batch_size": 256, "learning_rate": 0.05},
        "stages": ["init", "final"],
    }
)
RECORDING = '{"dtype": "float32", "codec": "crc32c", "batch": 20, "positions": "all", "autocast": "none"}'


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def harm(tmp_path: Path) -> Harm:
    """What a victim must not load; it is proved to do its harm first."""
    found = Harm(tmp_path / "harm")
    pickle.loads(pickle.dumps(found))
    found.folder.rmdir()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training, a probe and the description of the network, to be recorded."""
    folder = tmp_path_factory.mktemp("made")
    main(["inspect", "--network=small", f"--recipe={RECIPE}", f"--output={folder / 'small.json'}"])
    main(["train", f"--recipe={RECIPE}", "--seed=0", f"--output={folder / 'small-s0'}"])
    settings = '{"images": 20, "folds": 4, "seed": 0}'
    main(["probe", "--data=digits", f"--settings={settings}", f"--output={folder / 'digits.zarr'}"])
    return folder


def record(made: Path, training: Path) -> None:
    main(
        [
            "record",
            f"--recipe={RECIPE}",
            f"--settings={RECORDING}",
            f"--inspected={made / 'small.json'}",
            "--stage=final",
            f"--training={training}",
            f"--probe={made / 'digits.zarr'}",
            f"--activations={training}-a.zarr",
            f"--pooled={training}-p.zarr",
        ]
    )


@pytest.mark.parametrize("form", ["torch", "pickle", "cut off", "of something else"])
def test_train__runs_no_code_of_a_checkpoint(
    made: Path, tmp_path: Path, harm: Harm, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    part = tmp_path / "small-s0.part"
    part.mkdir()
    checkpoint = part / "checkpoint.pt"
    if form == "pickle":
        checkpoint.write_bytes(pickle.dumps({"identity": harm}))
    else:
        torch.save({"identity": "i", "epoch": 1} if form == "of something else" else {"identity": harm}, checkpoint)
    content = checkpoint.read_bytes()[: -100 if form == "cut off" else None]
    checkpoint.write_bytes(hashlib.sha256(content).digest() + content)  # who replaces one replaces the other
    main(["train", f"--recipe={RECIPE}", "--seed=0", f"--output={tmp_path / 'small-s0'}"])
    assert not harm.folder.exists()
    told = capsys.readouterr().out
    assert ("training from the start: " in told) == (form != "of something else")
    assert (tmp_path / "small-s0" / "final.safetensors").read_bytes() == (
        made / "small-s0" / "final.safetensors"
    ).read_bytes()


def tensors(header: dict[str, Any], values: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


LISTED = {"checkpoints": ["final"], "seed": 0, "held_out_accuracy": 1}
LISTED_AND_SEALED = json.dumps(LISTED | {files.SEAL: provenance.digest(LISTED)})
HOSTILE_WEIGHTS = {
    "a header of exabytes": tensors({}, b"", 2**62),
    "no header": b"",
    "values outside the file": tensors({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, b""),
    "overlapping values": tensors(
        {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}, b"\0\0\0\0"
    ),
    "weights of another network": tensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0\0\0\0"),
}


@pytest.mark.parametrize("weights", [*HOSTILE_WEIGHTS, "code"])
def test_record__refuses_weights_that_are_none(made: Path, tmp_path: Path, harm: Harm, weights: str) -> None:
    training = tmp_path / "small-s0"
    shutil.copytree(made / "small-s0", training)
    content = pickle.dumps(harm) if weights == "code" else HOSTILE_WEIGHTS[weights]
    (training / "final.safetensors").write_bytes(content)
    told = files.read_sealed(training / "training.json")
    told["checkpoints"]["final"] = hashlib.sha256(content).hexdigest()[:16]  # who replaces one replaces the other
    files.write_sealed(told, training / "training.json")
    with pytest.raises(SystemExit) as stopped:
        record(made, training)
    assert str(stopped.value.code).startswith(
        f"convergent record: {training}: final.safetensors holds no weights of this recipe"
    )
    assert "\n" not in str(stopped.value.code)
    assert not harm.folder.exists()
    assert not [*tmp_path.glob("*.zarr")]


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", LISTED_AND_SEALED, "[" * 100_000])
@pytest.mark.parametrize("file", ["training.json", "small.json"])
def test_record__refuses_descriptions_that_are_none(made: Path, tmp_path: Path, file: str, text: str) -> None:
    shutil.copytree(made, tmp_path / "made")
    damaged = next((tmp_path / "made").rglob(file))
    damaged.write_text(text)
    with pytest.raises(SystemExit) as stopped:
        record(tmp_path / "made", tmp_path / "made" / "small-s0")
    assert str(damaged) in str(stopped.value.code)
    assert "\n" not in str(stopped.value.code)


@pytest.mark.parametrize("argument", ["weights", "pretrained"])
def test_networks__trained_elsewhere_are_refused(tmp_path: Path, argument: str) -> None:
    recipe = json.loads(RECIPE) | {"architecture": {"name": "resnet18", "arguments": {argument: True}}}
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", "--network=a", f"--recipe={json.dumps(recipe)}", f"--output={tmp_path / 'a.json'}"])
    assert f"architecture.arguments: {argument}: networks are trained here, from their seeds" in str(stopped.value.code)


def sealed(path: Path, content: dict[str, Any], layer: str = "fc") -> None:
    """Metadata as this version would have finished them, of a layer of another name."""
    known = json.loads((path / store.CHECKSUMS).read_text())
    known = {name.replace("fc", layer, 1): checksums for name, checksums in known.items()}
    (path / store.CHECKSUMS).write_text(json.dumps(known))
    content["attributes"].pop(store.SEAL, None)
    content["attributes"][store.SEAL] = provenance.digest([content, known])
    (path / "zarr.json").write_text(json.dumps(content))


@pytest.mark.filterwarnings("ignore:Object at .* is not recognized", "ignore:Failed to open Zarr store")
def test_read__runs_no_code_of_an_array(tmp_path: Path, harm: Harm) -> None:
    """Format 2 of zarr keeps objects by a codec of its choice, one of which is pickle."""
    path = tmp_path / "a.zarr"
    values = np.full((40, 3), 1.0, np.float16)
    recorded.write(path, {"fc": values})
    shutil.rmtree(path / "fc" / "activation")
    old = path / "fc" / "activation"
    old.mkdir()
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C"}
    (old / ".zarray").write_text(json.dumps(array | {"compressor": None, "filters": [numcodecs.Pickle().get_config()]}))
    (old / "0").write_bytes(numcodecs.Pickle().encode(np.array([harm], dtype=object)))
    content = json.loads((path / "zarr.json").read_text())
    for consolidated in (True, False):
        if not consolidated:
            content["consolidated_metadata"] = None
        sealed(path, content)
        with pytest.raises(InputError, match=re.escape(str(path))):
            store.read(path, "activations", chunks={})
        assert not harm.folder.exists()


def arrays_of_images(content: dict[str, Any]) -> list[dict[str, Any]]:
    listed = content["consolidated_metadata"]["metadata"].values()
    return [array for array in listed if (array.get("dimension_names") or [""])[0] == "image"]


def huge(content: dict[str, Any]) -> None:
    """Beyond any memory, in one shard."""
    for array in arrays_of_images(content):
        array["shape"][0] = 2**62
        array["chunk_grid"]["configuration"]["chunk_shape"][0] = 2**62 - 2**62 % 10


def without_chunks(content: dict[str, Any]) -> None:
    for array in arrays_of_images(content):
        array["chunk_grid"]["configuration"]["chunk_shape"][0] = 0


def without_a_snapshot(content: dict[str, Any]) -> None:
    del content["attributes"]["snapshot"]


def without_coordinates(content: dict[str, Any]) -> None:
    content["consolidated_metadata"]["metadata"]["fc"]["attributes"] = {}


def with_a_seed_below_zero(content: dict[str, Any]) -> None:
    content["attributes"]["probe_seed"] = -1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (huge, "holds what this version cannot read (MemoryError)"),
        (without_chunks, "holds what this version cannot read (division by zero)"),
        (without_a_snapshot, "the attribute snapshot of a store of activations is a text, not None"),
        (without_coordinates, "fc: image_id is to be a coordinate of the images"),
        (with_a_seed_below_zero, "the attribute probe_seed of a store of activations is a whole number from 0, not -1"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_within__refuses_metadata_that_are_sealed_and_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], expected: str
) -> None:
    path = tmp_path / "a.zarr"
    recorded.write(path, {"fc": np.ones((40, 3), np.float16)})
    content = json.loads((path / "zarr.json").read_text())
    change(content)
    sealed(path, content)
    for name, metadata in content["consolidated_metadata"]["metadata"].items():
        (path / name / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(SystemExit) as stopped:
        main(["within", f"--activations={path}", f"--output={tmp_path / 'm.zarr'}"])
    assert str(stopped.value.code).startswith(f"convergent within: {path}: {expected}")


@pytest.mark.parametrize("length", [0, 6, 7])
def test_within__refuses_a_chunk_of_another_length(tmp_path: Path, length: int) -> None:
    """Its checksums are right, and those of the index."""
    path = tmp_path / "a.zarr"
    recorded.write(path, {"fc": np.ones((40, 3), np.float16)}, chunk=5, shard=20)
    chunk = bytes(length) + google_crc32c.value(bytes(length)).to_bytes(4, "little")
    index = struct.pack("<QQ", 0, len(chunk)) * 4
    shard = path / "fc" / "activation" / "c.0.0"
    shard.write_bytes(chunk + index + google_crc32c.value(index).to_bytes(4, "little"))
    with pytest.raises(SystemExit) as stopped:
        main(["within", f"--activations={path}", f"--output={tmp_path / 'm.zarr'}"])
    told = f"{path}: fc/activation/c.0.0 holds a chunk of another size; make it anew"
    assert str(stopped.value.code).endswith(told)
    assert "\n" not in str(stopped.value.code)


@pytest.mark.parametrize("layer", ["../evil", "/tmp/evil", "a/../../evil"])
def test_read__stays_inside_the_store(tmp_path: Path, layer: str) -> None:
    path, evil = tmp_path / "a.zarr", tmp_path / "evil"
    recorded.write(path, {"fc": np.ones((40, 3), np.float16)})
    shutil.copytree(path / "fc", evil)
    content = json.loads((path / "zarr.json").read_text())
    listed = content["consolidated_metadata"]["metadata"]
    content["consolidated_metadata"]["metadata"] = {name.replace("fc", layer, 1): v for name, v in listed.items()}
    content["attributes"]["layers"] = [layer]
    sealed(path, content, layer)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        main(["within", f"--activations={path}", f"--output={tmp_path / 'm.zarr'}"])
    assert str(stopped.value.code).startswith(f"convergent within: {path}")
    assert sorted(tmp_path.rglob("*")) == before


YAML_WITH_CODE = "data: !!python/object/apply:os.mkdir [{folder}]\n"


def test_load_recipe__builds_no_objects(tmp_path: Path, harm: Harm) -> None:
    text = YAML_WITH_CODE.format(folder=harm.folder)
    yaml.unsafe_load(text)
    harm.folder.rmdir()
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match="not YAML: could not determine a constructor"):
        load_recipe(tmp_path / "a.yaml")
    assert not harm.folder.exists()


def test_snakemake__builds_no_objects_of_a_configuration(tmp_path: Path, harm: Harm) -> None:
    (tmp_path / "c.yaml").write_text(YAML_WITH_CODE.format(folder=harm.folder))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", tmp_path / "c.yaml", "-n"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert not harm.folder.exists()


def test_weights__are_kept_without_code(made: Path) -> None:
    assert load_file(made / "small-s0" / "final.safetensors")
    assert not [*made.rglob("*.pt")]
