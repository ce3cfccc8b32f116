"""Images and labels, split into training and held-out, read on demand as uint8.

``digits`` (scikit-learn) ships with a dependency; all others are read through torchvision below a root folder and
never downloaded. Imports nothing of the floor but `errors`: its digest decides whether networks are trained again.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST, ImageFolder, ImageNet
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

from convergent.errors import InputError

Split = Literal["training", "held_out"]

# Mean and standard deviation of each channel on the scale 0–1; a folder of images gets ImageNet's.
CHANNELS = {
    "digits": ((0.305,), (0.376,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.267, 0.256, 0.276)),
    "fashion_mnist": ((0.286,), (0.353,)),
    "folder": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
DIGITS_HELD_OUT = 500
# Data sets of torchvision that fit into memory, and their folder below the root.
SMALL: dict[str, tuple[Any, str]] = {
    "cifar10": (CIFAR10, CIFAR10.base_folder),
    "cifar100": (CIFAR100, CIFAR100.base_folder),
    "fashion_mnist": (FashionMNIST, "FashionMNIST"),
}
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
SHORT_SIDE = 256 / 224  # of images of ImageNet before the crop, as networks for it are evaluated


@dataclass(frozen=True)
class Images:
    """One split of a data set.

    Attributes
    ----------
    ids : stable identifiers, one an image
    labels : int64[image]
    class_names : name of each label
    shape : channel, y, x of one image
    read : indices → uint8[image, channel, y, x]
    data : the data set
    pixels : uint8[image, channel, y, x], all of them, where they fit into memory
    """

    ids: list[str]
    labels: torch.Tensor
    class_names: list[str]
    shape: tuple[int, int, int]
    read: Callable[[torch.Tensor], torch.Tensor]
    data: str
    pixels: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def normalised(self, indices: torch.Tensor) -> torch.Tensor:
        """float32[image, channel, y, x], each channel of about zero mean and unit variance."""
        return self.scaled(self.read(indices))

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """The same of uint8[image, channel, y, x], on their device."""
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None]
            for values in CHANNELS.get(self.data, CHANNELS["folder"])
        )
        return (pixels.to(torch.float32) / 255 - mean) / std

    def batches(self, indices: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """What `read` gives for each; of images on disk, the next are read while one batch is used."""
        if self.pixels is not None:
            yield from map(self.read, indices)
            return
        coming: deque[Future[torch.Tensor]] = deque()
        with ThreadPoolExecutor(1) as reader:
            for batch in indices:
                coming.append(reader.submit(self.read, batch))
                if len(coming) > 1:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def on(self, device: str) -> "Images":
        """The same images with what of them is in memory on a device."""
        if self.pixels is None:
            return replace(self, labels=self.labels.to(device))
        pixels = self.pixels.to(device)
        return replace(self, labels=self.labels.to(device), pixels=pixels, read=pixels.__getitem__)


def load(data: str, split: Split, root: Path | None = None, image_size: int | None = None, threads: int = 1) -> Images:
    """Open one split of a data set.

    Parameters
    ----------
    data : ``digits``, ``cifar10``, ``cifar100``, ``fashion_mnist``, ``imagenet`` (held out is its validation set), or a
        folder below `root` with ``train/{class}/`` and ``test/{class}/``
    split : ``training`` or ``held_out``
    root : the folder of data sets, not needed for digits
    image_size : side in pixels, for ImageNet and a folder of images
    threads : that decode the images of these two

    Raises
    ------
    InputError : if the files are not there, naming what belongs where; on reading, if one is no image
    """
    if data == "digits":
        return _digits(split)
    if root is None:
        raise InputError(f"{data}: set CONVERGENT_DATA to the folder that holds the data sets")
    if data in SMALL:
        return _small(data, split, root)
    if data == "imagenet":
        return _imagenet(split, root / data, image_size, threads)
    return _folder(data, split, root, image_size, threads)


def choose_probe(size: int, images: int, seed: int) -> np.ndarray:
    """Indices of the probe: `images` of `size` held-out images, without replacement, shuffled."""
    if images > size:
        raise InputError(f"probe.images: {images} is more than the {size} held-out images")
    return np.random.default_rng(seed).permutation(size)[:images]


def fingerprint(images: Images, indices: np.ndarray, *, pixels: bool = True) -> str:
    """Digest of the ids, labels and pixels of some images, in order; or without the pixels."""
    state = hashlib.sha256()
    for start in range(0, len(indices), 256):
        chosen = torch.from_numpy(indices[start : start + 256])
        state.update("\n".join(images.ids[i] for i in chosen).encode())
        state.update(images.labels[chosen].numpy().tobytes())
        if pixels:
            state.update(images.read(chosen).numpy().tobytes())
    return state.hexdigest()[:16]


def _digits(split: Split) -> Images:
    values, labels = load_digits(return_X_y=True)
    training, held_out = train_test_split(
        np.arange(len(labels)), test_size=DIGITS_HELD_OUT, random_state=0, stratify=labels
    )
    chosen = training if split == "training" else held_out
    pixels = np.round(values[chosen] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return _in_memory("digits", [f"{i:04d}" for i in chosen], pixels, labels[chosen], [str(d) for d in range(10)])


def _small(data: str, split: Split, root: Path) -> Images:
    kind, place = SMALL[data]
    try:
        dataset = kind(root, train=split == "training", download=False)
        labels = np.asarray(dataset.targets)
        if len(dataset.data) != len(labels) or not 0 <= labels.min() <= labels.max() < len(dataset.classes):
            raise ValueError
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError):  # what torchvision says of damage
        call = f"torchvision.datasets.{kind.__name__}({str(root)!r}, download=True)"
        raise InputError(
            f"{data}: {root / place} is absent or damaged; put it there, or have it loaded by {call}"
        ) from None
    pixels = np.asarray(dataset.data)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    ids = [f"{'train' if split == 'training' else 'test'}/{i:05d}" for i in range(len(dataset))]
    return _in_memory(data, ids, pixels, labels, dataset.classes)


def _imagenet(split: Split, root: Path, image_size: int | None, threads: int) -> Images:
    part = "train" if split == "training" else "val"
    if not (root / part).is_dir() or not any((root / name).is_file() for name in (DEVKIT, "meta.bin")):
        raise InputError(
            f"imagenet: {root} needs {DEVKIT}, and train and val with a folder for each class; "
            "torchvision.datasets.ImageNet unpacks the archives so"
        )
    try:
        dataset = ImageNet(str(root), split=part, loader=_rgb)
    except (RuntimeError, OSError) as error:
        raise InputError(f"imagenet: {root}: {' '.join(str(error).split())}") from None
    names = [", ".join(words) for words in dataset.classes]
    return _on_disk("imagenet", dataset, root / part, names, image_size, SHORT_SIDE, threads)


def _folder(data: str, split: Split, root: Path, image_size: int | None, threads: int) -> Images:
    folder = root / data / ("train" if split == "training" else "test")
    try:
        dataset = ImageFolder(str(folder), loader=_rgb)
    except FileNotFoundError as error:
        raise InputError(f"{data}: {folder} needs a folder of images for each class ({error})") from None
    both = (path for part in ("train", "test") for path in (root / data / part).glob("*"))
    classes = {path.name for path in both if path.is_dir()}
    if missing := sorted(classes - set(dataset.classes)):
        raise InputError(
            f"{data}: {folder} has no folder for {', '.join(missing)}; train and test need the same classes"
        )
    return _on_disk(data, dataset, folder, dataset.classes, image_size, 1, threads)


def _rgb(path: str) -> Image.Image:
    """As torchvision reads it, but for channels of more than 8 bits, of which Pillow makes white."""
    with Image.open(path) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"mode {image.mode}, more than 8 bits a channel; make it one of 8 bits")
        return image.convert("RGB")


def _on_disk(
    data: str,
    dataset: ImageFolder,
    folder: Path,
    class_names: list[str],
    image_size: int | None,
    short_side: float,
    threads: int,
) -> Images:
    """Images that are read when asked for, resized to a short side, as a share of their size, and cropped."""
    if image_size is None:
        raise InputError(f"{data}: images of many sizes need image_size in the recipe")
    size, resized = [image_size], [round(image_size * short_side)]

    def decoded(index: int) -> torch.Tensor:
        try:
            image = dataset[index][0]
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow says of damage
            raise InputError(f"{data}: {dataset.samples[index][0]} cannot be read as an image ({error})") from None
        pixels: torch.Tensor = pil_to_tensor(center_crop(resize(image, resized), size))
        return pixels

    def read(indices: torch.Tensor) -> torch.Tensor:
        with ThreadPoolExecutor(threads) as decoders:
            return torch.stack(list(decoders.map(decoded, indices.tolist())))

    ids = [str(Path(path).relative_to(folder)) for path, _ in dataset.samples]
    return Images(ids, torch.tensor(dataset.targets), class_names, (3, image_size, image_size), read, data)


def _in_memory(data: str, ids: list[str], pixels: np.ndarray, labels: np.ndarray, class_names: list[str]) -> Images:
    held = torch.from_numpy(np.ascontiguousarray(pixels))
    channels, y, x = held.shape[1:]
    labels_of = torch.from_numpy(labels).long()
    return Images(ids, labels_of, class_names, (channels, y, x), held.__getitem__, data, held)
