"""Training: bit-identical from a seed, resumed or not, and equal to a plain loop of torch."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convergent import data, networks, training
from convergent.config import Training
from convergent.datasets import NAMED
from convergent.errors import InputError
from convergent.experiments import load_recipe

ROOT = Path(__file__).parents[1]

SETTINGS = Training(epochs=3, batch_size=16, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
AUGMENTED = replace(SETTINGS, augmentation="flip_crop", autocast="bfloat16", warmup=0.2, schedule="step")
NETWORKS = {
    "plain": [nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)],
    "dropout and batch norm": [
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(16, 3),
    ],
}
every_network = pytest.mark.parametrize("kind", NETWORKS)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(size: int, seed: int) -> data.Images:
    """Random images of 4 × 4 pixels; the class is the third of the scale that holds their mean."""
    pixels = torch.randint(0, 256, (size, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    means = pixels.double().mean((1, 2, 3))
    labels = torch.bucketize(means, means.quantile(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)))
    ids = [str(i) for i in range(size)]
    return data.Images(ids, labels, ["low", "middle", "high"], (1, 4, 4), pixels.__getitem__, "digits")


IMAGES, HELD_OUT = images(70, 0), images(30, 1)  # the last batch of an epoch is a small one


def initial(kind: str, seed: int) -> nn.Module:
    training.seed_epoch(seed, 0)
    network = nn.Sequential(*copy.deepcopy(NETWORKS[kind]))
    for module in network:
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return network


def states(
    kind: str = "plain",
    seed: int = 0,
    settings: Training = SETTINGS,
    held_out: data.Images = HELD_OUT,
    resumed: training.State | None = None,
) -> list[training.State]:
    """What a training yields, each as it was at that time."""
    return [copy.deepcopy(s) for s in training.train(initial(kind, seed), IMAGES, held_out, settings, seed, resumed)]


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert torch.equal(values, expected[name]), name


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(not torch.equal(a[name], b[name]) for name in a if name.endswith("weight"))


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in history]


# --- from a seed ---


@every_network
def test_train__gives_identical_weights_from_equal_seeds(kind: str) -> None:
    first, second = states(kind), states(kind)
    for a, b in zip(first, second, strict=True):
        assert_equal(a.weights, b.weights)
    assert timeless(first[-1].history) == timeless(second[-1].history)


def test_train__gives_other_weights_from_another_seed() -> None:
    for a, b in zip(states(seed=0), states(seed=1), strict=True):
        assert differ(a.weights, b.weights)


def test_train__orders_the_images_by_the_seed() -> None:
    ends = [list(training.train(initial("plain", 0), IMAGES, HELD_OUT, SETTINGS, seed))[-1] for seed in (0, 1)]
    assert differ(*(end.weights for end in ends))


@every_network
def test_train__does_not_depend_on_the_global_generator(kind: str) -> None:
    ends = []
    for disturbance in (1, 2):
        network = initial(kind, 0)
        for _ in training.train(network, IMAGES, HELD_OUT, SETTINGS, 0):
            torch.manual_seed(disturbance)
        ends.append(dict(network.state_dict()))
    assert_equal(*ends)


def test_seed_epoch__gives_each_seed_and_epoch_numbers_of_its_own() -> None:
    drawn = []
    for seed in range(4):
        for epoch in range(4):
            training.seed_epoch(seed, epoch)
            drawn.append(torch.rand(1).item())
    assert len(set(drawn)) == 16


def test_train__never_selects_anything_by_the_held_out_images() -> None:
    plain, other = (states(held_out=held_out)[-1] for held_out in (HELD_OUT, images(11, 5)))
    assert_equal(plain.weights, other.weights)
    assert plain.history[-1]["held_out_loss"] != other.history[-1]["held_out_loss"]


# --- resumed ---


@every_network
@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, schedule="constant"), AUGMENTED])
@pytest.mark.parametrize("after", range(SETTINGS.epochs + 1))
def test_train__goes_on_to_the_weights_of_an_uninterrupted_training(kind: str, settings: Training, after: int) -> None:
    whole = states(kind, settings=settings)
    rest = training.train(initial(kind, 9), IMAGES, HELD_OUT, settings, 0, copy.deepcopy(whole[after]))
    for found, expected in zip(list(rest), whole[after + 1 :], strict=True):
        assert found.epoch == expected.epoch
        assert_equal(found.weights, expected.weights)
        assert timeless(found.history) == timeless(expected.history)


def test_train__leaves_the_states_it_yielded_as_they_were() -> None:
    kept = list(training.train(initial("plain", 0), IMAGES, HELD_OUT, SETTINGS, 0))
    for found, expected in zip(kept, states(), strict=True):
        assert_equal(found.weights, expected.weights)
        assert timeless(found.history) == timeless(expected.history)
        momenta = [s.optimiser["state"] for s in (found, expected)]
        torch.testing.assert_close(*momenta, rtol=0, atol=0)


def test_train__leaves_the_state_it_goes_on_from_as_it_was() -> None:
    state = states()[1]
    expected = copy.deepcopy(state)
    list(training.train(initial("plain", 0), IMAGES, HELD_OUT, SETTINGS, 0, state))
    assert_equal(state.weights, expected.weights)
    assert state.history == expected.history
    torch.testing.assert_close(state.optimiser["state"], expected.optimiser["state"], rtol=0, atol=0)


# --- against a plain loop ---


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_train__is_sgd_on_the_cross_entropy(schedule: str) -> None:
    settings = Training(**(vars(SETTINGS) | {"schedule": schedule}))
    network = initial("dropout and batch norm", 0)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    steps = settings.epochs * 5
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(1, settings.epochs + 1):
        training.seed_epoch(0, epoch)
        for batch in torch.randperm(70).split(16):
            optimiser.zero_grad()
            logits = network(IMAGES.normalised(batch))
            nn.functional.nll_loss(logits.log_softmax(1), IMAGES.labels[batch]).backward()
            optimiser.step()
            if schedule == "cosine":
                falling.step()
    found = states("dropout and batch norm", settings=settings)[-1].weights
    torch.testing.assert_close(found, dict(network.state_dict()), rtol=1e-4, atol=1e-6)


def test_train__has_one_entry_of_history_an_epoch() -> None:
    yielded = states()
    assert [state.epoch for state in yielded] == [0, 1, 2, 3]
    assert [len(state.history) for state in yielded] == [0, 1, 2, 3]
    names = ["epoch", "learning_rate", "loss", "accuracy", "held_out_loss", "held_out_accuracy", "seconds"]
    for epoch, entry in enumerate(yielded[-1].history, start=1):
        assert list(entry) == names
        assert entry["epoch"] == epoch
        assert entry["learning_rate"] == training.learning_rate(SETTINGS, epoch * 5 - 1, 15)
        assert 0 <= entry["accuracy"] <= 1
        assert entry["seconds"] > 0
    first, *_, last = yielded[-1].history
    assert last["loss"] < first["loss"]
    assert last["accuracy"] > first["accuracy"]


def test_train__reports_means_over_all_images_of_the_epoch() -> None:
    """Without steps to speak of, the loss of an epoch is that of the initial network on all its images."""
    settings = Training(epochs=1, batch_size=16, learning_rate=1e-12)
    entry = states(settings=settings)[-1].history[0]
    for prefix, split in {"": IMAGES, "held_out_": HELD_OUT}.items():
        loss, accuracy = training.evaluate(initial("plain", 0), split, 1000)
        assert entry[f"{prefix}loss"] == pytest.approx(loss, rel=1e-5)
        assert entry[f"{prefix}accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@every_network
def test_evaluate__is_the_mean_over_images_whatever_the_batches(kind: str, batch_size: int) -> None:
    network = initial(kind, 0)
    loss, accuracy = training.evaluate(network.train(), HELD_OUT, batch_size)
    logits = network.eval()(HELD_OUT.normalised(torch.arange(30))).detach().double().numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(30), HELD_OUT.labels]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == HELD_OUT.labels.numpy()).mean())


# --- the learning rate ---


def test_learning_rate__follows_half_a_cosine() -> None:
    rates = np.array([training.learning_rate(SETTINGS, step, 100) for step in range(100)])
    np.testing.assert_allclose(rates, 0.1 * np.cos(np.pi * np.arange(100) / 200) ** 2, rtol=1e-12)
    assert (np.diff(rates) < 0).all()
    assert rates[0] == 0.1
    assert rates[50] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-3 * rates[0]


def test_learning_rate__stays_where_it_is_constant() -> None:
    settings = replace(SETTINGS, schedule="constant")
    assert {training.learning_rate(settings, step, 100) for step in range(100)} == {0.1}


@pytest.mark.parametrize(
    ("drops", "steps"),
    [({}, [50, 25, 25]), ({"drops": (0.2,)}, [20, 80]), ({"drops": (0.9, 0.1, 0.3)}, [10, 20, 60, 10])],
)
def test_learning_rate__falls_to_a_tenth_at_each_drop(drops: dict[str, tuple[float, ...]], steps: list[int]) -> None:
    settings = replace(SETTINGS, schedule="step", **drops)
    rates = [training.learning_rate(settings, step, 100) for step in range(100)]
    np.testing.assert_allclose(rates, np.repeat(0.1 ** np.arange(1, len(steps) + 1), steps), rtol=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_learning_rate__rises_to_its_peak_while_it_warms_up(schedule: str) -> None:
    settings, plain = (replace(SETTINGS, schedule=schedule, warmup=warmup) for warmup in (0.2, 0.0))
    rates = [training.learning_rate(settings, step, 100) for step in range(100)]
    np.testing.assert_allclose(rates[:21], 0.1 * np.arange(1, 22) / 21, rtol=1e-12)
    np.testing.assert_allclose(rates[20:], [training.learning_rate(plain, step, 80) for step in range(80)], rtol=1e-9)


@pytest.mark.parametrize("name", ["cifar_vgg11", "cifar_vgg16", "cifar_resnet34"])
def test_recipes__of_wang2018_are_theirs(name: str) -> None:
    """arXiv 1810.11750 and its code: 160 epochs in batches of 128, the rate divided by ten after 80 and 120."""
    settings = load_recipe(ROOT / "config" / "networks" / f"{name}.yaml").training
    steps = math.ceil(50_000 / settings.batch_size)
    rates = [training.learning_rate(settings, epoch * steps, settings.epochs * steps) for epoch in range(160)]
    np.testing.assert_allclose(rates, np.repeat([0.1, 0.01, 0.001], [80, 40, 40]), rtol=1e-12)
    found = settings.epochs, settings.batch_size, settings.momentum, settings.weight_decay, settings.augmentation
    assert found == (160, 128, 0.9, 5e-4, "flip_crop")


def test_recipes__of_li2016_are_theirs() -> None:
    """arXiv 1511.07543, as Caffe's: 450 000 steps of 256 images, the rate divided by ten every 100 000."""
    settings = load_recipe(ROOT / "config" / "networks" / "caffenet.yaml").training
    steps = settings.epochs * math.ceil(NAMED["imagenet"].training / settings.batch_size)
    assert steps == pytest.approx(450_000, rel=2e-3)
    rates = [training.learning_rate(settings, step, steps) for step in range(50_000, 450_000, 100_000)]
    np.testing.assert_allclose(rates, [1e-2, 1e-3, 1e-4, 1e-5], rtol=1e-12)
    falls = [training.learning_rate(settings, step - 1, steps) for step in range(100_000, 500_000, 100_000)]
    np.testing.assert_allclose(falls, rates, rtol=1e-12)
    assert (settings.batch_size, settings.momentum, settings.weight_decay) == (256, 0.9, 5e-4)


