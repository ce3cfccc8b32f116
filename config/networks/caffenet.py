"""CaffeNet, the network of Li et al. 2016, and the same idea for images of 32 × 32 pixels.

The reference network of Caffe: AlexNet with each pooling before its normalisation.
"""

from collections import OrderedDict

from torch import nn


def caffenet(num_classes: int, in_channels: int) -> nn.Module:
    """Five convolutions, none in groups, and two hidden layers; 227 × 227 pixels.

    Sources: Li et al. 2016, section 2; bvlc_reference_caffenet of Caffe, which splits three convolutions in two groups.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=_layer(nn.Conv2d(in_channels, 96, 11, stride=4), pool=nn.MaxPool2d(3, 2), norm=_normalisation()),
            conv2=_layer(nn.Conv2d(96, 256, 5, padding=2), pool=nn.MaxPool2d(3, 2), norm=_normalisation()),
            conv3=_layer(nn.Conv2d(256, 384, 3, padding=1)),
            conv4=_layer(nn.Conv2d(384, 384, 3, padding=1)),
            conv5=_layer(nn.Conv2d(384, 256, 3, padding=1), pool=nn.MaxPool2d(3, 2), flatten=nn.Flatten()),
            fc6=_layer(nn.Linear(256 * 6 * 6, 4096), drop=nn.Dropout(0.5)),
            fc7=_layer(nn.Linear(4096, 4096), drop=nn.Dropout(0.5)),
            fc8=nn.Linear(4096, num_classes),
        )
    )


def caffenet_small(num_classes: int, in_channels: int) -> nn.Module:
    """Five convolutions and two hidden layers in the same order, of a third of the units; 32 × 32 pixels.

    Initial weights after He et al. 2015: of PyTorch's own, nothing is learned in the first hundred steps.
    """
    network = nn.Sequential(
        OrderedDict(
            conv1=_layer(nn.Conv2d(in_channels, 32, 5, padding=2), pool=_pooling(), norm=_normalisation()),
            conv2=_layer(nn.Conv2d(32, 64, 5, padding=2), pool=_pooling(), norm=_normalisation()),
            conv3=_layer(nn.Conv2d(64, 128, 3, padding=1)),
            conv4=_layer(nn.Conv2d(128, 128, 3, padding=1)),
            conv5=_layer(nn.Conv2d(128, 96, 3, padding=1), pool=_pooling(), flatten=nn.Flatten()),
            fc6=_layer(nn.Linear(96 * 4 * 4, 128), drop=nn.Dropout(0.5)),
            fc7=_layer(nn.Linear(128, 128), drop=nn.Dropout(0.5)),
            fc8=nn.Linear(128, num_classes),
        )
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return network


def _layer(weights: nn.Module, **after: nn.Module) -> nn.Module:
    """With names, which become those of the recorded layers: conv1.relu."""
    return nn.Sequential(OrderedDict(weights=weights, relu=nn.ReLU(), **after))


def _pooling() -> nn.Module:
    """Halves an even grid."""
    return nn.MaxPool2d(3, 2, padding=1)


def _normalisation() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
