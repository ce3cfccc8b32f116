"""What is known of the data sets that have a name: where they lie, how many images, of what size.

Read by the configuration and the plan, so without torch; `data` opens them. Any other name is a folder of images.
"""

from dataclasses import dataclass


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
    """

    place: str | None
    training: int
    held_out: int
    shape: tuple[int, int, int] | None
    classes: int
    image_id: int = len("test/00000")
    class_name: float = 0.0


NAMED = {
    "digits": DataSet(None, 1297, 500, (1, 8, 8), 10, image_id=4, class_name=1),
    "cifar10": DataSet("cifar-10-batches-py", 50_000, 10_000, (3, 32, 32), 10, class_name=5),
    "cifar100": DataSet("cifar-100-python", 50_000, 10_000, (3, 32, 32), 100, class_name=7),
    "fashion_mnist": DataSet("FashionMNIST", 60_000, 10_000, (1, 28, 28), 10, class_name=7),
    "imagenet": DataSet(
        "imagenet", 1_281_167, 50_000, None, 1000, len("n01440764/ILSVRC2012_val_00000293.JPEG"), class_name=20
    ),
}
