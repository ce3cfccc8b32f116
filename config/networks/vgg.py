"""VGGs for small images, with batch normalisation: an example of a network of one's own."""

from collections.abc import Sequence

from torch import nn


def vgg(
    num_classes: int,
    in_channels: int,
    channels: Sequence[int] = (32, 64, 128, 256, 256),
    convolutions: Sequence[int] = (2, 2, 2, 2, 2),
    hidden: int = 512,
) -> nn.Module:
    """Stages of 3×3 convolutions that halve the image, and one hidden layer.

    VGG-11 has 64, 128, 256, 512, 512 channels and 1, 1, 2, 2, 2 convolutions, VGG-16 2, 2, 3, 3, 3 (Simonyan and
    Zisserman 2015); of the three fully connected layers for ImageNet two are left, as usual on CIFAR.

    Parameters
    ----------
    num_classes, in_channels : of the data
    channels : of the convolutions of each stage
    convolutions : how many, in each stage
    hidden : units of the fully connected layer before the last
    """
    layers: list[nn.Module] = []
    before = in_channels
    for after, number in zip(channels, convolutions, strict=True):
        for _ in range(number):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(before, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )
