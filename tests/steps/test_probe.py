"""The step probe: distinct held-out images, in equal folds of consecutive images."""

from pathlib import Path

import numpy as np
import pytest

from convergent import config, data, store
from convergent.errors import InputError
from convergent.steps import probe


def run(output: Path, images: int = 60, folds: int = 5, seed: int = 0) -> store.Store:
    settings = config.Probe(images, folds, seed)
    probe.run(data="digits", image_size=None, settings=settings, data_root=None, output=output)
    return store.read(output, "probe")


@pytest.mark.parametrize(("images", "folds"), [(60, 5), (500, 10), (12, 2), (9, 3)])
def test_run__makes_equal_folds_of_consecutive_images(tmp_path: Path, images: int, folds: int) -> None:
    fold = run(tmp_path / "digits.zarr", images, folds).layers["/"]["fold"].values
    np.testing.assert_array_equal(fold, np.repeat(np.arange(folds), images // folds))


@pytest.mark.parametrize(("images", "folds"), [(60, 7), (11, 5)])
def test_run__refuses_images_that_make_no_equal_folds(tmp_path: Path, images: int, folds: int) -> None:
    with pytest.raises(InputError, match=rf"probe\.images: {images} .*{folds}"):
        run(tmp_path / "digits.zarr", images, folds)
    assert not (tmp_path / "digits.zarr").exists()


def test_run__labels_distinct_held_out_images(tmp_path: Path) -> None:
    found = run(tmp_path / "digits.zarr").layers["/"]
    held_out = data.load("digits", "held_out")
    chosen = found["source_index"].values
    assert len(set(found["image_id"].values)) == len(set(chosen)) == 60
    assert found["image_id"].values.tolist() == [held_out.ids[i] for i in chosen]
    np.testing.assert_array_equal(found["label"], held_out.labels[chosen])
    assert found["class_name"].values.tolist() == [held_out.class_names[i] for i in found["label"].values]


def test_run__chooses_by_the_seed(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path / f"{i}.zarr", seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert first.layers["/"].load().identical(again.layers["/"].load())
    assert first.attributes == again.attributes
    assert set(first.layers["/"]["image_id"].values) != set(other.layers["/"]["image_id"].values)
    assert first.attributes["probe_fingerprint"] != other.attributes["probe_fingerprint"]


def test_run__is_stamped_with_what_it_shows(tmp_path: Path) -> None:
    found = run(tmp_path / "digits.zarr", seed=3)
    fingerprint = data.fingerprint(data.load("digits", "held_out"), found.layers["/"]["source_index"].values)
    expected = {"data": "digits", "probe_seed": 3, "probe_fingerprint": fingerprint}
    assert expected.items() <= found.attributes.items()
    assert found.attributes["parameters"] == '{"folds": 5, "images": 60, "seed": 3}'


def test_run__refuses_more_images_than_are_held_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\Aprobe\.images: 510 is more than the 500 held-out images\Z"):
        run(tmp_path / "digits.zarr", images=510)
    assert not (tmp_path / "digits.zarr").exists()
