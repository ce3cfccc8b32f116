"""The step train: its files, and that a killed training ends with the weights of an uninterrupted one."""

import csv
import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import convergent
from convergent import config, data, declarations, networks, provenance, training
from convergent.errors import InputError
from convergent.steps import train

CONTENT: dict[str, Any] = {
    "data": "digits",
    "architecture": {"name": "convnet", "arguments": {"channels": [3, 4], "hidden": [8]}},
    "training": {"epochs": 2, "batch_size": 256, "learning_rate": 0.05},
    "stages": ["init", "final"],
}
OWN = """
from torch import nn

def net(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.{function}(), nn.Linear(8, num_classes))
"""


@pytest.fixture(autouse=True)
def _settings_of_torch() -> Iterator[None]:
    """The step sets torch up for a process of its own."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def recipe(
    stages: list[str] | None = None, architecture: dict[str, Any] | None = None, **of_training: Any
) -> config.Recipe:
    content = CONTENT | {"training": CONTENT["training"] | of_training}
    content |= {"stages": stages} if stages else {}
    content |= {"architecture": architecture} if architecture else {}
    built: config.Recipe = declarations.build(config.Recipe, content, "test")
    return built


def run(output: Path, chosen: config.Recipe | None = None, seed: int = 0, threads: int | None = None) -> Path:
    train.run(recipe=chosen or recipe(), seed=seed, threads=threads, data_root=None, output=output)
    return output


def weights(folder: Path) -> dict[str, bytes]:
    """The stages as they lie on disk."""
    return {path.stem: path.read_bytes() for path in folder.glob("*.safetensors")}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- its files ---


def test_run__writes_the_stages_the_history_and_the_description(tmp_path: Path) -> None:
    output = run(tmp_path / "deep" / "net-s3", seed=3)
    assert names(output) == {"init.safetensors", "final.safetensors", "history.csv", "training.json"}
    assert names(output.parent) == {"net-s3", ".net-s3.lock"}  # no part is left

    with (output / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert [entry["epoch"] for entry in history] == ["1", "2"]
    assert list(history[0])[1:4] == ["learning_rate", "loss", "accuracy"]

    content = json.loads((output / "training.json").read_text())
    assert content["seed"] == 3
    assert content["recipe"] == json.loads(json.dumps(asdict(recipe())))
    assert content["held_out_accuracy"] == float(history[-1]["held_out_accuracy"])
    digests = {stage: hashlib.sha256(file).hexdigest()[:16] for stage, file in weights(output).items()}
    assert content["checkpoints"] == digests


def test_run__keeps_the_weights_of_the_training(tmp_path: Path) -> None:
    """Read back, they are the drawn weights and those that `training.train` ends with."""
    output = run(tmp_path / "net-s0")
    torch.set_num_threads(1)
    training.seed_epoch(0, 0)
    images, held_out = (data.load("digits", split) for split in ("training", "held_out"))
    states = list(training.train(networks.of_recipe(recipe(), images), images, held_out, recipe().training, 0))
    for stage, state in {"init": states[0], "final": states[-1]}.items():
        found = load_file(output / f"{stage}.safetensors")
        assert found.keys() == state.weights.keys()
        assert all(torch.equal(found[name], state.weights[name]) for name in found)


@pytest.mark.parametrize("stages", [["final"], ["init", "epoch1", "final"], ["epoch1", "epoch2"], ["epoch2", "final"]])
def test_run__keeps_the_stages_of_the_recipe(tmp_path: Path, stages: list[str]) -> None:
    kept = weights(run(tmp_path / "some", recipe(stages)))
    every = weights(run(tmp_path / "every", recipe(["init", "epoch1", "epoch2", "final"])))
    assert kept == {stage: every[stage] for stage in stages}
    assert every["epoch2"] == every["final"]
    assert len(set(every.values())) == 3


def test_run__gives_equal_files_from_equal_seeds_only(tmp_path: Path) -> None:
    first, second, other = (weights(run(tmp_path / name, seed=s)) for name, s in {"a": 5, "b": 5, "c": 6}.items())
    assert first == second
    assert all(first[stage] != other[stage] for stage in first)


def test_run__replaces_an_earlier_output(tmp_path: Path) -> None:
    run(tmp_path / "net", recipe(["init", "epoch1", "final"]))
    assert weights(run(tmp_path / "net", recipe(["final"]))).keys() == {"final"}


def test_run__refuses_fewer_threads_than_the_recipe_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\Athe recipe trains with 2 threads, .* and got 1; .*training\.threads\Z"):
        run(tmp_path / "net", recipe(threads=2), threads=1)
    assert not [*tmp_path.iterdir()]
    run(tmp_path / "net", recipe(threads=1), threads=2)
    assert torch.get_num_threads() == 1  # as the recipe says, however many there are


# --- interrupted ---


class Killed(BaseException):
    pass


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run into the `call`-th call of a function of the step."""

    def until(function: str, call: int, output: Path, chosen: config.Recipe, seed: int = 0) -> None:
        original, calls = getattr(train, function), []

        def stop(*arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == call:
                raise Killed
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(train, function, stop)
            with pytest.raises(Killed):
                run(output, chosen, seed)
        assert not output.exists()

    return until


@pytest.mark.parametrize(
    ("function", "call", "resumed_after"),
    [("save", call, call - 2) for call in (1, 2, 3, 4)]
    + [("_checkpoint", call, call - 2) for call in (1, 2, 3, 4)]
    + [("_finish", 1, 3)],
)
def test_run__goes_on_wherever_it_was_interrupted(
    tmp_path: Path,
    interrupted: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    call: int,
    resumed_after: int,
) -> None:
    chosen = recipe(["init", "epoch1", "epoch2", "final"], epochs=3)
    interrupted(function, call, tmp_path / "net", chosen)
    capsys.readouterr()
    epochs, seed_epoch = [], training.seed_epoch
    with monkeypatch.context() as patch:
        patch.setattr(training, "seed_epoch", lambda seed, epoch: (epochs.append(epoch), seed_epoch(seed, epoch)))
        output = run(tmp_path / "net", chosen)
    assert epochs == [0, *range(max(resumed_after, 0) + 1, 4)]  # 0 draws the weights; no epoch is trained twice
    assert capsys.readouterr().out == (f"going on after epoch {resumed_after}\n" if resumed_after >= 0 else "")
    assert weights(output) == weights(run(tmp_path / "whole", chosen))
    assert names(output) == names(tmp_path / "whole")
    assert len((output / "history.csv").read_text().splitlines()) == 1 + 3


def test_run__trains_nothing_again_that_was_only_not_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = run(tmp_path / "net")
    before = weights(finished)
    finished.rename(tmp_path / "net.part")
    monkeypatch.setattr(training, "train", None)
    assert weights(run(tmp_path / "net")) == before
    assert not (tmp_path / "net.part").exists()


def test_run__keeps_a_checkpoint_that_could_not_be_read(
    tmp_path: Path, interrupted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that fails for a moment is no reason to train from the start."""
    chosen = recipe(["init", "final"], epochs=3)
    interrupted("_finish", 1, tmp_path / "net", chosen)
    checkpoint = tmp_path / "net.part" / "checkpoint.pt"
    before = checkpoint.read_bytes()

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(OSError, match="Input/output error"):
            run(tmp_path / "net", chosen)
    assert checkpoint.read_bytes() == before


def test_run__starts_anew_where_a_bit_of_its_checkpoint_has_flipped(
    tmp_path: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = recipe(["epoch1", "final"])
    interrupted("_checkpoint", 3, tmp_path / "net", chosen)
    part = tmp_path / "net.part"
    content = bytearray((part / "checkpoint.pt").read_bytes())
    largest = max(load_file(part / "epoch1.safetensors").values(), key=torch.numel)
    content[content.index(largest.numpy().tobytes()) + 3] ^= 1 << 6  # of an exponent
    (part / "checkpoint.pt").write_bytes(content)
    capsys.readouterr()
    output = run(tmp_path / "net", chosen)
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith(f"training from the start: {part / 'checkpoint.pt'} is not a checkpoint of this step (")
    assert weights(output) == weights(run(tmp_path / "whole", chosen))


OTHER_STATES: dict[str, Callable[[training.State], dict[str, Any]]] = {
    "before the first epoch": lambda _: {"epoch": -5},
    "after the last epoch": lambda _: {"epoch": 3},
    "no epoch": lambda _: {"epoch": "x"},
    "no weights": lambda _: {"weights": {}},
    "other shapes": lambda state: {"weights": {name: values.new_zeros(1) for name, values in state.weights.items()}},
}


@pytest.mark.parametrize("other", OTHER_STATES)
def test_run__starts_anew_from_a_checkpoint_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    """Whole, and of the same recipe and seed."""
    keep = train._checkpoint

    def keep_wrong(state: training.State, part: Path, identity: str) -> None:
        keep(replace(state, **OTHER_STATES[other](state)), part, identity)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train, "_checkpoint", keep_wrong)
        with pytest.raises(Killed):
            run(tmp_path / "net")
    output = run(tmp_path / "net")
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith("training from the start: ")
    assert weights(output) == weights(run(tmp_path / "whole"))


@pytest.mark.parametrize("changed", ["learning_rate", "stages", "seed", "images", "code", "versions"])
def test_run__throws_away_the_part_of_another_training(
    tmp_path: Path,
    interrupted: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
) -> None:
    interrupted("_checkpoint", 3, tmp_path / "net", recipe(["init", "epoch1", "final"]), seed=0)
    chosen, seed = recipe(["init", "epoch1", "final"]), 0
    match changed:
        case "learning_rate":
            chosen = recipe(["init", "epoch1", "final"], learning_rate=0.06)
        case "stages":
            chosen = recipe(["final"])
        case "seed":
            seed = 1
        case "images":
            splits: dict[str, data.Images] = {split: data.load("digits", split) for split in ("training", "held_out")}
            splits["training"].pixels[-1, 0, 3, 3] += 1
            monkeypatch.setattr(train.data, "load", lambda _, split, *more: splits[split])
        case "code":
            monkeypatch.setattr(train.provenance, "code_digest", lambda *_: "other")
        case "versions":
            monkeypatch.setattr(train.provenance, "versions", lambda: {"torch": "other"})
    capsys.readouterr()
    found = weights(run(tmp_path / "net", chosen, seed))
    assert "going on" not in capsys.readouterr().out
    assert found == weights(run(tmp_path / "whole", chosen, seed))


@pytest.mark.parametrize(("library", "goes_on"), {"xarray": True, "zarr": True, "torch": False}.items())
def test_run__goes_on_where_a_library_is_updated_that_no_training_uses(
    tmp_path: Path,
    interrupted: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    goes_on: bool,
) -> None:
    interrupted("_checkpoint", 3, tmp_path / "net", recipe())
    found = provenance.versions()
    monkeypatch.setattr(train.provenance, "versions", lambda: found | {library: "other"})
    capsys.readouterr()
    run(tmp_path / "net")
    assert ("going on after epoch 1" in capsys.readouterr().out) == goes_on


def test_run__throws_away_a_part_where_the_file_of_the_network_changed(
    tmp_path: Path, interrupted: Callable[..., None]
) -> None:
    file = tmp_path / "own.py"
    chosen = recipe(architecture={"name": "net", "file": str(file)})
    file.write_text(OWN.format(function="ReLU"))
    interrupted("_checkpoint", 3, tmp_path / "net", chosen)
    file.write_text(OWN.format(function="Tanh"))
    provenance._tree.cache_clear()  # as in a process of its own
    assert weights(run(tmp_path / "net", chosen)) == weights(run(tmp_path / "whole", chosen))


def test_run__survives_a_kill(tmp_path: Path) -> None:
    """SIGKILL of the real command in mid-training; the same command then ends as if nothing had happened."""
    chosen = recipe(["init", "epoch2", "final"], epochs=40, momentum=0.9)
    command = [sys.executable, "-m", "convergent", "train", "--recipe", json.dumps(asdict(chosen)), "--seed", "4"]
    command += ["--threads", "1", "--output", str(tmp_path / "net-s4")]
    environment = os.environ | {"PYTHONPATH": str(Path(convergent.__file__).parents[1]), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "net-s4.part" / "epoch2.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert names(tmp_path) == {"net-s4.part", ".net-s4.lock"}

    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("going on after epoch ")
    output = tmp_path / "net-s4"
    assert names(tmp_path) == {output.name, ".net-s4.lock"}
    assert names(output) == {
        "init.safetensors",
        "epoch2.safetensors",
        "final.safetensors",
        "history.csv",
        "training.json",
    }
    assert weights(output) == weights(run(tmp_path / "whole", chosen, seed=4))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_run__does_without_locks_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_lock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_lock)
    assert weights(run(tmp_path / "net-s0")).keys() == {"init", "final"}


def test_run__raises_other_errors_of_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"):
        run(tmp_path / "net-s0")


def test_run__waits_for_a_training_that_outlived_its_snakemake(tmp_path: Path) -> None:
    """Two processes at once: one trains, the other waits for the lock and finds the weights."""
    command = [sys.executable, "-m", "convergent", "train", "--recipe", json.dumps(CONTENT), "--seed", "5"]
    command += ["--output", str(tmp_path / "net-s5")]
    environment = os.environ | {"PYTHONPATH": str(Path(train.__file__).parents[2])}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("another process is training" in text for text in told) <= 1
    assert (tmp_path / "net-s5" / "training.json").is_file()
    assert not (tmp_path / "net-s5.part").exists()
    before = (tmp_path / "net-s5" / "final.safetensors").stat().st_mtime_ns
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (tmp_path / "net-s5" / "final.safetensors").stat().st_mtime_ns == before
