"""Training of one network from one seed, an epoch at a time.

Every epoch draws from a generator of its own, seeded by (seed, epoch): a training that goes on from the state
after epoch n ends with the same weights as one that was never interrupted. On a CPU the weights are bit-identical
for equal recipe, seed, number of threads, machine type and versions.
"""

import math
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from convergent.augmentation import augmented
from convergent.config import Training
from convergent.data import Images
from convergent.errors import InputError


@dataclass
class State:
    """Everything an epoch leaves to the next."""

    epoch: int
    weights: dict[str, torch.Tensor]
    optimiser: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch for one epoch of one training; epoch 0 is the drawing of the initial weights."""
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]))


def train(
    network: nn.Module,
    images: Images,
    held_out: Images,
    settings: Training,
    seed: int,
    state: State | None = None,
    device: str = "cpu",
) -> Iterator[State]:
    """Train by SGD on the cross entropy and yield the state before the first and after each epoch.

    Parameters
    ----------
    network : with the weights drawn after ``seed_epoch(seed, 0)``; changed in place
    images, held_out : the held-out images are evaluated for the history and never select anything
    settings : of the recipe
    seed : of this training
    state : of an interrupted training, to go on from

    Yields
    ------
    State : a copy; its history has an entry an epoch: learning_rate, loss, accuracy, held_out_loss,
    held_out_accuracy, seconds

    Raises
    ------
    InputError : where a batch of one image is left that the network cannot normalise, and for a loss that is not finite
    """
    _check_smallest_batch(network, images, settings.batch_size)
    on_gpu = device == "cuda"
    # Channels last is how tensor cores compute; on a CPU it is not faster.
    network.to(device, memory_format=torch.channels_last if on_gpu else torch.preserve_format)  # type: ignore[call-overload]
    images, held_out = images.on(device), held_out.on(device)
    optimiser = torch.optim.SGD(
        network.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
    )
    if state is None:
        state = State(0, _weights(network), deepcopy(optimiser.state_dict()))
        yield state
    network.load_state_dict(state.weights)
    optimiser.load_state_dict(deepcopy(state.optimiser))
    history = list(state.history)
    steps = math.ceil(len(images) / settings.batch_size)
    for epoch in range(state.epoch + 1, settings.epochs + 1):
        seed_epoch(seed, epoch)
        started = time.perf_counter()
        network.train()
        loss_sum, correct, seen = 0.0, 0, 0
        batches = torch.randperm(len(images)).split(settings.batch_size)
        with tqdm(batches, desc=f"epoch {epoch}/{settings.epochs}", mininterval=1) as progress:
            for step, (batch, read) in enumerate(zip(progress, images.batches(batches), strict=True)):
                rate = learning_rate(settings, (epoch - 1) * steps + step, settings.epochs * steps)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                labels = images.labels[batch]
                pixels = augmented(read.to(device), settings.augmentation)
                with _autocast(settings, device):
                    logits = network(images.scaled(pixels))
                    loss = nn.functional.cross_entropy(logits, labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                seen += len(batch)
                loss_sum += loss.item() * len(batch)
                correct += int((logits.argmax(1) == labels).sum())
                progress.set_postfix(loss=f"{loss_sum / seen:.4f}", accuracy=f"{correct / seen:.4f}", refresh=False)
        held_out_loss, held_out_accuracy = evaluate(network, held_out, settings.batch_size, device)
        history.append(
            {
                "epoch": epoch,
                "learning_rate": rate,
                "loss": loss_sum / seen,
                "accuracy": correct / seen,
                "held_out_loss": held_out_loss,
                "held_out_accuracy": held_out_accuracy,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
        if not math.isfinite(loss_sum + held_out_loss):
            raise InputError(f"the loss of epoch {epoch} is not finite; lower training.learning_rate")
        yield State(epoch, _weights(network), deepcopy(optimiser.state_dict()), list(history))


def learning_rate(settings: Training, step: int, steps: int) -> float:
    """The learning rate of one step: rising to its peak while it warms up, then as the schedule says."""
    rising = settings.warmup * steps
    if step < rising:
        return settings.learning_rate * (step + 1) / (rising + 1)
    passed = (step - rising) / (steps - rising)
    match settings.schedule:
        case "constant":
            return settings.learning_rate
        case "step":
            return settings.learning_rate * 0.1 ** sum(passed >= share for share in settings.drops)
        case "cosine":
            return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))


def _check_smallest_batch(network: nn.Module, images: Images, size: int) -> None:
    """Refuse a batch of one image where it is too few for a batch normalisation, without computing anything."""
    if len(images) % size != 1 and size != 1:
        return
    alone = torch.empty(1, *images.shape, device="meta")
    try:
        deepcopy(network).to("meta").train()(alone)
    except ValueError as error:
        fits = next((other for other in range(size + 1, len(images)) if len(images) % other != 1), len(images))
        raise InputError(
            f"training.batch_size: of {len(images)} images, {size} at a time, one is alone in the last batch, and the "
            f"network cannot normalise it ({error}); the next size that fits is {fits}"
        ) from None


def _autocast(settings: Training, device: str) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=settings.autocast == "bfloat16")


@torch.no_grad()
def evaluate(network: nn.Module, images: Images, batch_size: int, device: str = "cpu") -> tuple[float, float]:
    """Mean cross entropy and accuracy, in float32."""
    network.eval()
    images = images.on(device)
    loss, correct = 0.0, 0
    batches = torch.arange(len(images)).split(batch_size)
    for batch, pixels in zip(batches, images.batches(batches), strict=True):
        labels = images.labels[batch]
        logits = network(images.scaled(pixels.to(device)))
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(1) == labels).sum())
    return loss / len(images), correct / len(images)


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
