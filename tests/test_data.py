"""The data sets: splits, identities, pixels, and the choice of the probe."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from convergent import config, data
from convergent.errors import InputError

SPLITS = ("training", "held_out")
GREY, WIDE, TALL = (8, 8), (6, 12, 3), (15, 5, 3)  # y, x and channels of the images written here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set `shapes` of two classes: for each, a grey PNG, a wide JPEG and a tall PNG."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for class_name in ("circle", "square"):
            place = tmp_path / "shapes" / split / class_name
            place.mkdir(parents=True)
            for name, shape in {"a.png": GREY, "b.jpg": WIDE, "c.png": TALL}.items():
                Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(place / name)
    return tmp_path


def every(images: data.Images) -> torch.Tensor:
    """All images: uint8[image, channel, y, x]."""
    return images.read(torch.arange(len(images)))


# --- digits ---


def test_load__splits_the_digits_into_disjoint_parts_of_all_images() -> None:
    training, held_out = (data.load("digits", split) for split in SPLITS)
    assert (len(training), len(held_out)) == (1297, 500)
    assert sorted(training.ids + held_out.ids) == [f"{i:04d}" for i in range(1797)]


def test_load__stratifies_the_digits() -> None:
    shares = [data.load("digits", split).labels.bincount() / len(data.load("digits", split)) for split in SPLITS]
    torch.testing.assert_close(*shares, rtol=0, atol=0.002)


@pytest.mark.parametrize("split", SPLITS)
def test_load__keeps_the_pixels_and_labels_of_each_digit(split: data.Split) -> None:
    values, labels = load_digits(return_X_y=True)
    images = data.load("digits", split)
    order = [int(i) for i in images.ids]
    found = every(images)
    assert found.dtype == torch.uint8
    assert images.shape == found.shape[1:] == (1, 8, 8)
    assert (found.min(), found.max()) == (0, 255)
    np.testing.assert_allclose(found.reshape(-1, 64) / 255, values[order] / 16, atol=0.5 / 255)
    np.testing.assert_array_equal(images.labels, labels[order])
    assert images.class_names == list("0123456789")


def test_load__gives_equal_digits_each_time() -> None:
    first, second = (data.load("digits", "held_out") for _ in range(2))
    assert first.ids == second.ids
    assert torch.equal(every(first), every(second))


def test_normalised__has_zero_mean_and_unit_variance() -> None:
    images = data.load("digits", "training")
    pixels = images.normalised(torch.arange(len(images)))
    assert pixels.dtype == torch.float32
    assert abs(pixels.mean()) < 0.01
    assert abs(pixels.std() - 1) < 0.01


def test_normalised__scales_each_channel_by_its_own_numbers() -> None:
    pixels = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    for name in ("cifar10", "a_folder"):
        images = data.Images(["a"], torch.tensor([0]), ["a"], (3, 2, 2), pixels.__getitem__, name)
        mean, std = data.CHANNELS.get(name, data.CHANNELS["folder"])
        expected = torch.tensor([(1 - m) / s for m, s in zip(mean, std, strict=True)])
        torch.testing.assert_close(images.normalised(torch.tensor([0]))[0, :, 1, 1], expected)


# --- CIFAR-10 ---


@pytest.mark.parametrize(("split", "prefix", "size"), [("training", "train", 50_000), ("held_out", "test", 10_000)])
def test_load__reads_cifar10(data_root: Path, split: data.Split, prefix: str, size: int) -> None:
    images = data.load("cifar10", split, data_root)
    assert len(images) == len(set(images.ids)) == size
    assert (images.ids[0], images.ids[-1]) == (f"{prefix}/00000", f"{prefix}/{size - 1:05d}")
    assert images.class_names[:2] == ["airplane", "automobile"]
    assert images.labels.bincount().tolist() == [size // 10] * 10
    some = torch.arange(0, size, 7)
    assert images.read(some).shape == (len(some), *images.shape) == (len(some), 3, 32, 32)
    mean, std = data.CHANNELS["cifar10"]
    pixels = images.read(some) / 255
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.tensor(mean), rtol=0, atol=0.01)
    torch.testing.assert_close(pixels.std((0, 2, 3)), torch.tensor(std), rtol=0, atol=0.01)


def test_load__keeps_the_pixels_and_labels_of_cifar10(data_root: Path) -> None:
    """The files hold rows of 32 × 32 red, then green, then blue values."""
    content = pickle.loads((data_root / "cifar-10-batches-py" / "test_batch").read_bytes(), encoding="latin1")
    images = data.load("cifar10", "held_out", data_root)
    np.testing.assert_array_equal(images.read(torch.arange(50)), content["data"][:50].reshape(-1, 3, 32, 32))
    assert images.labels.tolist() == content["labels"]


def test_load__refuses_absent_cifar10(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^cifar10: {tmp_path}/cifar-10-batches-py is absent or damaged; .+$"):
        data.load("cifar10", "held_out", tmp_path)


@pytest.mark.parametrize("damaged", ["test_batch", "batches.meta"])
def test_load__refuses_damaged_cifar10(data_root: Path, tmp_path: Path, damaged: str) -> None:
    shutil.copytree(data_root, tmp_path, dirs_exist_ok=True, copy_function=lambda a, b: Path(b).symlink_to(a))
    file = tmp_path / "cifar-10-batches-py" / damaged
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="absent or damaged"):
        data.load("cifar10", "held_out", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "shapes"])
def test_load__names_the_variable_where_no_root_is_given(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: set CONVERGENT_DATA "):
        data.load(name, "training")


# --- a folder of images ---


@pytest.mark.parametrize("split", SPLITS)
def test_load__reads_a_folder_of_images(folder: Path, split: data.Split) -> None:
    images = data.load("shapes", split, folder, image_size=4)
    assert images.ids == [f"{c}/{name}" for c in ("circle", "square") for name in ("a.png", "b.jpg", "c.png")]
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.class_names == ["circle", "square"]
    found = every(images)
    assert found.dtype == torch.uint8
    assert found.shape == (6, *images.shape) == (6, 3, 4, 4)


def test_load__makes_grey_images_three_equal_channels(folder: Path) -> None:
    images = data.load("shapes", "training", folder, image_size=GREY[0])
    grey = np.asarray(Image.open(folder / "shapes" / "train" / "circle" / "a.png"))
    np.testing.assert_array_equal(images.read(torch.tensor([0]))[0], np.broadcast_to(grey, (3, *GREY)))


@pytest.mark.parametrize(("index", "name", "shape"), [(1, "b.jpg", WIDE), (2, "c.png", TALL)])
def test_load__crops_the_centre_of_an_image_that_is_no_square(
    folder: Path, index: int, name: str, shape: tuple[int, int, int]
) -> None:
    side = min(shape[:2])  # at its own size only the crop is left
    y, x = ((length - side) // 2 for length in shape[:2])
    pixels = np.asarray(Image.open(folder / "shapes" / "test" / "circle" / name))[y : y + side, x : x + side]
    images = data.load("shapes", "held_out", folder, image_size=side)
    np.testing.assert_array_equal(images.read(torch.tensor([index]))[0], pixels.transpose(2, 0, 1))


def test_load__needs_an_image_size_for_a_folder(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^shapes: a folder of images needs image_size in the recipe$"):
        data.load("shapes", "training", folder)


@pytest.mark.parametrize("missing", ["", "train", "train/circle/*"])
def test_load__names_the_folder_that_holds_no_images(folder: Path, missing: str) -> None:
    for path in sorted((folder / "shapes").glob(missing or "*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=rf"^shapes: {folder}/shapes/train needs a folder of images .+$"):
        data.load("shapes", "training", folder, image_size=4)


def test_load__refuses_classes_that_differ_between_the_splits(folder: Path) -> None:
    """Labels are places in the sorted list of classes: with one class less they would mean another class."""
    shutil.rmtree(folder / "shapes" / "test" / "circle")
    with pytest.raises(InputError, match="circle"):
        data.load("shapes", "held_out", folder, image_size=4)


# --- the probe ---


def test_choose_probe__chooses_distinct_images_by_the_seed() -> None:
    first, again, other = (data.choose_probe(500, 120, seed) for seed in (0, 0, 1))
    assert len(set(first)) == len(first) == 120
    assert first.min() >= 0
    assert first.max() < 500
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


def test_choose_probe__shuffles_all_images_where_all_are_asked_for() -> None:
    chosen = data.choose_probe(50, 50, 0)
    assert sorted(chosen) == list(range(50))
    assert (chosen != np.arange(50)).any()


def test_choose_probe__refuses_more_images_than_there_are() -> None:
    with pytest.raises(InputError, match=r"^probe\.images: 501 is more than the 500 held-out images$"):
        data.choose_probe(500, 501, 0)


def test_fingerprint__is_that_of_equal_images() -> None:
    images, chosen = data.load("digits", "held_out"), np.arange(300)
    found = data.fingerprint(images, chosen)
    assert found == data.fingerprint(data.load("digits", "held_out"), chosen.copy())
    assert len(found) == 16


@pytest.mark.parametrize("changed", ["pixel", "label", "id", "order", "one less"])
@pytest.mark.parametrize("where", [0, 299])  # in the first and in the last block that is digested
def test_fingerprint__changes_with(changed: str, where: int) -> None:
    images, chosen = data.load("digits", "held_out"), np.arange(300)
    expected = data.fingerprint(images, chosen)
    pixels, labels, ids = every(images).clone(), images.labels.clone(), list(images.ids)
    match changed:
        case "pixel":
            pixels[where, 0, 3, 3] += 1
        case "label":
            labels[where] += 1
        case "id":
            ids[where] += "0"
        case "order":
            chosen[[where, 150]] = chosen[[150, where]]
        case "one less":
            chosen = np.delete(chosen, where)
    assert data.fingerprint(replace(images, ids=ids, labels=labels, read=pixels.__getitem__), chosen) != expected


def test_held_out__agrees_with_the_configuration(data_root: Path) -> None:
    """`config` knows the sizes without importing what reads the images."""
    assert {name: len(data.load(name, "held_out", data_root)) for name in config.HELD_OUT} == config.HELD_OUT
