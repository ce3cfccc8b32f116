"""ResNets of torchvision for images of 32 × 32 pixels, as in He et al. 2016, section 4.2, and Wang et al. 2018."""

import torchvision.models
from torch import nn


def resnet(num_classes: int, in_channels: int, depth: int = 18) -> nn.Module:
    """A ResNet whose first convolution is 3 × 3, without stride and pooling.

    Parameters
    ----------
    num_classes, in_channels : of the data
    depth : 18, 34, …: of the models of torchvision
    """
    network = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=num_classes)
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network
