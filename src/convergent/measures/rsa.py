"""Representational similarity: how alike the dissimilarities of the same images are in two networks.

The upper triangles of two RDMs are compared by Spearman's and Pearson's correlation and by their cosine, each the
product of two vectors of length 1: centred ranks, centred values, values. Null: the images of B permuted, rows and
columns together. Standard errors leave out folds of images, and with an image all its dissimilarities.
Source: Kriegeskorte, Mur, Bandettini 2008 (doi 10.3389/neuro.06.004.2008).
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.spatial.distance import squareform

from convergent.errors import at_least
from convergent.folds import Array, check_same_folds, check_same_images, standard_error
from convergent.measures.summary import among_permuted, summary

DISSIMILARITIES = ("euclidean", "correlation")
COMPARISONS = ("spearman", "pearson", "cosine")
COUNTS = ("n_images", "n_undefined_a", "n_undefined_b")
STATISTICS = (*COUNTS, *(f"{comparison}_{name}" for name in DISSIMILARITIES for comparison in COMPARISONS))

RESOLUTION = 1e-7  # dissimilarities this close, as a share of the largest, are equal: stores are of float32
BLOCK = 64  # rows of a permuted matrix that are gathered at once


def rsa(
    rdms_a: xr.Dataset, rdms_b: xr.Dataset, *, permutations: int = 200, generator: np.random.Generator | None = None
) -> xr.Dataset:
    """Compare the dissimilarities of two networks, with standard errors over images and the permuted null.

    Parameters
    ----------
    rdms_a, rdms_b : of the same images, from `rdms.of`
    permutations : draws of the null
    generator : of the permutations

    Returns
    -------
    the summary with the null ``permuted`` (mean over draws); for each statistic ``p_value`` (share of orders of the
    images with at least its value, the recorded one among them) and ``permuted_95th_percentile``; and the RDMs of
    classes ``class_a[dissimilarity, label, label_other]`` and ``class_b``, means over different images. Images of
    undefined correlation in A or B are counted, and left out of it

    Raises
    ------
    InputError : where the two are not of the same images in the same order and folds
    """
    at_least(1, permutations=permutations)
    generator = np.random.default_rng(0) if generator is None else generator
    _check_same_images(rdms_a, rdms_b)
    fold = rdms_a["fold"].values
    a, b = ([rdms[name].values.astype(np.float64) for name in DISSIMILARITIES] for rdms in (rdms_a, rdms_b))
    counts = np.array([len(fold), *(np.isnan(np.diag(side[1])).sum() for side in (a, b))], dtype=np.float64)
    no_null: Array = np.full((permutations, len(counts)), np.nan)
    values, errors, drawn = [counts], [no_null[0]], [no_null]
    for rdm_a, rdm_b in zip(a, b, strict=True):
        defined = ~np.isnan(np.diag(rdm_a) + np.diag(rdm_b))
        triangles = [_triangle(rdm[np.ix_(defined, defined)]) for rdm in (rdm_a, rdm_b)]
        forms_a, forms_b = (_forms(*triangle) for triangle in triangles)
        values.append(_compare(forms_a, forms_b))
        errors.append(standard_error(_left_out(triangles, fold[defined], np.unique(fold))))
        drawn.append(_permuted(forms_a, forms_b, permutations, generator))
    value, null = np.concatenate(values), np.concatenate(drawn, axis=1)
    result = summary(STATISTICS, value, np.concatenate(errors), {"permuted": null.mean(axis=0)})
    result = result.assign(among_permuted(value, null))
    label, code = np.unique(rdms_a["label"].values, return_inverse=True)
    for name, side in (("a", a), ("b", b)):
        result[f"class_{name}"] = (
            ("dissimilarity", "label", "label_other"),
            np.stack([class_means(rdm, code) for rdm in side]),
            {"long_name": f"mean dissimilarity of images of two classes in {name.upper()}"},
        )
    return result.assign_coords(
        dissimilarity=np.array(DISSIMILARITIES, dtype=np.dtypes.StringDType()), label=label, label_other=label
    )


def class_means(rdm: Array, code: np.ndarray) -> Array:
    """Mean dissimilarity [class, class] of different images, given the class of each; NaN where there are none."""
    member = np.eye(code.max() + 1)[code] * ~np.isnan(np.diag(rdm))[:, None]
    size = member.sum(axis=0)
    pairs = np.outer(size, size) - np.diag(size)
    return np.asarray(member.T @ np.nan_to_num(rdm) @ member / np.where(pairs > 0, pairs, np.nan))


def _triangle(rdm: Array) -> tuple[Array, np.ndarray]:
    """The upper triangle of an RDM, and the place of each of its values among those that differ."""
    values = squareform(rdm, checks=False)
    step = RESOLUTION * values.max(initial=0.0) or 1.0
    return values, np.unique(np.rint(values / step), return_inverse=True)[1]


def _forms(values: Array, place: np.ndarray) -> list[Array]:
    """Centred ranks, centred values and values of a triangle, each of length 1; NaN where it has no such length."""
    if len(values) < 2:
        return [np.array([np.nan])] * len(COMPARISONS)
    # Ranks are counted: to sort anew without each fold would take six times as long. Ties share their mean rank.
    count = np.bincount(place)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    centred = values - values.mean()
    if np.linalg.norm(centred) <= RESOLUTION * np.linalg.norm(values):
        rank = centred = np.zeros(len(values))
    return [_unit(rank - rank.mean()), _unit(centred), _unit(values)]


def _unit(vector: Array) -> Array:
    length = np.linalg.norm(vector)
    return np.asarray(vector / (length if length > 0 else np.nan))


def _compare(forms_a: list[Array], forms_b: list[Array]) -> Array:
    """The comparisons of two triangles, in the order of `COMPARISONS`."""
    # Rounding may leave the comparison of equal RDMs a hair above 1.
    return np.clip([p @ q for p, q in zip(forms_a, forms_b, strict=True)], -1.0, 1.0)


def _left_out(triangles: list[tuple[Array, np.ndarray]], fold: np.ndarray, folds: np.ndarray) -> Iterator[Array]:
    """The comparisons without the images of each fold in turn."""
    for left_out in folds:
        kept = squareform(np.logical_and.outer(fold != left_out, fold != left_out), checks=False)
        yield _compare(*(_forms(values[kept], place[kept]) for values, place in triangles))


def _permuted(forms_a: list[Array], forms_b: list[Array], draws: int, generator: np.random.Generator) -> Array:
    """The comparisons with the images of B in random order, [draw, comparison]; ranks and lengths stay."""
    pairs = [(np.tril(squareform(p)), squareform(q)) for p, q in zip(forms_a, forms_b, strict=True)]
    orders = (generator.permutation(len(pairs[0][0])) for _ in range(draws))
    return np.array([[_product(lower, matrix, order) for lower, matrix in pairs] for order in orders])


def _product(lower: Array, matrix: Array, order: np.ndarray) -> float:
    """Σ lower[i, j] · matrix[order[i], order[j]] of a lower triangle, some rows at a time, to stay in the cache."""
    total = 0.0
    for start in range(0, len(order), BLOCK):
        rows, columns = order[start : start + BLOCK], order[: start + BLOCK]
        total += float(np.vdot(lower[start : start + BLOCK, : start + BLOCK], matrix[rows].take(columns, axis=1)))
    return total


def _check_same_images(rdms_a: xr.Dataset, rdms_b: xr.Dataset) -> None:
    """Refuse RDMs that are not of the same images in the same order and folds; the error names the first difference."""
    check_same_images(rdms_a["image_id"].values, rdms_b["image_id"].values)
    check_same_folds(rdms_a["fold"].values, rdms_b["fold"].values)
