"""The data sets: splits, identities, pixels, and the choice of the probe."""

import hashlib
import pickle
import shutil
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets.imagenet
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR100

from convergent import data
from convergent.datasets import NAMED
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


# --- CIFAR-100, Fashion-MNIST, ImageNet: small files in their real formats ---


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, np.ndarray]]:
    """Its pickles, below `tmp_path`, of a few images: rows of 32 × 32 red, then green, then blue values."""
    folder, generator = tmp_path / "cifar-100-python", np.random.default_rng(0)
    folder.mkdir()
    content = {
        name: {
            "data": generator.integers(0, 256, (size, 3072), dtype=np.uint8),
            "fine_labels": generator.integers(0, 100, size).tolist(),
        }
        for name, size in {"train": 12, "test": 7}.items()
    }
    names = {"fine_label_names": [f"class {i:02d}" for i in range(100)]}
    for name, values in (content | {"meta": names}).items():
        (folder / name).write_bytes(pickle.dumps(values))
    for name in ("train", "test"):
        monkeypatch.setattr(CIFAR100, f"{name}_list", [[name, md5(folder / name)]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": md5(folder / "meta")})
    return content


@pytest.mark.parametrize(("split", "name"), [("training", "train"), ("held_out", "test")])
def test_load__reads_cifar100(tmp_path: Path, cifar100: dict[str, Any], split: data.Split, name: str) -> None:
    images = data.load("cifar100", split, tmp_path)
    np.testing.assert_array_equal(every(images), cifar100[name]["data"].reshape(-1, 3, 32, 32))
    assert images.labels.tolist() == cifar100[name]["fine_labels"]
    assert (images.class_names[:2], len(images.class_names)) == (["class 00", "class 01"], 100)
    assert images.ids[:2] == [f"{name}/00000", f"{name}/00001"]


def idx(values: np.ndarray) -> bytes:
    """The format of MNIST: two zeros, the type, the number of dimensions, their sizes, the values."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


@pytest.fixture
def fashion_mnist(tmp_path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Its four files, below `tmp_path`, of a few images."""
    folder, generator = tmp_path / "FashionMNIST" / "raw", np.random.default_rng(0)
    folder.mkdir(parents=True)
    content = {}
    for name, size in {"train": 9, "t10k": 5}.items():
        pixels = generator.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = generator.integers(0, 10, size, dtype=np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
        content[name] = (pixels, labels)
    return content


@pytest.mark.parametrize(("split", "name"), [("training", "train"), ("held_out", "t10k")])
def test_load__reads_fashion_mnist(tmp_path: Path, fashion_mnist: dict[str, Any], split: data.Split, name: str) -> None:
    images, (pixels, labels) = data.load("fashion_mnist", split, tmp_path), fashion_mnist[name]
    np.testing.assert_array_equal(every(images), pixels[:, None])
    np.testing.assert_array_equal(images.labels, labels)
    assert images.shape == (1, 28, 28)
    assert images.class_names[0] == "T-shirt/top"


@pytest.mark.parametrize("damage", ["cut", "fewer labels", "another label", "empty"])
def test_load__refuses_damaged_fashion_mnist(tmp_path: Path, fashion_mnist: dict[str, Any], damage: str) -> None:
    labels = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    known = fashion_mnist["t10k"][1]
    damaged = {
        "cut": labels.read_bytes()[:-1],
        "fewer labels": idx(known[:-1]),
        "another label": idx(np.where(known == known.max(), np.uint8(10), known)),
        "empty": b"",
    }
    labels.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"^fashion_mnist: .+ is absent or damaged"):
        data.load("fashion_mnist", "held_out", tmp_path)


@pytest.mark.parametrize("name", ["cifar100", "fashion_mnist"])
def test_load__says_what_to_put_where(tmp_path: Path, name: str) -> None:
    kind, place = data.SMALL[name]
    with pytest.raises(InputError) as caught:
        data.load(name, "held_out", tmp_path)
    call = f"torchvision.datasets.{kind.__name__}('{tmp_path}', download=True)"
    assert (
        str(caught.value)
        == f"{name}: {tmp_path / place} is absent or damaged; put it there, or have it loaded by {call}"
    )


SYNSETS = {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish, Carassius auratus", "n02012849": "crane"}


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its development kit and folders, below `tmp_path`, of three classes; the first image of each is half as high."""
    root, kit = tmp_path / "imagenet", tmp_path / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    kinds = [("ILSVRC2012_ID", int), ("WNID", object), ("words", object), ("gloss", object), ("num_children", int)]
    rows = [(i, wnid, words, "", 0) for i, (wnid, words) in enumerate(SYNSETS.items(), 1)]
    scipy.io.savemat(kit / "meta.mat", {"synsets": np.array([*rows, (4, "n00001740", "entity", "", 3)], dtype=kinds)})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n3\n")
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for wnid in SYNSETS:
            (root / part / wnid).mkdir(parents=True)
            for i, y in enumerate((16, 32)):
                image = Image.fromarray(generator.integers(0, 256, (y, 32, 3), dtype=np.uint8))
                image.save(root / part / wnid / f"ILSVRC2012_{part}_{i:08d}.JPEG")
    with tarfile.open(root / data.DEVKIT, "w:gz") as archive:
        archive.add(kit.parent, kit.parent.name)
    shutil.rmtree(kit.parent)
    monkeypatch.setitem(torchvision.datasets.imagenet.ARCHIVE_META, "devkit", (data.DEVKIT, md5(root / data.DEVKIT)))
    return root


@pytest.mark.parametrize(("split", "part"), [("training", "train"), ("held_out", "val")])
def test_load__reads_imagenet(tmp_path: Path, imagenet: Path, split: data.Split, part: str) -> None:
    images = data.load("imagenet", split, tmp_path, image_size=28)
    assert images.class_names == list(SYNSETS.values())
    assert images.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert images.ids[1] == f"n01440764/ILSVRC2012_{part}_00000001.JPEG"
    pixels = np.asarray(Image.open(imagenet / part / images.ids[1]))[2:30, 2:30]  # 32 = 28 · 256 / 224
    np.testing.assert_array_equal(images.read(torch.tensor([1]))[0], pixels.transpose(2, 0, 1))
    assert every(images).shape == (6, 3, 28, 28)


@pytest.mark.parametrize("missing", ["val", data.DEVKIT])
def test_load__says_what_imagenet_lacks(tmp_path: Path, imagenet: Path, missing: str) -> None:
    path = imagenet / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=rf"^imagenet: {imagenet} needs {data.DEVKIT}, and train and val "):
        data.load("imagenet", "held_out", tmp_path, image_size=28)
    assert missing == "val" or not (imagenet / "meta.bin").exists()


def test_load__refuses_a_damaged_kit_of_imagenet(tmp_path: Path, imagenet: Path) -> None:
    with (imagenet / data.DEVKIT).open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match=rf"^imagenet: {imagenet}: The archive .+ corrupted"):
        data.load("imagenet", "held_out", tmp_path, image_size=28)


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


def test_load__decodes_equal_images_by_any_number_of_threads(folder: Path) -> None:
    one, three = (data.load("shapes", "held_out", folder, image_size=5, threads=threads) for threads in (1, 3))
    assert torch.equal(every(one), every(three))


def test_read__leaves_no_threads(folder: Path) -> None:
    before = threading.active_count()
    images = data.load("shapes", "held_out", folder, image_size=5, threads=3)
    assert len(every(images)) == len(images)
    assert threading.active_count() == before


@pytest.mark.parametrize("damage", [b"", b"no image", "cut off"])
@pytest.mark.parametrize("name", ["a.png", "b.jpg"])
def test_read__names_a_file_that_is_no_image(folder: Path, name: str, damage: bytes | str) -> None:
    path = folder / "shapes" / "test" / "square" / name
    path.write_bytes(path.read_bytes()[:-40] if isinstance(damage, str) else damage)
    images = data.load("shapes", "held_out", folder, image_size=4)
    with pytest.raises(InputError, match=rf"^shapes: {path} cannot be read as an image \(.+\)$"):
        every(images)


@pytest.mark.parametrize(("dtype", "suffix", "mode"), [(np.uint16, "png", "I;16"), (np.float32, "tiff", "F")])
def test_read__refuses_more_than_8_bits_a_channel(folder: Path, dtype: Any, suffix: str, mode: str) -> None:
    """Pillow would cut all above 255 off."""
    path = folder / "shapes" / "test" / "square" / f"z.{suffix}"
    Image.fromarray(np.arange(64, dtype=dtype).reshape(8, 8) * 1000).save(path)
    images = data.load("shapes", "held_out", folder, image_size=4)
    with pytest.raises(
        InputError, match=rf"^shapes: {path} cannot be read as an image \(mode {mode}, more than 8 bits"
    ):
        every(images)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_batches__are_what_is_read_for_each(folder: Path, name: str) -> None:
    images = data.load(name, "held_out", folder, image_size=4)
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).split(4)
    found = list(images.batches(chosen))
    assert len(found) == len(chosen)
    assert all(torch.equal(pixels, images.read(batch)) for pixels, batch in zip(found, chosen, strict=True))


def test_batches__reads_one_batch_ahead(folder: Path) -> None:
    """And no more: what is read ahead is held."""
    begun = [threading.Event() for _ in range(4)]

    def read(batch: torch.Tensor) -> torch.Tensor:
        begun[int(batch)].set()
        return batch

    images = replace(data.load("shapes", "held_out", folder, image_size=4), read=read)
    batches = images.batches(torch.arange(4).split(1))
    assert next(batches) == 0
    assert begun[1].wait(10)
    assert not begun[2].is_set()
    assert [int(batch) for batch in batches] == [1, 2, 3]


def test_load__needs_an_image_size_for_a_folder(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^shapes: images of many sizes need image_size in the recipe$"):
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


def test_fingerprint__without_pixels_is_that_of_ids_and_labels() -> None:
    images, chosen = data.load("digits", "held_out"), np.arange(300)
    found = data.fingerprint(images, chosen, pixels=False)
    assert found == data.fingerprint(
        replace(images, read=torch.zeros_like(every(images)).__getitem__), chosen, pixels=False
    )
    labels = images.labels.clone()
    labels[299] += 1
    assert found != data.fingerprint(replace(images, labels=labels), chosen, pixels=False)
    assert found != data.fingerprint(images, chosen)


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_named__tells_what_the_files_hold(data_root: Path, name: str) -> None:
    known = NAMED[name]
    training, held_out = (data.load(name, split, data_root) for split in SPLITS)
    assert (len(training), len(held_out)) == (known.training, known.held_out)
    assert (held_out.shape, len(held_out.class_names)) == (known.shape, known.classes)
    assert {len(text) for text in held_out.ids} == {known.image_id}
    assert abs(np.mean([len(text) for text in held_out.class_names]) - known.class_name) < 1


@pytest.mark.parametrize("name", data.SMALL)
def test_named__lies_where_torchvision_looks(name: str) -> None:
    kind, place = data.SMALL[name]
    assert (NAMED[name].place, NAMED[name].torchvision) == (place, kind.__name__)
