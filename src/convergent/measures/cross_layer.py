"""Every layer of A beside every layer of B: linear CKA of their rows, raw and debiased.

Shapes [layer_a, layer_b]. The check of Kornblith et al. 2019 (arXiv 1905.00414): among the layers of
another training of one recipe, the most similar to a layer should be the same layer. Judged by debiased CKA, for the
raw one is high between wide layers whatever they hold: ``cka_permuted`` says how high.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from convergent import folds
from convergent.folds import Array
from convergent.measures import cka, row_blocks
from convergent.measures.summary import mean, summary

STATISTICS = {
    "n_layers_a": "layers of A with variance",
    "n_layers_b": "layers of B with variance",
    "share_same_layer_a": "share of the layers of A that B has too to which the same layer is the most similar of B",
    "share_same_layer_b": "share of the layers of B that A has too to which the same layer is the most similar of A",
    "mean_same_layer": "mean debiased CKA of a layer with the same layer",
    "mean_other_layers": "mean debiased CKA of a layer with another",
}


def cross_layer(
    rows_a: Mapping[str, xr.DataArray], rows_b: Mapping[str, xr.DataArray], *, one_recipe: bool = True
) -> xr.Dataset:
    """CKA of all layers of a pair, with standard errors over images.

    Costs n·Σp·Σq multiplications for n images and layers of p and q units; blocks of images and units are held.

    Parameters
    ----------
    rows_a, rows_b : spatial means ``[image, unit]`` by layer, with the coordinates ``image_id`` and ``fold``; on disk
        they are read block by block
    one_recipe : whether layers of one name are the same layer; else what the summary says of same layers is NaN

    Returns
    -------
    ``cka[layer_a, layer_b]``, 0–1, ``cka_debiased``, −1–1, their ``…_standard_error`` (jackknife over folds of images)
    and ``cka_permuted``, the mean of ``cka`` over all permutations of the images; NaN where a layer is dead; and the
    summary with the coordinate ``definition[statistic]`` and the null ``permuted``; the attributes ``spatial``, for
    rows are means over positions, and ``n``, how many

    Raises
    ------
    InputError : where the rows are not of the same images
    """
    first = next(iter(rows_a.values()))
    for layer in (*rows_a.values(), *rows_b.values()):
        folds.check_same_images(first["image_id"].values, layer["image_id"].values)
        folds.check_same_folds(first["fold"].values, layer["fold"].values)
    a, b = row_blocks.of(rows_a), row_blocks.of(rows_b)
    within_a, within_b = row_blocks.within(a), row_blocks.within(b)
    # [1 + fold, kind, layer_a, layer_b]
    similarity = cka.similarities(row_blocks.products(a, b), within_a[..., None], within_b[:, :, None])
    raw, debiased, _, expected = similarity[0]
    error_raw, error_debiased, *_ = folds.standard_error(similarity[1:])
    names = list(rows_a), list(rows_b)
    same = np.equal.outer(np.array(names[0]), np.array(names[1])) & one_recipe
    shares, means = summarise(debiased, same)
    n_live = [(side[0, 0] > 0).sum() for side in (within_a, within_b)]
    # Counts and shares jump: no error. The mean of debiased CKA over all permutations is 0.
    error = folds.standard_error(summarise(left_out[1], same)[1] for left_out in similarity[1:])
    undefined = np.full(4, np.nan)
    result = summary(
        STATISTICS,
        np.concatenate([n_live, shares, means]),
        np.concatenate([undefined, error]),
        {"permuted": np.concatenate([undefined, 0 * means])},
    )
    dims = ("layer_a", "layer_b")
    result = result.assign(
        {
            "cka": (dims, raw, {"long_name": "linear CKA"}),
            "cka_standard_error": (dims, error_raw, {"long_name": "standard error of linear CKA over images"}),
            "cka_permuted": (dims, expected, {"long_name": "linear CKA, mean over all permutations of the images"}),
            "cka_debiased": (dims, debiased, {"long_name": "debiased linear CKA"}),
            "cka_debiased_standard_error": (
                dims,
                error_debiased,
                {"long_name": "standard error of debiased linear CKA over images"},
            ),
        }
    )
    text = np.dtypes.StringDType()
    result = result.assign_coords(layer_a=np.array(names[0], dtype=text), layer_b=np.array(names[1], dtype=text))
    return result.assign_attrs(spatial="mean", n=first.sizes["image"])


def summarise(debiased: Array, same: np.ndarray) -> tuple[Array, Array]:
    """Shares of layers most similar to the same layer, of A and of B; mean CKA of same layers and of others.

    Parameters
    ----------
    debiased : [layer_a, layer_b]
    same : whether both are the same layer, bool[layer_a, layer_b]
    """
    defined = ~np.isnan(debiased)
    shares = [_share(debiased, same), _share(debiased.T, same.T)]
    return np.array(shares), np.array([mean(debiased[same & defined]), mean(debiased[~same & defined])])


def _share(debiased: Array, same: np.ndarray) -> float:
    """Share of the rows with a defined value at the same column whose largest value is there."""
    rows = (same & ~np.isnan(debiased)).any(axis=1)
    nearest = np.where(np.isnan(debiased), -np.inf, debiased)[rows].argmax(axis=1)
    return mean(same[rows, nearest])
