"""Choose the probe: the held-out images on which every network is recorded, in order, in folds."""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

from convergent import store
from convergent.config import Probe, add_settings, data_root
from convergent.data import choose_probe, fingerprint, load
from convergent.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, help="the data set: a name, or a folder of images")
    parser.add_argument("--image-size", type=int, help="side in pixels, for imagenet and folders of images")
    add_settings(parser, Probe, "probe")
    parser.add_argument("--data-root", type=Path, default=data_root(), help="folder of the data sets")
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(*, data: str, image_size: int | None, settings: Probe, data_root: Path | None, output: Path) -> None:
    if settings.images % settings.folds:
        raise InputError(f"probe.images: {settings.images} is no multiple of the {settings.folds} folds")
    images = load(data, "held_out", data_root, image_size)
    chosen = choose_probe(len(images), settings.images, settings.seed)
    labels = images.labels[chosen].numpy()
    text = np.dtypes.StringDType()
    probe = xr.Dataset(
        {
            "image_id": ("image", np.array([images.ids[i] for i in chosen], dtype=text), {"long_name": "image"}),
            "label": ("image", labels, {"long_name": "class"}),
            "class_name": (
                "image",
                np.array([images.class_names[i] for i in labels], dtype=text),
                {"long_name": "class"},
            ),
            "fold": ("image", np.arange(len(chosen)) // (len(chosen) // settings.folds), {"long_name": "fold"}),
            "source_index": ("image", chosen, {"long_name": "index in the held-out images"}),
        }
    )
    attributes = store.stamp(
        f"Probe: {settings.images} held-out images of {data} in {settings.folds} folds",
        "probe",
        {"images": settings.images, "folds": settings.folds, "seed": settings.seed},
        data=data,
        probe_fingerprint=fingerprint(images, chosen),
        probe_seed=settings.seed,
    )
    store.save({"/": probe}, output, "probe", attributes)
