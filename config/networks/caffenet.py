"""CaffeNet, the network of Li et al. 2016, and the same idea for images of 32 × 32 pixels.

The reference network of Caffe: AlexNet with each pooling before its normalisation.
"""

from torch import nn


def caffenet(num_classes: int, in_channels: int) -> nn.Module:
    """Five convolutions, none in groups, and two hidden layers; 227 × 227 pixels.

    Sources: Li et al. 2016, section 2; bvlc_reference_caffenet of Caffe, which splits three convolutions in two groups.
    """
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 96, 11, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2), _normalisation()),
        *(nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), _normalisation()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(4096, num_classes),
    )


def caffenet_small(num_classes: int, in_channels: int) -> nn.Module:
    """Five convolutions and two hidden layers in the same order, of a third of the units; 32 × 32 pixels."""
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), _normalisation()),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), _normalisation()),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(128, 128, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(128, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.Flatten()),
        *(nn.Linear(96 * 4 * 4, 128), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(128, num_classes),
    )


def _normalisation() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
