"""Damaged and missing files, full disks and killed processes: an error that names them, or the right result."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import killed
import numpy as np
import pytest
import recorded
import xarray as xr

from convergent import store
from convergent.__main__ import main
from convergent.errors import InputError

TESTS = Path(__file__).parent
IMAGES = 4 * recorded.FOLD

PAIR = {
    "a": "moments_a/conv/mean/c.0.0",
    "b": "moments_b/fc/comoment/c.0.0.0",
    "between": "between/conv/comoment/c.0.0.0",
}
# Steps, what they read, and a file of it that the test damages.
READ = {
    "within": {"activations": "a/conv/activation/c.1.0.0.0"},
    "between": {"a": "a/conv/fold/c.0", "b": "b/fc/activation/c.0.0"},
    "statistics": {"activations": "a/fc/activation/c.0.0", "moments": "moments_a/fc/comoment/c.0.0.0"},
    "edges": {"activations": "a/conv/activation/c.0.0.0.0"},
    "correlation": PAIR,
    "mutual_information": {
        "activations_a": "a/conv/activation/c.0.0.0.0",
        "activations_b": "b/conv/image_id/c.0",
        "edges_a": "edges_a/conv/edge/c.0.0",
        "edges_b": "edges_b/fc/unit/c.0",
        "a": "moments_a/conv/comoment/c.0.0.0",
        "b": "moments_b/conv/mean/c.0.0",
        "between": "between/fc/comoment_permuted/c.0.0.0.0",
    },
    "exemplars": {"activations": "a/fc/image_id/c.0"},
    "rdm": {"activations": "pooled_a/conv/activation/c.0.0"},
    "cross_layer": {"a": "pooled_a/fc/activation/c.1.0", "b": "pooled_b/conv/activation/c.0.0"},
    "layer_pairs": {"a": "a/conv/activation/c.0.0.0.0", "b": "b/fc/activation/c.1.0"},
    "subspace_match_sampled": {"a": "a/fc/activation/c.0.0", "b": "b/conv/activation/c.1.0.0.0"},
    "matching": {
        **PAIR,
        "pooled_a": "pooled_a/conv/activation/c.0.0",
        "pooled_b": "pooled_b/fc/activation/c.1.0",
    },
    "similarity": {
        **PAIR,
        "pooled_a": "pooled_a/fc/activation/c.1.0",
        "pooled_b": "pooled_b/conv/image_id/c.0",
    },
    "sparse_prediction": PAIR,
    "maps": PAIR,
    "subspace_match": PAIR,
    "clustering": {**PAIR, "sparse_prediction": "sparse_prediction/conv/alpha/c.0"},
    "rsa": {"a": "rdms_a/conv/correlation/c.0.0", "b": "rdms_b/fc/euclidean/c.0.0"},
    "ensemble": {"a": "predictions_a/logit/c.0.0", "b": "predictions_b/label/c.0"},
}
OPTIONS = {
    "between": ["--settings", '{"precision": "float64", "permutations": 1}'],
    "edges": ["--settings", '{"bins": 4, "samples": 1000}'],
    "mutual_information": ["--permutations", "1"],
    "layer_pairs": ["--settings", '{"precision": "float64", "permutations": 1}'],
    "subspace_match_sampled": [
        "--settings",
        '{"positions": 40, "draws": 2, "epsilons": [0.5], "seed": 0, "dead": "unmatched", "ridge": 1e-6}',
    ],
    "matching": ["--settings", '{"rotations": 2, "permutations": 1}'],
    "similarity": ["--settings", '{"svcca_variance": 0.99, "permutations": 2}'],
    "sparse_prediction": ["--settings", '{"alphas": 2, "smallest": 0.1}'],
    "maps": ["--settings", '{"alphas": [0.1]}'],
    "subspace_match": [
        "--settings",
        '{"centred": false, "dead": "unmatched", "ridge": 1e-6, "epsilons": [0.5], "minimal_epsilon": 0.5, '
        '"starts": 1, "orders": 1, "enumerated": 1}',
    ],
    "clustering": [
        "--settings",
        '{"threshold": 0.2, "units_per_cluster": 2, "repeats": 2, "variant": "normalised", "widest_exact": 4096}',
    ],
    "rsa": ["--permutations", "2"],
    "ensemble": ["--settings", '{"permutations": 2}'],
}


def arguments(step: str, stores: dict[str, Path], output: Path) -> list[str]:
    given = [text for name, path in stores.items() for text in (f"--{name.replace('_', '-')}", str(path))]
    return [step, *given, *OPTIONS.get(step, []), "--output", str(output)]


def inputs(step: str, folder: Path) -> dict[str, Path]:
    return {name: folder / f"{file.split('/')[0]}.zarr" for name, file in READ[step].items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores of a pair, which tests damage and repair."""
    folder, generator = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    for side in "ab":
        values = np.maximum(generator.standard_normal((IMAGES, 2, 2, 3)), 0).astype(np.float16)
        recorded.write(folder / f"{side}.zarr", {"conv": values, "fc": values[:, 0, 0]})
        pooled = values.mean((1, 2), dtype=np.float32)
        recorded.write(folder / f"pooled_{side}.zarr", {"conv": pooled, "fc": pooled}, snapshot=side)
        answers = store.read(folder / f"pooled_{side}.zarr", "pooled")
        logits = answers.layers["fc"].rename(activation="logit", unit="class").load()
        of_answers = answers.attributes | {"layers": []}
        store.save({"/": logits}, folder / f"predictions_{side}.zarr", "predictions", of_answers)
        for output, step in {"moments": "within", "edges": "edges"}.items():
            main(arguments(step, {"activations": folder / f"{side}.zarr"}, folder / f"{output}_{side}.zarr"))
        main(arguments("rdm", {"activations": folder / f"{side}.zarr"}, folder / f"rdms_{side}.zarr"))
    for step in ("between", "sparse_prediction"):
        main(arguments(step, inputs(step, folder), folder / f"{step}.zarr"))
    return folder


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "shorter": lambda content: content[:-1],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
}


