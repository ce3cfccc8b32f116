"""ResNets for images of 32 × 32 pixels: those of torchvision, as in Wang et al. 2018, and a small one."""

from collections import OrderedDict
from collections.abc import Sequence

import torchvision.models
from torch import nn
from torchvision.models.resnet import BasicBlock

from convergent import networks


def resnet(num_classes: int, in_channels: int, depth: int = 18) -> nn.Module:
    """A ResNet whose first convolution is 3 × 3, without stride and pooling; initial weights as of `networks.kaiming`.

    Parameters
    ----------
    num_classes, in_channels : of the data
    depth : 18, 34, …: of the models of torchvision
    """
    network = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=num_classes)
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return networks.kaiming(network)


def resnet_small(num_classes: int, in_channels: int, channels: Sequence[int] = (16, 32, 64, 128)) -> nn.Module:
    """One residual block a stage, each of twice as many channels on half the grid; initial weights likewise.

    Parameters
    ----------
    num_classes, in_channels : of the data
    channels : of each stage
    """
    before = channels[0]
    stem: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(in_channels, before, 3, padding=1, bias=False), norm=nn.BatchNorm2d(before), relu=nn.ReLU()
    )
    stages: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(stem))
    for i, after in enumerate(channels, start=1):
        stride = 1 if i == 1 else 2
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        stages[f"block{i}"] = BasicBlock(before, after, stride, None if before == after else shortcut)
        before = after
    stages |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classify": nn.Linear(before, num_classes)}
    return networks.kaiming(nn.Sequential(stages))
