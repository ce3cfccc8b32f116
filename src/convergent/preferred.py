"""The image that a unit prefers: activation maximisation by gradient ascent from noise.

    p ← clip(p + rate · g / max|g| − decay · (p − ½)),   g = ∂ a(shifted p) / ∂ p,   rate / decay = ½

p are pixels in 0–1, a is the activation before the ReLU, where it has a gradient everywhere; the image is shifted at
random in every step, so that what stays does not hang on single pixels. In the end its contrast is stretched. Of a
linear unit the image becomes its weights, the largest black or white.
Source: Erhan et al. 2009; Yosinski et al. 2015 (arXiv 1506.06579) for the decay.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

RATE, DECAY = 0.05, 0.1
NOISE = 0.05  # standard deviation of the first image around grey
SHIFT = 1 / 16  # of the side of the receptive field, at most


def preferred(
    model: nn.Module,
    scaled: Callable[[torch.Tensor], torch.Tensor],
    image_shape: Sequence[int],
    units: Sequence[int],
    place: tuple[int, int],
    field: tuple[int, int],
    steps: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """An image for each unit, all of them at once.

    Parameters
    ----------
    model : returns [image, unit, y, x] or [image, unit], before a ReLU
    scaled : pixels of 0–255 as the network takes them
    image_shape : channel, y, x of one image
    units : whose activation at `place`, y and x, is to be large
    field : height and width of their receptive field
    steps : of gradient ascent
    generator : of the noise and the shifts, on the CPU

    Returns
    -------
    uint8[unit, channel, y, x]
    """
    device = next(iter(model.parameters())).device
    noise = torch.randn(len(units), *image_shape, generator=generator)
    pixels = (0.5 + NOISE * noise).clamp(0, 1).to(device)
    most = [round(SHIFT * length) for length in field]
    rows = torch.arange(len(units), device=device)
    of_units = torch.tensor(units, device=device)
    for _ in range(steps):
        shift = [int(torch.randint(-m, m + 1, (), generator=generator)) for m in most]
        pixels.requires_grad_()
        output = model(scaled(255 * pixels.roll(shift, (2, 3))))
        output = output[(rows, of_units, *place)] if output.ndim == 4 else output[rows, of_units]
        (gradient,) = torch.autograd.grad(output.sum(), pixels)
        size = gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        pixels = (pixels.detach() + RATE * gradient / size - DECAY * (pixels.detach() - 0.5)).clamp(0, 1)
    from_grey = pixels - 0.5
    pixels = 0.5 + from_grey / (2 * from_grey.abs().amax((1, 2, 3), keepdim=True)).clamp_min(1e-12)
    return (255 * pixels).round().to("cpu", torch.uint8)