# --- what is shown, and how it is computed ---


def test_train__shows_augmented_images_and_evaluates_on_those_that_are_not() -> None:
    plain, flipped = (
        states(settings=replace(SETTINGS, epochs=1, augmentation=how))[-1] for how in ("none", "flip_crop")
    )
    assert differ(plain.weights, flipped.weights)
    network = initial("plain", 0)
    network.load_state_dict(flipped.weights)
    assert training.evaluate(network, HELD_OUT, 8)[0] == pytest.approx(flipped.history[-1]["held_out_loss"])


def test_train__multiplies_in_bfloat16_and_keeps_weights_in_float32() -> None:
    plain, mixed = (states(settings=replace(SETTINGS, autocast=how)) for how in ("none", "bfloat16"))
    assert_equal(plain[0].weights, mixed[0].weights)
    assert differ(plain[-1].weights, mixed[-1].weights)
    for name, values in mixed[-1].weights.items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, plain[-1].weights[name], rtol=0.1, atol=0.02)


# --- what goes wrong, and what is reached ---


@pytest.mark.parametrize("batch_size", [16, len(IMAGES)])
def test_train__raises_where_the_loss_is_not_finite(batch_size: int) -> None:
    """Also where only the last step spoiled the weights, after the last loss of the training images."""
    settings = Training(epochs=1, batch_size=batch_size, learning_rate=1e30)
    yielded = training.train(initial("plain", 0), IMAGES, HELD_OUT, settings, 0)
    assert next(yielded).epoch == 0
    with pytest.raises(InputError, match=r"the loss of epoch 1 is not finite; lower training\.learning_rate"):
        next(yielded)


