"""The step that clusters a pair: it takes the sparse prediction of that pair alone."""

import re
from pathlib import Path

import numpy as np
import pytest

from convergent import provenance, store
from convergent.config import Clustering, SparsePrediction
from convergent.errors import InputError
from convergent.measures.summary import summary
from convergent.steps import clustering as step
from convergent.steps import sparse_prediction

RULES = Path(__file__).parents[2] / "rules" / "measures.smk"
SETTINGS = Clustering(threshold=0.2, units_per_cluster=4, repeats=2, variant="normalised", widest_exact=100)


@pytest.mark.parametrize(
    ("key", "side"),
    [("snapshot_a", "a"), ("snapshot_b", "b"), ("checkpoint_digest_b", "b"), ("probe_fingerprint", "a")],
)
def test_run__refuses_the_sparse_prediction_of_another_pair(
    stores: dict[str, Path], of_pair: dict[str, str], tmp_path: Path, key: str, side: str
) -> None:
    other = tmp_path / "other.zarr"
    result = {layer: summary(("x",), np.ones(1)) for layer in ("conv", "fc")}
    store.save(result, other, "measure", of_pair | {key: "another"})
    inputs = {key: stores[key] for key in ("a", "b", "between", "output")}
    name = key.removesuffix(f"_{side}")
    with pytest.raises(InputError, match=rf"other\.zarr compares {name} another, but .*{side}\.zarr holds "):
        step.run(settings=SETTINGS, sparse_prediction=other, **inputs)
    assert not inputs["output"].exists()


def test_run__is_stamped_with_the_code_of_its_rule(stores: dict[str, Path], tmp_path: Path) -> None:
    inputs = {key: stores[key] for key in ("a", "b", "between", "output")}
    predicted = tmp_path / "predicted.zarr"
    sparse_prediction.run(
        settings=SparsePrediction(alphas=2, smallest=0.1), threads=1, **inputs | {"output": predicted}
    )
    step.run(settings=SETTINGS, sparse_prediction=predicted, **inputs)
    rule = re.search(r"(?s)^rule clustering:.*?code_digest\((.*?)\)", RULES.read_text(), re.M)
    modules = re.findall(r'"(.*?)"', rule[1])
    assert store.read(inputs["output"], "measure").attributes["code_digest"] == provenance.code_digest(*modules)