FILES = [(step, file, "flipped") for step, files in READ.items() for file in files.values()]


@pytest.mark.parametrize(("step", "file", "damage"), [*FILES, *(("within", FILES[0][1], damage) for damage in DAMAGES)])
def test_main__names_a_damaged_file_in_one_line(made: Path, tmp_path: Path, step: str, file: str, damage: str) -> None:
    name, _, inside = file.partition("/")
    damaged = made / f"{name}.zarr" / inside
    content = damaged.read_bytes()
    damaged.write_bytes(DAMAGES[damage](content))
    try:
        with pytest.raises(SystemExit) as stopped:
            main(arguments(step, inputs(step, made), tmp_path / "output.zarr"))
    finally:
        damaged.write_bytes(content)
    told = str(stopped.value.code)
    assert told.startswith(f"convergent {step}: ")
    reason = "missing or empty" if damage == "empty" else "damaged (Stored and computed checksum do not match)"
    assert told.endswith(f"{made / name}.zarr: {inside} is {reason}; make it anew")
    assert "\n" not in told
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("step", READ)
def test_main__names_a_missing_file_in_one_line(made: Path, tmp_path: Path, step: str) -> None:
    for file in READ[step].values():
        name, _, inside = file.partition("/")
        missing = made / f"{name}.zarr" / inside
        missing.rename(tmp_path / "kept")
        try:
            with pytest.raises(SystemExit) as stopped:
                main(arguments(step, inputs(step, made), tmp_path / "output.zarr"))
        finally:
            (tmp_path / "kept").rename(missing)
        array = inside.partition("/c.")[0]
        told = str(stopped.value.code)
        assert told.startswith(f"convergent {step}: {made / name}.zarr: incomplete, {array} holds ")
        assert told.endswith(f", {inside} is missing; make it anew")
        assert not [*tmp_path.iterdir()]