@pytest.mark.parametrize(("batch_size", "fits"), [(23, 24), (69, 70), (1, 2)])
def test_train__refuses_a_batch_of_one_image_that_is_not_to_be_normalised(batch_size: int, fits: int) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    settings = replace(SETTINGS, batch_size=batch_size)
    told = rf"training\.batch_size: of 70 images, {batch_size} at a time, one is alone .+; the next .+ fits is {fits}"
    with pytest.raises(InputError, match=rf"\A{told}\Z"):
        next(training.train(network, IMAGES, HELD_OUT, settings, 0))
    *_, state = training.train(network, IMAGES, HELD_OUT, replace(settings, batch_size=fits, epochs=1), 0)
    assert state.epoch == 1


@every_network
def test_train__takes_a_batch_of_one_image_where_it_can(kind: str) -> None:
    """A normalisation over positions has enough of them in one image."""
    assert len(IMAGES) % 23 == 1
    *_, state = training.train(initial(kind, 0), IMAGES, HELD_OUT, replace(SETTINGS, batch_size=23, epochs=1), 0)
    assert state.epoch == 1


def test_train__learns_the_digits() -> None:
    settings = Training(epochs=6, batch_size=32, learning_rate=0.05, momentum=0.9, weight_decay=0.0005)
    training.seed_epoch(0, 0)
    network = networks.convnet(10, 1)
    digits, held_out = (data.load("digits", split) for split in ("training", "held_out"))
    *_, state = training.train(network, digits, held_out, settings, 0)
    assert state.history[-1]["held_out_accuracy"] > 0.97
    assert math.isclose(state.history[-1]["learning_rate"], 0, abs_tol=1e-4)
