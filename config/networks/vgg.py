"""VGGs for small images, with batch normalisation: an example of a network of one's own."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from convergent import networks


def vgg(
    num_classes: int,
    in_channels: int,
    channels: Sequence[int] = (32, 64, 128, 256, 256),
    convolutions: Sequence[int] = (2, 2, 2, 2, 2),
    hidden: Sequence[int] = (512,),
) -> nn.Module:
    """Stages of 3×3 convolutions that halve the image, fully connected layers; initial weights of `networks.kaiming`.

    VGG-11 has 64, 128, 256, 512, 512 channels and 1, 1, 2, 2, 2 convolutions, VGG-16 2, 2, 3, 3, 3 (Simonyan and
    Zisserman 2015); two hidden layers of 512 units follow on CIFAR (Wang et al. 2018).

    Parameters
    ----------
    num_classes, in_channels : of the data
    channels : of the convolutions of each stage
    convolutions : how many, in each stage
    hidden : units of each fully connected layer before the last
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = in_channels
    for stage, (after, number) in enumerate(zip(channels, convolutions, strict=True), start=1):
        for i in range(1, number + 1):
            layers[f"conv{stage}_{i}" if number > 1 else f"conv{stage}"] = _convolution(before, after)
            before = after
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    for i, after in enumerate(hidden, start=1):
        layers[f"fc{i}"] = nn.Sequential(OrderedDict(linear=nn.Linear(before, after), relu=nn.ReLU()))
        before = after
    layers["classify"] = nn.Linear(before, num_classes)
    network = nn.Sequential(layers)
    return networks.kaiming(network)


def _convolution(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(before, after, 3, padding=1, bias=False), norm=nn.BatchNorm2d(after), relu=nn.ReLU())
    )
