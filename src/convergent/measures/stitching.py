"""Stitching: the accuracy that is left when a layer of one network is computed by the other through a map.

Up to a layer the images run through the sender; a map (`maps`) makes of its units those of the receiver, which goes on
from there. Maps are fitted on one half of the folds and scored on the other, and exchanged. Beside them what the
receiver does by itself, and what it does when told nothing: every unit at its mean.
Source: Lenc, Vedaldi 2015 (arXiv 1411.5908); Bansal, Nakkiran, Barak 2021 (arXiv 2106.07682), with the maps of Li et
al. 2016 (arXiv 1511.07543) in the place of trained ones.
"""

import numpy as np
import xarray as xr

from convergent.folds import Array
from convergent.measures import by_fold
from convergent.measures.summary import summary

FEW = 5  # weights a unit, as code types have it
KEPT = 0.9  # of what the receiver gains over its means
OF_MAPS = ("accuracy_identity", "accuracy_one_to_one", "accuracy_lasso_few", "accuracy_least_squares")
STATISTICS = ("accuracy_intact", *OF_MAPS, "n_weights_kept")
OF_MAP = ("direction", "map")


def stitching(scores: xr.Dataset, guessed: float, untrained: xr.Dataset | None = None) -> xr.Dataset:
    """What stitching keeps of the accuracy, with standard errors over images and its controls.

    Parameters
    ----------
    scores : ``accuracy[direction, map, fold]`` of the stitched network, 0–1, ``intact[direction, fold]`` of the
        receiver by itself, ``n_weights[direction, map]``, mean number of weights of a unit, with the coordinate
        ``alpha[map]``, from large to small
    guessed : share of the most frequent class
    untrained : accuracies and numbers of weights where the sender is untrained; none: NaN

    Returns
    -------
    ``accuracy[direction, map]``, its ``accuracy_standard_error``, ``accuracy_of_fold[direction, map, fold]``,
    ``accuracy_intact[direction]``, ``n_weights[direction, map]``, and of an untrained sender ``accuracy_untrained`` and
    ``n_weights_untrained[direction, map]``; and the summary, means of both directions: accuracies by map
    (``accuracy_lasso_few``: of the least penalty with at most 5 weights a unit) and ``n_weights_kept``, the weights of
    a unit at the largest penalty that keeps 9/10 of what the receiver gains over its means (NaN: none does), with
    the nulls ``mean_activation``, ``most_frequent_class`` and ``untrained_sender``
    """
    scores = scores.transpose("direction", "map", "fold")
    before = scores * np.nan if untrained is None else untrained.transpose("direction", "map", "fold")
    intact = scores["intact"].values
    value, error = by_fold.mean(np.concatenate([intact.mean(axis=0)[None], _of_maps(scores)]))
    at_mean = float(scores["accuracy"].sel(map="mean").mean())
    nulls = {
        "mean_activation": [at_mean] * len(value),
        "most_frequent_class": [guessed] * len(value),
        "untrained_sender": [np.nan, *by_fold.mean(_of_maps(before))[0]],
    }
    of_fold, of_before = scores["accuracy"].values, before["accuracy"].values
    accuracy, standard_error = by_fold.mean(of_fold)
    variables = {
        "accuracy": (OF_MAP, accuracy, "accuracy of the stitched network on the half that was not fitted"),
        "accuracy_standard_error": (OF_MAP, standard_error, "standard error of the accuracy over images"),
        "accuracy_of_fold": ((*OF_MAP, "fold"), of_fold, "accuracy on one fold"),
        "accuracy_intact": (OF_MAP[:1], intact.mean(axis=1), "accuracy of the receiver by itself"),
        "accuracy_untrained": (OF_MAP, of_before.mean(axis=2), "accuracy where the sender is untrained"),
        "n_weights": (OF_MAP, scores["n_weights"].values, "mean number of weights of a unit that are not zero"),
        "n_weights_untrained": (OF_MAP, before["n_weights"].values, "the same where the sender is untrained"),
    }
    # A number of weights jumps, so it has no error; and under a null it is none that keeps anything.
    result = summary(
        STATISTICS,
        np.array([*value, _kept(scores)]),
        np.array([*error, np.nan]),
        {kind: np.array([*of_kind, np.nan]) for kind, of_kind in nulls.items()},
    )
    named = {name: (dims, values, {"long_name": meaning}) for name, (dims, values, meaning) in variables.items()}
    return result.assign(named).assign_coords(scores.coords)


def _of_maps(scores: xr.Dataset) -> Array:
    """The accuracies that are summarised, means of both directions, [statistic, fold]."""
    found = []
    for i in range(scores.sizes["direction"]):
        one = scores.isel(direction=i)
        path = one.isel(map=~np.isnan(one["alpha"].values))
        few = np.flatnonzero(path["n_weights"].values <= FEW)
        lasso = path["accuracy"].values[few[-1]] if few.size else np.full(one.sizes["fold"], np.nan)
        identity, one_to_one, dense = (
            one["accuracy"].sel(map=name).values for name in ("identity", "one_to_one", "least_squares")
        )
        found.append(np.stack([identity, one_to_one, lasso, dense]))
    return np.asarray(np.mean(found, axis=0))


def _kept(scores: xr.Dataset) -> float:
    """Weights of a unit of the sparsest LASSO that keeps `KEPT`, mean of both directions; NaN where none does."""
    accuracy = scores["accuracy"].mean("fold")
    floor, intact = accuracy.sel(map="mean"), scores["intact"].mean("fold")
    on_path = ~np.isnan(scores["alpha"].values)
    enough = (accuracy - floor >= KEPT * (intact - floor)).values[:, on_path] & (intact > floor).values[:, None]
    first = enough.argmax(axis=1)
    weights = scores["n_weights"].values[:, on_path][np.arange(len(first)), first]
    return float(np.where(enough.any(axis=1), weights, np.nan).mean())
