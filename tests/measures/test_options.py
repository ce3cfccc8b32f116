"""Options below their minimum are refused in one line that names them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from convergent import rdms, samples
from convergent.errors import InputError
from convergent.measures.clustering import clustering
from convergent.measures.matching import matching
from convergent.measures.rsa import rsa
from convergent.measures.similarity import similarity
from convergent.measures.sparse_prediction import sparse_prediction
from convergent.measures.subspace_match import subspace_match

Measure = Callable[..., Any]


@pytest.fixture
def measures(
    pair: Callable[..., xr.Dataset], layer: Callable[..., xr.DataArray], generator: np.random.Generator
) -> dict[str, Measure]:
    """Measures of a pair that take only options."""
    x, y = generator.standard_normal((2, 20, 3))
    a, b = (layer(side).assign_coords(label=("image", np.zeros(20, dtype=int))) for side in (x, y))
    moments = pair(x, y)
    similar = rdms.of(a), rdms.of(b)
    coefficient = xr.DataArray(np.zeros((3, 3)), dims=("unit_b", "unit_a"))
    return {
        "matching": lambda **options: matching(moments, **options),
        "sparse_prediction": lambda **options: sparse_prediction(moments, **options),
        "clustering": lambda **options: clustering(moments, coefficient, **options),
        "subspace_match": lambda **options: subspace_match(moments, **options),
        "similarity": lambda **options: similarity(moments, a, b, **options),
        "rsa": lambda **options: rsa(*similar, **options),
        "samples": lambda **options: samples.between(a, b, **{"positions": 5, "draws": 2, "seed": 0} | options),
    }


@pytest.mark.parametrize(
    ("measure", "option", "minimum"),
    [
        ("matching", "rotations", 2),
        ("matching", "permutations", 1),
        ("sparse_prediction", "alphas", 2),
        ("clustering", "repeats", 2),
        ("subspace_match", "starts", 0),
        ("subspace_match", "orders", 1),
        ("subspace_match", "enumerated", 0),
        ("similarity", "permutations", 1),
        ("rsa", "permutations", 1),
        ("samples", "positions", 2),
        ("samples", "draws", 2),
    ],
)
def test_measures__refuse_options_below_their_minimum(
    measures: dict[str, Measure], measure: str, option: str, minimum: int
) -> None:
    measures[measure](**{option: minimum})
    with pytest.raises(InputError, match=rf"\A{option} is {minimum - 1}; at least {minimum} is needed\Z"):
        measures[measure](**{option: minimum - 1})


@pytest.mark.parametrize("smallest", [0.0, 1.0])
def test_sparse_prediction__refuses_a_grid_without_an_end(measures: dict[str, Measure], smallest: float) -> None:
    with pytest.raises(InputError, match="a share between 0 and 1 is needed"):
        measures["sparse_prediction"](smallest=smallest)
