"""Patches: a planted pattern is what is cut out, wherever it lies, and nothing outside a patch excites its unit."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from convergent import exemplars, networks
from convergent.data import Images
from convergent.patches import Window, of_layer, window
from convergent.receptive_fields import Fields, receptive_fields

PATTERN = np.array([[9, 0, 9], [0, 9, 0], [9, 9, 0]])
# Where the pattern is planted, its first row and column; in the second image it is cut off by the border.
PLANTED = [(5, 2), (-1, 4), (9, 9)]
LAYERS = ["conv", "relu", "pool", "fc"]


class Detector(nn.Module):
    """Unit 1 of the first layer detects the pattern; the second layer takes steps of two."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(72, 2)
        with torch.no_grad():
            self.conv.weight[1] = torch.from_numpy(PATTERN / 9 - 0.5)
            self.conv.bias[1] = -0.4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(nn.functional.relu(self.conv(x))).flatten(1))


@pytest.fixture
def images() -> Images:
    """Noise of 12 × 12 pixels in two channels, with the pattern at its strongest in the first image."""
    pixels = np.random.default_rng(0).integers(0, 60, (8, 2, 16, 16))
    for image, (y, x) in enumerate(PLANTED):
        pixels[image, :, 2 + y : 5 + y, 2 + x : 5 + x] = PATTERN * (25 - 3 * image)
    held = torch.from_numpy(pixels[:, :, 2:14, 2:14].astype(np.uint8))
    ids = [f"{i:04d}" for i in range(8)]
    return Images(ids, torch.zeros(8, dtype=torch.int64), ["all"], (2, 12, 12), held.__getitem__, "digits", held)


@pytest.fixture
def of(
    images: Images, layer: Callable[..., xr.DataArray], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[nn.Module, xr.Dataset]]:
    """The network, and the patches of both units of a layer."""
    monkeypatch.setattr(Images, "scaled", lambda _, pixels: pixels.to(torch.float32) / 255)
    torch.manual_seed(0)
    network = Detector().eval()

    def made(name: str) -> tuple[nn.Module, xr.Dataset]:
        with torch.no_grad():
            output = networks.extractor(network, [name])(images.scaled(images.pixels))[name]
        recorded = layer(output.movedim(1, -1).numpy(), folds=2)
        found = exemplars.of_units(recorded, images=3)
        fields = receptive_fields(network, [name], images.shape)[name]
        index = {image_id: i for i, image_id in enumerate(images.ids)}
        return network, of_layer(network, name, fields, images, found, index, steps=2)

    return made


def test_of_layer__cuts_out_what_was_planted(of: Callable[[str], tuple[nn.Module, xr.Dataset]]) -> None:
    _, found = of("relu")
    unit = found.sel(unit=1)
    assert unit["image_id"].values.tolist()[0] == "0000"
    assert set(unit["image_id"].values) == {"0000", "0001", "0002"}
    for rank in range(3):
        one = unit.isel(rank=rank)
        image = int(one["image_id"].item())
        assert (one["top"].item(), one["left"].item()) == PLANTED[image]
        inside = np.ones((3, 3), dtype=bool)
        inside[0] = image != 1
        np.testing.assert_array_equal(one["inside"], inside)
        for channel in range(2):
            np.testing.assert_array_equal(one["patch"][..., channel], PATTERN * (25 - 3 * image) * inside)


@pytest.mark.parametrize("name", LAYERS)
def test_of_layer__holds_all_that_excites_a_unit(
    of: Callable[[str], tuple[nn.Module, xr.Dataset]], images: Images, name: str
) -> None:
    """The activation is the same when all outside the patch is noise, and another when the patch is."""
    network, found = of(name)
    extract = networks.extractor(network, [name])
    for unit, rank in np.ndindex(found.sizes["unit"], found.sizes["rank"]):
        one = found.isel(unit=unit, rank=rank)
        if not one["image_id"].item():
            continue
        image = images.pixels[int(one["image_id"].item())].numpy()
        rows, columns = (
            one[edge].item() + np.arange(one.sizes[f"patch_{axis}"]) for edge, axis in (("top", "y"), ("left", "x"))
        )
        of_image = np.zeros((12, 12), dtype=bool)
        inside = one["inside"].values.astype(bool)
        of_image[np.ix_(rows[inside.any(axis=1)], columns[inside.any(axis=0)])] = True
        np.testing.assert_array_equal(one["patch"].values[inside], image[:, of_image].T)
        noise = np.random.default_rng(1).integers(0, 255, image.shape)
        changed = np.stack([np.where(of_image, image, noise), np.where(of_image, noise, image)]).astype(np.uint8)
        with torch.no_grad():
            output = extract(images.scaled(torch.from_numpy(changed)))[name][:, unit]
        values = output[:, one["y"].item(), one["x"].item()] if output.ndim == 3 else output
        assert values[0].item() == pytest.approx(one["activation"].item(), abs=1e-5)
        assert values[1].item() != pytest.approx(one["activation"].item(), abs=1e-5)


def test_of_layer__scales_attributions(of: Callable[[str], tuple[nn.Module, xr.Dataset]]) -> None:
    """By hand: guided back-propagation of a first layer is its kernel, its largest 1."""
    network, found = of("relu")
    kernel = network.conv.weight[1].detach().movedim(0, -1).numpy()
    first = found["guided_backpropagation"].sel(unit=1, rank=1)
    np.testing.assert_allclose(first, kernel / np.abs(kernel).max(), atol=1e-3)
    for name in ("guided_backpropagation", "deconvolution"):
        assert found[name].dtype == np.float16
        assert float(abs(found[name]).max()) == 1


def test_of_layer__leaves_ranks_without_an_image_empty(
    of: Callable[[str], tuple[nn.Module, xr.Dataset]], images: Images
) -> None:
    images.pixels[:] = 0
    _, found = of("relu")
    assert not (found["image_id"] != "").any()
    assert not found["inside"].any()
    assert found["preferred"].sizes == {"unit": 2, "patch_y": 3, "patch_x": 3, "channel": 2}


def test_window__lies_where_the_field_is_cut_off() -> None:
    """By hand: fields of 4 of 10 pixels, at steps of 3, the first from −1 on, the last to beyond the border."""
    begin, end = np.array([0, 2, 5, 8]), np.array([3, 6, 9, 10])
    fields = Fields(np.broadcast_to(begin[:, None], (2, 4, 1)), np.broadcast_to(end[:, None], (2, 4, 1)))
    assert [window(fields, y, 0).top for y in range(4)] == [-1, 2, 5, 8]
    assert (window(fields, 0, 0).height, window(fields, 0, 0).width) == (4, 4)


def test_window__cuts_with_zeros_beyond_the_border() -> None:
    image = torch.arange(1, 13).reshape(1, 3, 4)
    place = Window(-1, 2, 3, 3)
    assert place.cut(image)[..., 0].tolist() == [[0, 0, 0], [3, 4, 0], [7, 8, 0]]
    assert place.inside(3, 4).tolist() == [[False] * 3, [True, True, False], [True, True, False]]
