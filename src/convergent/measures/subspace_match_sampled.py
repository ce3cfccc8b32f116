"""Subspace match as published: the mean of s(ε) over draws of samples, each compared by itself.

Shapes [epsilon] and [distance]; shares of units, not centred, dead units unmatched. The draws share samples and, in
convolutional layers, images: their standard deviation is the noise of the protocol, not an error over images.
Source: Wang et al. 2018 (arXiv 1810.11750), section 5.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from convergent.folds import Array
from convergent.measures import subspace_match as measure
from convergent.measures.summary import summary

COUNTS = ("n_samples", "n_draws", "mean_dead_a", "mean_dead_b")


def statistics(epsilons: Sequence[float]) -> tuple[str, ...]:
    """The names of the summary."""
    return (*COUNTS, *measure.of_curve(epsilons))


def subspace_match_sampled(
    samples: xr.Dataset,
    *,
    epsilons: Sequence[float] = measure.EPSILONS,
    ridge: float = 1e-6,
    dead: str = "unmatched",
) -> xr.Dataset:
    """Maximum match of a pair, averaged over draws of samples.

    Parameters
    ----------
    samples : Gram matrices of the draws, from `samples.between`
    epsilons : distances at which the similarity is reported
    ridge, dead : as in `subspace_match`

    Returns
    -------
    means over draws ``similarity[epsilon]``, ``curve[distance]`` and ``curve_chance[distance]``, 0–1; their standard
    deviations between draws ``similarity_standard_deviation`` and ``curve_standard_deviation``; and the summary with
    the null ``chance`` (the networks share their means alone) and ``standard_deviation[statistic]`` between draws
    """
    size_a = samples.sizes["unit_a"]
    found, chance = [], []
    for draw in range(samples.sizes["draw"]):
        one = samples.isel(draw=draw)
        shared = float(one["n"]) * np.outer(one["mean_a"], one["mean_b"])
        found.append(_critical(one, one["gram_ab"].values, ridge))
        chance.append(_critical(one, shared, ridge))
    died = np.isnan(found)
    counts = np.stack([died[:, :size_a].sum(axis=1), died[:, size_a:].sum(axis=1)], axis=1)
    value = np.stack([measure.summarise(one, epsilons, dead) for one in found])
    null = np.mean([measure.summarise(one, epsilons, dead) for one in chance], axis=0)
    result = summary(
        statistics(epsilons),
        np.concatenate([[samples["n"][0], len(found)], counts.mean(axis=0), value.mean(axis=0)]),
        None,
        {"chance": np.concatenate([np.full(len(COUNTS), np.nan), null])},
    )
    spread = np.concatenate([[np.nan, np.nan], counts.std(axis=0, ddof=1), value.std(axis=0, ddof=1)])
    result["standard_deviation"] = ("statistic", spread, {"long_name": "standard deviation between draws"})
    for name, dimension, points in (("similarity", "epsilon", epsilons), ("curve", "distance", measure.DISTANCES)):
        drawn = np.stack([measure.similarity(one, points, dead) for one in found])
        result[name] = (dimension, drawn.mean(axis=0), {"long_name": f"{measure.SHARE}, mean over draws"})
        result[f"{name}_standard_deviation"] = (
            dimension,
            drawn.std(axis=0, ddof=1),
            {"long_name": f"{measure.SHARE}, standard deviation between draws"},
        )
    result["curve_chance"] = (
        "distance",
        np.mean([measure.similarity(one, measure.DISTANCES, dead) for one in chance], axis=0),
        {"long_name": f"{measure.SHARE}, if the networks shared their means alone"},
    )
    return result.assign_coords(epsilon=np.array(epsilons), distance=measure.DISTANCES)


def _critical(one: xr.Dataset, between: Array, ridge: float) -> Array:
    """Critical distances of one draw, with a given Gram matrix between the networks."""
    gram = np.block([[one["gram_a"].values, between], [between.T, one["gram_b"].values]])
    return measure.critical_epsilons(measure.scaled(gram, np.diag(gram) > 0), one.sizes["unit_a"], ridge)
