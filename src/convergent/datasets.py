"""What is known of the data sets that have a name: where they lie, how many images, of what size.

Read by the configuration and the plan, so without torch; `data` opens them. Any other name is a folder of images.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataSet:
    """Facts about a data set.

    Attributes
    ----------
    place : folder below CONVERGENT_DATA; None where no files are needed
    training, held_out : images of each split
    shape : channel, y, x of an image; None where the recipe's `image_size` decides
    classes : number of classes
    image_id, class_name : characters of an id, and on average of the name of a class
    torchvision : its class in torchvision.datasets
    """

    place: str | None
    training: int
    held_out: int
    shape: tuple[int, int, int] | None
    classes: int
    image_id: int = len("test/00000")
    class_name: float = 0.0
    torchvision: str | None = None


NAMED = {
    "digits": DataSet(None, 1297, 500, (1, 8, 8), 10, image_id=4, class_name=1),
    "cifar10": DataSet("cifar-10-batches-py", 50_000, 10_000, (3, 32, 32), 10, class_name=5, torchvision="CIFAR10"),
    "cifar100": DataSet("cifar-100-python", 50_000, 10_000, (3, 32, 32), 100, class_name=7, torchvision="CIFAR100"),
    "fashion_mnist": DataSet("FashionMNIST", 60_000, 10_000, (1, 28, 28), 10, class_name=7, torchvision="FashionMNIST"),
    "imagenet": DataSet(
        "imagenet", 1_281_167, 50_000, None, 1000, len("n01440764/ILSVRC2012_val_00000293.JPEG"), class_name=20
    ),
}


def missing(data: str, root: Path) -> str:
    """What to do about a data set that is not below `root`."""
    known = NAMED.get(data)
    if known is not None and known.torchvision:
        return f"have it loaded by torchvision.datasets.{known.torchvision}({str(root)!r}, download=True)"
    if data == "imagenet":
        return (
            "it holds ILSVRC2012_devkit_t12.tar.gz, and train and val with a folder for each class, as "
            "torchvision.datasets.ImageNet unpacks the archives"
        )
    return "it holds train and test, each with a folder of images for each class"
