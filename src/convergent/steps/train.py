"""Train one network from one seed and keep its stages; an interrupted training goes on where it stopped."""

import argparse
import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from convergent import data, networks, provenance, replacement, training
from convergent.config import Recipe, data_root, network_identity, parse
from convergent.errors import InputError
from convergent.files import read_sealed, write_sealed

CHECKPOINT = "checkpoint.pt"
DIGEST = 32  # bytes of a SHA-256
# What the weights depend on beside the code; scikit-learn has the digits, and splits them.
SHAPING = {"torch", "torchvision", "numpy", "python", "machine"}
SHAPING_DIGITS = SHAPING | {"scikit-learn"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", required=True, type=parse(Recipe), help="a recipe: a YAML file, or JSON")
    parser.add_argument("--seed", required=True, type=int, help="seed of the weights and of the order of the images")
    parser.add_argument("--threads", type=int, help="cores at hand; fewer than the recipe asks for are refused")
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument(
        "--output", required=True, type=Path, help="folder to write; grows as OUTPUT.part until complete"
    )


def run(*, recipe: Recipe, seed: int, threads: int | None, data_root: Path | None, output: Path) -> None:
    settings = recipe.training
    if threads is not None and threads < settings.threads:
        raise InputError(
            f"the recipe trains with {settings.threads} threads, on which the weights depend, and got {threads}; "
            "give Snakemake more cores or change training.threads"
        )
    torch.set_num_threads(settings.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic algorithms need on a GPU
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # On a GPU some layers know no deterministic algorithm; a warning says which.
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=device == "cuda")
    torch.backends.cudnn.benchmark = not settings.deterministic

    images = data.load(recipe.data, "training", data_root, recipe.image_size, settings.threads)
    shaping = SHAPING_DIGITS if recipe.data == "digits" else SHAPING
    # What the weights depend on; a part begun with anything else is thrown away.
    identity = {
        "recipe": asdict(recipe),
        "network": network_identity(recipe, Path()),
        "seed": seed,
        # of images on disk, ids and labels alone: to read them all takes as long as an epoch
        "training_fingerprint": data.fingerprint(images, np.arange(len(images)), pixels=images.pixels is not None),
        "code_digest": provenance.code_digest("steps.train"),
        "versions": {name: version for name, version in provenance.versions().items() if name in shaping},
        "device": device,
    }
    part = output.with_name(f"{output.name}.part")
    with replacement.room_for(output), _alone(output):
        if _is_finished(output, identity):
            return
        if not _is_finished(part, identity):
            _train(recipe, seed, images, data_root, part, identity, device)
        replacement.exchange(part, output)


def _train(
    recipe: Recipe,
    seed: int,
    images: data.Images,
    data_root: Path | None,
    part: Path,
    identity: dict[str, object],
    device: str,
) -> None:
    settings = recipe.training
    held_out = data.load(recipe.data, "held_out", data_root, recipe.image_size, settings.threads)
    training.seed_epoch(seed, 0)
    network = networks.of_recipe(recipe, images)
    state = _resume(part, provenance.digest(identity), network, settings.epochs)
    for reached in training.train(network, images, held_out, settings, seed, state, device):
        names = {f"epoch{reached.epoch}"} | {0: {"init"}, settings.epochs: {"final"}}.get(reached.epoch, set())
        for stage in names & set(recipe.stages):
            (part / f"{stage}.safetensors").write_bytes(save(reached.weights))
        _checkpoint(reached, part, provenance.digest(identity))
        state = reached
    assert state is not None
    _finish(state, part, identity)


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Wait for a training of the same network that outlived a killed Snakemake; then this one finds its weights."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_name(f".{output.name}.lock").open("w") as lock:
        replacement.hold(lock, f"training {output}")
        yield


def _is_finished(output: Path, identity: dict[str, object]) -> bool:
    """Whether the weights are there, by the same recipe, seed, images, code and versions."""
    try:
        content = read_sealed(output / "training.json", "checkpoints")
    except InputError:
        return False
    same = provenance.digest({name: content.get(name) for name in identity}) == provenance.digest(identity)
    return same and all((output / f"{stage}.safetensors").is_file() for stage in content["checkpoints"])


def _resume(part: Path, identity: str, network: torch.nn.Module, epochs: int) -> training.State | None:
    """The state of a training that was interrupted, if it was this one."""
    if (part / CHECKPOINT).is_file():
        written = (part / CHECKPOINT).read_bytes()
        held = io.BytesIO(written)
        try:
            if held.read(DIGEST) != hashlib.sha256(memoryview(written)[DIGEST:]).digest():
                raise ValueError("its bytes are not those that were written")
            content = torch.load(held, weights_only=True, map_location="cpu")
            if content.pop("identity") == identity:
                state = training.State(**content)
                if state.epoch not in range(epochs + 1) or _shapes(state.weights) != _shapes(network.state_dict()):
                    raise ValueError("of another number of epochs or another network")
                print(f"going on after epoch {state.epoch}")
                return state
        except MemoryError:
            raise
        except Exception as error:  # torch names no class for what a damaged file, or one with code in it, raises
            print(f"training from the start: {part / CHECKPOINT} is not a checkpoint of this step ({error})")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return None


def _shapes(weights: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: values.shape for name, values in weights.items()}


def _checkpoint(state: training.State, part: Path, identity: str) -> None:
    """Replace the checkpoint, a digest before what torch writes, in one step: a kill leaves the last one whole."""
    beside = part / f"{CHECKPOINT}.new"
    content = {name: getattr(state, name) for name in ("epoch", "weights", "optimiser", "history")}
    buffer = io.BytesIO()  # torch itself says nothing of a full disk
    torch.save(content | {"identity": identity}, buffer)
    with beside.open("wb") as file:
        file.write(hashlib.sha256(buffer.getbuffer()).digest())
        file.write(buffer.getbuffer())
    beside.replace(part / CHECKPOINT)


def _finish(state: training.State, part: Path, identity: dict[str, object]) -> None:
    with (part / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(state.history[0]))
        writer.writeheader()
        writer.writerows(state.history)
    stages = sorted(part.glob("*.safetensors"))
    content = identity | {
        "held_out_accuracy": state.history[-1]["held_out_accuracy"],
        "checkpoints": {stage.stem: hashlib.sha256(stage.read_bytes()).hexdigest()[:16] for stage in stages},
    }
    write_sealed(content, part / "training.json")
    (part / CHECKPOINT).unlink()
