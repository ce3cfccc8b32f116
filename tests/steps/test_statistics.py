"""The step of statistics: the moments and the activations are of one snapshot and probe."""

from pathlib import Path

import numpy as np
import pytest
import recorded

from convergent import moments, store
from convergent.errors import InputError
from convergent.steps import statistics as step


@pytest.mark.parametrize("name", ["snapshot", "checkpoint_digest", "probe_fingerprint"])
def test_run__refuses_the_moments_of_another_snapshot_or_probe(tmp_path: Path, name: str) -> None:
    activations, within, output = (tmp_path / f"{store}.zarr" for store in ("activations", "within", "output"))
    recorded.write(activations, {"fc": np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)})
    opened = store.read(activations, "activations", chunks={})
    of_layer = {layer: moments.within(dataset["activation"]) for layer, dataset in opened.layers.items()}
    store.save(of_layer, within, "moments_within", opened.attributes | {name: "another"})
    with pytest.raises(InputError, match=rf"within\.zarr is of {name} another, but .*activations\.zarr holds "):
        step.run(moments=within, activations=activations, threads=1, output=output)
    assert not output.exists()
    store.save(of_layer, tmp_path / "own.zarr", "moments_within", opened.attributes)
    step.run(moments=tmp_path / "own.zarr", activations=activations, threads=1, output=output)
    assert store.read(output, "measure").attributes["snapshot"] == "activations"