def test_main__says_nothing_but_the_line(made: Path, tmp_path: Path) -> None:
    """Many threads that fail at once say no more than one."""
    store_of_activations = tmp_path / "a.zarr"
    generator = np.random.default_rng(0)
    recorded.write(store_of_activations, {"conv": generator.standard_normal((IMAGES, 3, 3, 4))}, shard=5)
    for shard in (store_of_activations / "conv" / "activation").glob("c.*"):
        shard.write_bytes(flipped(shard.read_bytes()))
    command = arguments("within", {"activations": store_of_activations}, tmp_path / "output.zarr")
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "convergent", *command, "--threads", "4"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"{store_of_activations}: conv/activation/c." in done.stderr


def run_killed(writer: str, root: Path, stride: int) -> list[Path]:
    """The folders that `killed.py` leaves, that of the run which ended by itself last."""
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "src")}
    subprocess.run([sys.executable, TESTS / "killed.py", writer, root, str(stride)], env=environment, check=True)
    return sorted((folder for folder in root.iterdir() if folder.name != "before"), key=lambda f: int(f.name))


def test_save__killed_at_any_time_leaves_the_old_store_or_the_new_or_none(tmp_path: Path) -> None:
    written = {"old": killed.edges(1.0), "new": killed.edges(2.0)}
    store.save({"old": written["old"]}, tmp_path / "before" / "a.zarr", "edges", {})
    *stopped, ended = run_killed("replace", tmp_path, 1)
    found = []
    for folder in stopped:
        found.append("none")
        if (folder / "a.zarr").exists():
            ((found[-1], dataset),) = store.read(folder / "a.zarr", "edges").layers.items()
            xr.testing.assert_identical(dataset.load(), written[found[-1]])
        with suppress(InputError):  # what is not finished
            part = store.read(folder / "a.zarr.part", "edges")
            xr.testing.assert_identical(part.layers["new"].load(), written["new"])
    assert found == sorted(found, key=["old", "none", "new"].index)
    assert set(found) == {"old", "none", "new"}
    assert found.count("none") == 1
    for folder in (stopped[len(stopped) // 2], stopped[found.index("none")], stopped[-1], ended):
        killed.replace(folder)
        assert list(store.read(folder / "a.zarr", "edges").layers) == ["new"]
        assert [path.name for path in folder.iterdir()] == ["a.zarr"]


def test_within__killed_in_mid_pass_leaves_nothing_and_is_right_when_run_again(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((IMAGES, 2, 2, 3))
    recorded.write(tmp_path / "before" / "a.zarr", {"conv": values}, shard=5)
    *stopped, ended = run_killed("sum_up", tmp_path, 40)
    expected = store.read(ended / "moments.zarr", "moments_within").layers["conv"].load()
    assert len(stopped) > 3
    assert not (stopped[0] / "moments.zarr").exists()
    for folder in stopped:
        if not (folder / "moments.zarr").exists():
            killed.sum_up(folder)
        found = store.read(folder / "moments.zarr", "moments_within").layers["conv"]
        xr.testing.assert_allclose(found, expected, rtol=1e-12)


def with_little_room(size: int) -> None:
    """As a full disk: a file cannot grow beyond `size`."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [1, 300, 5_000])
def test_main__keeps_the_old_store_when_the_disk_is_full(made: Path, tmp_path: Path, size: int) -> None:
    output = tmp_path / "moments.zarr"
    store.save({"old": killed.edges(1.0)}, output, "edges", {})
    command = [sys.executable, "-m", "convergent", *arguments("within", inputs("within", made), output)]
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "src"), "NUMBA_CACHE_DIR": str(made / "numba")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, preexec_fn=lambda: with_little_room(size)
    )
    told = f"convergent within: {output}: cannot be written, File too large; make room and run again\n"
    assert (done.returncode, done.stderr) == (1, told)
    assert list(store.read(output, "edges").layers) == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["moments.zarr"]
